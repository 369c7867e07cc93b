"""From data set to loaders."""

import pytest
import torch

from recbole_genrec.data.loaders import data_preparation
from recbole_genrec.errors import InputError
from recbole_genrec.registry import create_dataset
from tests.runs import prepare, toy_config, write_toy


def batches(run):
    return [batch["item_id_list"] for batch in run.train]


def test_a_run_that_saves_its_loaders_shuffles_as_one_that_reads_them(tmp_path, monkeypatch):
    data_path = write_toy(tmp_path)
    plain = batches(prepare(toy_config("SASRec", data_path)))
    saving = batches(prepare(toy_config("SASRec", data_path, save_dataloaders=True)))
    reading = batches(prepare(toy_config("SASRec", data_path, epochs=2)))
    for one, two, three in zip(plain, saving, reading, strict=True):
        assert torch.equal(one, two) and torch.equal(one, three)


def test_loaders_of_other_samples_are_not_read(tmp_path):
    data_path = write_toy(tmp_path)
    whole = prepare(toy_config("TIGER", data_path, save_dataloaders=True))
    causal = prepare(toy_config("TIGER", data_path, history_attention="causal"))
    assert len(causal.train.dataset) < len(whole.train.dataset)


def test_the_tokenizer_stage_reaches_all_parts_but_no_file(tmp_path):
    data_path = write_toy(tmp_path)
    for stage in ("first", "second"):  # the second time the loaders are read from the file
        config = toy_config("SASRec", data_path, save_dataloaders=True)
        dataset = create_dataset(config)
        dataset.tokenizer_stage = stage
        loaders = data_preparation(config, dataset)
        assert [loader.dataset.tokenizer_stage for loader in loaders] == [stage] * 3
        assert dataset.tokenizer_stage == stage
    assert b"first" not in next((tmp_path / "saved").glob("*dataloader*")).read_bytes()


def test_nothing_to_train_on_is_said(tmp_path):
    data_path = write_toy(tmp_path)
    file = data_path / "toy" / "toy.inter"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:2]))  # one interaction
    with pytest.raises(InputError, match=r"\[toy\]: no training sample is left"):
        prepare(toy_config("SASRec", data_path))


def test_a_split_has_three_parts(tmp_path):
    with pytest.raises(InputError, match=r"expected three parts, .* found 2 "):
        prepare(toy_config("BPR", write_toy(tmp_path), eval_args={"split": {"RS": [0.8, 0.2]}}))


def test_workers_gather_histories_too(tmp_path):
    data_path = write_toy(tmp_path)
    alone = batches(prepare(toy_config("SASRec", data_path)))
    together = batches(prepare(toy_config("SASRec", data_path, worker=2)))
    assert all(torch.equal(one, two) for one, two in zip(alone, together, strict=True))
