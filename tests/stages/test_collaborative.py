"""The teacher's item embeddings: trained here, from a checkpoint, from a file."""

import numpy as np
import pytest
import torch

from recbole_genrec.data.dataset import create_dataset
from recbole_genrec.errors import InputError
from recbole_genrec.items.needs import Embeddings, Tokens
from recbole_genrec.runs.checkpoint import load_checkpoint
from recbole_genrec.stages.collaborative import teacher_config, train_teacher
from recbole_genrec.stages.plan import run_stages
from recbole_genrec.trainer.trainer import GenRecTrainer
from tests.callbacks import At, Epochs, fail
from tests.small import new_trainer, prepare, toy_config, write_table, write_toy

SMALL = {
    "item_text_fields": ["title"],
    "teacher_hidden_size": 8,
    "teacher_epochs": 2,
    "teacher_train_batch_size": 64,
    "codebook_sizes": [8, 8, 8],
    "distillation_warmup_epochs": 0,
    "teacher_config": {"n_layers": 1, "inner_size": 8},
    "show_progress": False,
}


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Gives (config, data set) of a UniGRec run for further settings."""
    monkeypatch.chdir(tmp_path)  # RecBole writes log_tensorboard here
    data_path = write_toy(tmp_path)

    def make(**settings):
        config = toy_config("UniGRec", data_path, **{**SMALL, **settings})
        return config, create_dataset(config)

    return make


@pytest.fixture
def trainings(monkeypatch):
    """The epochs that were trained, as they happen."""
    epochs = Epochs()
    monkeypatch.setattr(GenRecTrainer, "callbacks", [epochs])
    return epochs.seen


def collaborative(config, dataset):
    """The collaborative embeddings `[n_items, d]`."""
    items = run_stages(config, dataset, [Embeddings("collaborative")])
    return items.embeddings["collaborative"].vectors


def test_the_trained_teacher_is_the_model_that_the_runner_trains(toy, trainings, tmp_path):
    config, dataset = toy()
    embeddings = collaborative(config, dataset)
    assert trainings == [0, 1]
    assert embeddings.shape == (len(dataset.item_tokens), 8)
    assert not embeddings[0].any()

    settings = {"hidden_size": 8, "epochs": 2, "n_layers": 1, "inner_size": 8}
    by_hand = toy_config("SASRec", tmp_path, **settings, loss_type="CE", train_batch_size=64)
    run = prepare(by_hand)
    trainer = new_trainer(run)
    trainer.fit(run.train, run.valid)
    weights = load_checkpoint(trainer.saved_model_file)["state_dict"]["item_embedding.weight"]
    assert torch.equal(embeddings[1:], weights[1:])


def test_a_teacher_is_trained_once_for_the_same_settings_and_data(toy, trainings):
    first = collaborative(*toy())
    of_the_student = {"epochs": 7, "learning_rate": 0.5, "history_attention": "causal"}
    of_the_student |= {"metrics": ["NDCG", "ItemCoverage"], "topk": [5], "metric_decimal_place": 2}
    again = collaborative(*toy(**of_the_student))
    assert trainings == [0, 1]
    assert torch.equal(first, again)
    collaborative(*toy(teacher_learning_rate=0.01))
    assert trainings == [0, 1, 0, 1]
    collaborative(*toy(user_inter_num_interval="[6,inf)"))
    assert trainings == [0, 1, 0, 1, 0, 1]


def test_other_interactions_need_another_teacher(toy, trainings, tmp_path):
    first = toy()
    collaborative(*first)
    file = tmp_path / "toy" / "toy.inter"
    header, *rows = [line.split("\t") for line in file.read_text().splitlines()]
    for row in rows:  # every history backwards
        row[-1] = str(99999 - int(row[-1]))
    file.write_text("\n".join("\t".join(row) for row in [header, *rows]) + "\n")
    second = toy()
    assert second[1].item_tokens == first[1].item_tokens
    collaborative(*second)
    assert trainings == [0, 1, 0, 1]


def test_an_edited_file_means_another_teacher_and_no_refusal(toy, trainings, tmp_path):
    collaborative(*toy())
    file = tmp_path / "toy" / "toy.item"
    file.write_text(file.read_text() + "\n")
    collaborative(*toy())
    assert trainings == [0, 1, 0, 1]


def test_a_teacher_needs_no_times(toy, trainings, tmp_path):
    header = ["user_id:token", "item_id_list:token_seq", "item_id:token"]
    rows = [(f"u{n}", f"i{n}", f"i{n + 1}") for n in range(9)]
    for part in ("train", "valid", "test"):
        write_table(tmp_path / "toy" / f"toy.{part}.inter", header, rows)
    columns = {"inter": ["user_id", "item_id_list", "item_id"], "item": "*"}
    parts = {"benchmark_filename": ["train", "valid", "test"], "load_col": columns}
    config, dataset = toy(**parts)
    assert len(collaborative(config, dataset)) == len(dataset.item_tokens)
    assert trainings == [0, 1]


def test_a_killed_training_goes_on_where_it_stopped(toy, trainings, monkeypatch):
    killed = At("on_valid_start", 2, fail(KeyboardInterrupt))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(GenRecTrainer, "callbacks", [*GenRecTrainer.callbacks, killed])
        collaborative(*toy())
    collaborative(*toy())
    assert trainings == [0, 1, 1]


def test_other_models_can_teach(toy, trainings):
    config, dataset = toy(teacher_model="GRU4Rec", teacher_config={"embedding_size": 6})
    assert collaborative(config, dataset).shape == (len(dataset.item_tokens), 6)
    assert trainings == [0, 1]


def test_from_a_checkpoint(toy, trainings, tmp_path):
    config, dataset = toy()
    checkpoint = train_teacher(teacher_config(config, tmp_path / "elsewhere"))
    del trainings[:]
    config, dataset = toy(teacher_checkpoint=str(checkpoint))
    embeddings = collaborative(config, dataset)
    weights = load_checkpoint(checkpoint)["state_dict"]["item_embedding.weight"]
    assert torch.equal(embeddings[1:], weights[1:])
    assert trainings == []

    other = toy(teacher_checkpoint=str(checkpoint), item_inter_num_interval="[5,inf)")
    with pytest.raises(InputError, match="item_inter_num_interval should be .*5,inf"):
        collaborative(*other)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"teacher_model": "FOO"}, r"teacher_model \[FOO\] .*there is no model named \[FOO\]"),
        ({"teacher_config": {"foo": 3}}, r"teacher_model \[SASRec\] .*unknown key \[foo\]"),
        ({"teacher_hidden_size": 15}, r"teacher_model \[SASRec\] .* cannot be built .*multiple"),
        ({"teacher_model": "TIGER"}, r"with item embeddings, found \[TIGER\]"),
        ({"teacher_model": "Pop", "teacher_config": {}}, r"with item embeddings, found \[Pop\]"),
    ],
    ids=str,
)
def test_what_cannot_teach_is_known_before_the_tokenizer_is_trained(
    toy, trainings, tmp_path, settings, message
):
    with pytest.raises(InputError, match=message):
        run_stages(*toy(**settings), [Tokens(), Embeddings("collaborative")])
    assert not (tmp_path / "saved" / "semantic_ids").exists()


def test_a_checkpoint_of_other_data_is_refused(toy, tmp_path):
    """The same rows in another order: RecBole numbers the items otherwise."""
    config, dataset = toy()
    checkpoint = train_teacher(teacher_config(config, tmp_path / "elsewhere"))
    file = tmp_path / "toy" / "toy.inter"
    header, *lines = file.read_text().splitlines()
    file.write_text("\n".join([header, *lines[::-1]]))
    with pytest.raises(InputError, match=r"trained on other data: toy\.inter"):
        collaborative(*toy(teacher_checkpoint=str(checkpoint)))


def test_a_checkpoint_that_has_seen_the_test_is_refused(toy, tmp_path):
    split = {"split": {"RS": [0.9, 0.05, 0.05]}}
    config, dataset = toy(eval_args=split)
    checkpoint = train_teacher(teacher_config(config, tmp_path / "elsewhere"))
    with pytest.raises(InputError, match="split of eval_args should be .*LS.* found .*RS"):
        collaborative(*toy(teacher_checkpoint=str(checkpoint)))


def test_a_checkpoint_of_more_items_is_refused(toy, tmp_path, monkeypatch):
    config, dataset = toy()
    checkpoint = train_teacher(teacher_config(config, tmp_path / "elsewhere"))
    fewer = dataset.item_tokens[:-2]
    monkeypatch.setattr(type(dataset), "item_tokens", fewer)
    with pytest.raises(InputError, match=f"a row for each of {len(fewer)} items, found"):
        collaborative(*toy(teacher_checkpoint=str(checkpoint)))


def test_a_checkpoint_without_item_embeddings_is_refused(toy, tmp_path):
    run = prepare(toy_config("Pop", tmp_path))
    trainer = new_trainer(run)
    trainer.fit(run.train, run.valid)
    with pytest.raises(InputError, match="of Pop: expected item_embedding.weight .* found None"):
        collaborative(*toy(teacher_checkpoint=trainer.saved_model_file))


def test_from_a_file_by_raw_item_token(toy, tmp_path):
    tokens = toy()[1].item_tokens[1:]
    vectors = {token: np.full(3, number + 1.0) for number, token in enumerate(tokens)}
    shuffled = sorted(tokens)
    file = tmp_path / "teacher.npz"
    np.savez(file, ids=shuffled, embeddings=np.stack([vectors[token] for token in shuffled]))
    embeddings = collaborative(*toy(teacher_embedding_file=str(file)))
    expected = np.stack([np.zeros(3), *vectors.values()])
    assert torch.equal(embeddings, torch.from_numpy(expected).float())

    np.savez(file, ids=shuffled[1:], embeddings=np.ones((len(shuffled) - 1, 3)))
    with pytest.raises(InputError, match="teacher.npz: no embedding for 1 item"):
        collaborative(*toy(teacher_embedding_file=str(file)))

    np.save(tmp_path / "teacher.npy", np.ones((len(shuffled), 3)))
    with pytest.raises(InputError, match=r"^teacher_embedding_file .* `teacher_embedding_ids`"):
        collaborative(*toy(teacher_embedding_file=str(tmp_path / "teacher.npy")))
