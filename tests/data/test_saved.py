"""Saved data sets and splits: read where they are asked for, equal to what was saved, no code."""

import pickle

import numpy as np
import pytest
import torch

from recbole_genrec.data.dataset import GenRecDataset
from recbole_genrec.errors import InputError
from tests.small import LOAD_ALL, prepare, toy_config, write_toy

MODELS = {
    "SASRec": {},
    "TIGER": {
        "history_attention": "causal",
        "item_text_fields": ["title"],
        "tokenizer": "Random",
        "codebook_sizes": [8, 8],
    },
    "BPR": {"numerical_features": ["price", "vector"], "discretization": None},
    "DIEN": {"metrics": ["AUC"], "valid_metric": "AUC"},
    "FEARec": {},
}


class Attack:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("code of the file was run",)


def samples(run):
    """All samples of the three parts, without sampling negatives."""
    parts = [loader.dataset for loader in (run.train, run.valid, run.test)]
    return [part[torch.arange(len(part))] for part in parts]


def plain(value):
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    return list(value) if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("model", MODELS)
def test_what_is_read_equals_what_was_saved(model, tmp_path, monkeypatch):
    settings = {"load_col": LOAD_ALL, **MODELS[model]}
    data_path = write_toy(tmp_path)
    saving = prepare(
        toy_config(model, data_path, save_dataset=True, save_dataloaders=True, **settings)
    )
    whole, split = sorted((tmp_path / "saved").glob("*.pth"), key=lambda file: "-for-" in file.name)
    monkeypatch.setattr(GenRecDataset, "_load_data", lambda *_: pytest.fail("loaded from scratch"))
    reading = prepare(
        toy_config(
            model,
            data_path,
            dataset_save_path=str(whole),
            dataloaders_save_path=str(split),
            epochs=5,  # on which neither depends
            **settings,
        )
    )
    assert reading.train.dataset.config["epochs"] == 5
    for one, two in zip(samples(saving), samples(reading), strict=True):
        assert list(one) == list(two)
        assert all(torch.equal(one[f], two[f]) for f in one if not f.startswith("neg_"))
    for name in ("field2type", "field2source", "field2token_id", "field2seqlen", "alias"):
        before, after = (plain(vars(run.train.dataset)[name]) for run in (saving, reading))
        assert before == after, name


@pytest.mark.parametrize("read", ["dataset_save_path", "dataloaders_save_path"])
@pytest.mark.parametrize("change", ["item_inter_num_interval", "eval_args", "encoding", "file"])
def test_other_settings_and_other_files_are_loaded_afresh(tmp_path, caplog, read, change):
    data_path = write_toy(tmp_path)
    before = prepare(toy_config("SASRec", data_path, save_dataset=True, save_dataloaders=True))
    file = next(
        f for f in (tmp_path / "saved").iterdir() if ("-for-" in f.name) == ("load" in read)
    )
    settings = {
        "item_inter_num_interval": "[6,inf)",
        "eval_args": {"split": {"LS": "valid_only"}},
        "encoding": "latin-1",
    }
    if change == "file":
        inter = data_path / "toy" / "toy.inter"
        inter.write_text(inter.read_text() + "u0\ti1\t3\t99999\n")
    given = {change: settings[change]} if change in settings else {}
    config = toy_config("SASRec", data_path, **{read: str(file)}, **given)
    after = prepare(config)
    assert f"{read}: [{file}] was made with other settings or files" in caplog.text
    same = len(after.train.dataset) == len(before.train.dataset)
    assert same == (change == "encoding")


def test_a_file_that_nobody_asked_for_is_not_read(tmp_path):
    data_path = write_toy(tmp_path)
    (tmp_path / "saved").mkdir()
    for name in ("toy-GenRecDataset", "toy-for-SASRec-dataloader", "toy-for-SASRec-split"):
        (tmp_path / "saved" / f"{name}.pth").write_bytes(pickle.dumps(Attack()))
    prepare(toy_config("SASRec", data_path))


@pytest.mark.parametrize("key", ["dataset_save_path", "dataloaders_save_path"])
@pytest.mark.parametrize("content", ["code", "torch code", "garbage", "cut", "nothing"])
def test_what_is_no_saved_data_set_is_one_line(tmp_path, key, content):
    data_path = write_toy(tmp_path)
    prepare(toy_config("SASRec", data_path, save_dataset=True))
    file = tmp_path / "file.pth"
    if content == "code":
        file.write_bytes(pickle.dumps(Attack()))
    elif content == "torch code":
        torch.save({"content": Attack(), "identity": {}}, file)
    elif content == "garbage":
        file.write_bytes(b"garbage")
    elif content == "cut":
        whole = (tmp_path / "saved" / "toy-GenRecDataset.pth").read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
    message = "there is no file" if content == "nothing" else "is damaged or was not written by"
    with pytest.raises(InputError, match=rf"{key}: .*{message}"):
        prepare(toy_config("SASRec", data_path, **{key: str(file)}))
