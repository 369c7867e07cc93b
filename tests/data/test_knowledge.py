"""Knowledge-aware models: their loaders, their saved data sets, and what they may lack."""

import sys

import pytest
import torch
from recbole.utils import KGDataLoaderState

from recbole_genrec.data.dataset import create_dataset
from recbole_genrec.errors import InputError, MissingPackage
from recbole_genrec.registry import build_model
from tests.small import new_trainer, prepare, toy_config, write_table, write_toy

COLUMNS = {
    "inter": ["user_id", "item_id", "timestamp"],
    "kg": ["head_id", "relation_id", "tail_id"],
    "link": ["item_id", "entity_id"],
}


@pytest.fixture
def data_path(tmp_path, monkeypatch):
    """A link of every item to an entity, and triples between those and seven others."""
    monkeypatch.chdir(tmp_path)  # RecBole writes log_tensorboard here
    base = write_toy(tmp_path) / "toy" / "toy"
    links = [(f"i{item}", f"e{item}") for item in range(40)]
    write_table(base.with_suffix(".link"), ["item_id:token", "entity_id:token"], links)
    triples = [(f"e{item}", f"r{item % 3}", f"f{item % 7}") for item in range(40)]
    header = ["head_id:token", "relation_id:token", "tail_id:token"]
    write_table(base.with_suffix(".kg"), header, triples)
    return tmp_path


def knowledge(model, data_path, **settings):
    return toy_config(model, data_path, load_col=COLUMNS, **settings)


def test_an_epoch_of_both_ends_with_the_interactions(data_path):
    loader = prepare(knowledge("CKE", data_path, train_batch_size=16)).train
    loader.set_mode(KGDataLoaderState.RSKG)
    assert len(loader.dataset) == loader.dataset.inter_num
    steps = len(loader.general_dataloader)
    assert steps > 2 * len(loader.kg_dataloader)  # the triples start anew
    seen = []
    for batch in iter(loader):
        assert {"user_id", "neg_item_id", "head_id", "neg_tail_id"} <= set(batch.columns)
        seen.append(batch)
        assert len(seen) <= steps
    assert len(seen) == steps
    epoch, other = iter(loader), iter(loader)
    next(epoch)
    assert len(list(other)) == steps and len(list(epoch)) == steps - 1


@pytest.mark.parametrize("model", ["CKE", "KTUP", "CFKG"])
def test_knowledge_aware_models_train_and_evaluate(model, data_path):
    run = prepare(knowledge(model, data_path, epochs=2, embedding_size=8, kg_embedding_size=8))
    trainer = new_trainer(run)
    _, valid = trainer.fit(run.train, run.valid)
    assert all(0 <= value <= 1 for value in valid.values())
    assert trainer.evaluate(run.test).keys() == valid.keys()


def test_a_saved_graph_is_the_same_graph(data_path):
    saving = prepare(knowledge("CKE", data_path, save_dataset=True)).train.dataset
    file = data_path / "saved" / "toy-KnowledgeDataset.pth"
    reading = prepare(knowledge("CKE", data_path, dataset_save_path=str(file))).train.dataset
    assert (saving.kg_graph("csr") != reading.kg_graph("csr")).nnz == 0
    assert torch.equal(saving.inter_feat["item_id"], reading.inter_feat["item_id"])


def test_a_package_that_is_not_here_is_named(data_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dgl", None)
    run = prepare(knowledge("KGAT", data_path))
    with pytest.raises(MissingPackage, match=r"KGAT needs the package dgl, .* \(pip install dgl\)"):
        build_model(run.config, run.train.dataset)


def write_links(data_path, links):
    file = data_path / "toy" / "toy.link"
    write_table(file, ["item_id:token", "entity_id:token"], links)


@pytest.mark.parametrize(
    ("links", "message"),
    [
        ([("0", "e0")], r"toy\.link: column \[item_id\] .* the interactions: found \[0\] here"),
        ([("i0", "x0")], r"toy\.link: column \[entity_id\] .* the triples: found \[x0\] here"),
        ([("i0", "x0"), ("0", "e0")], r"toy\.link links no item of the interactions to an entity"),
    ],
)
def test_links_that_lead_nowhere_are_refused(data_path, links, message):
    write_links(data_path, links)
    with pytest.raises(InputError, match=message):
        create_dataset(knowledge("CKE", data_path))


def test_interactions_without_a_link_are_counted(data_path, caplog):
    plain = create_dataset(toy_config("BPR", data_path))
    write_links(data_path, [("i0", "e0"), ("i1", "e1"), ("i2", "x")])
    kept = create_dataset(knowledge("CKE", data_path)).inter_num
    assert 0 < kept < plain.inter_num
    lost = plain.inter_num - kept
    assert f"{lost} of {plain.inter_num} interactions are left out: " in caplog.text


@pytest.mark.parametrize(
    ("suffix", "key"), [("kg", "RELATION_ID_FIELD"), ("link", "ENTITY_ID_FIELD")]
)
def test_columns_that_are_not_loaded_are_named(data_path, suffix, key):
    columns = {**COLUMNS, suffix: COLUMNS[suffix][:1] + COLUMNS[suffix][2:]}
    message = rf"toy\.{suffix}: no column \[\w+\] \({key}\) among those loaded"
    with pytest.raises(InputError, match=message):
        create_dataset(toy_config("CKE", data_path, load_col=columns))


def test_whatever_stops_a_model_of_recbole_from_being_built_is_one_line(tmp_path):
    config = toy_config("BPR", write_toy(tmp_path), embedding_size=-3)
    message = "RecBole's BPR cannot be built with these settings and data: RuntimeError"
    with pytest.raises(InputError, match=message):
        build_model(config, create_dataset(config))
