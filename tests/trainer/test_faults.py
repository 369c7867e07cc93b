"""Faults of a long run: one clear message, and nothing lost that was saved before."""

import errno
import math
import os
import signal
import subprocess
from pathlib import Path

import pytest
import torch

from recbole_genrec import cli
from recbole_genrec.commands.tokenize import tokenize
from recbole_genrec.errors import InputError, RunError
from recbole_genrec.files import check_writable
from recbole_genrec.quick_start import run_recbole_genrec
from recbole_genrec.runs.checkpoint import load_checkpoint, save_checkpoint
from recbole_genrec.stopping import SENT, Stopped, stop_as_by_ctrl_c
from recbole_genrec.trainer import GenRecTrainer
from recbole_genrec.trainer.checkpointer import check_resumable
from tests.callbacks import At, fail
from tests.resume_cases import SETTINGS
from tests.small import NAME, new_trainer, prepare, toy_config, write_toy

MODEL = "SASRec"


@pytest.fixture(autouse=True)
def _work_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(tmp_path):
    """Data of a model that trains for three epochs of several batches."""
    return prepare(toy_config(MODEL, write_toy(tmp_path), **SETTINGS[MODEL], epochs=3))


def test_a_model_of_negatives_without_any_is_refused(tmp_path):
    run = prepare(toy_config("BPR", write_toy(tmp_path), train_neg_sample_args=None))
    with pytest.raises(InputError, match="train_neg_sample_args should be .* as BPR learns from"):
        new_trainer(run).fit(run.train, run.valid)


# ---- disk


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of 400 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    if os.name != "posix" or os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_loses_nothing(run, small_disk):
    run.config["checkpoint_dir"] = str(small_disk)
    trainer = new_trainer(run)
    trainer.epochs = 1
    trainer.fit(run.train, run.valid)
    kept = {path.name: path.read_bytes() for path in small_disk.iterdir()}
    assert len(kept) == 2

    (small_disk / "others").write_bytes(bytes(os.statvfs(small_disk).f_bavail * 4096))
    again = new_trainer(run)
    again.resume("auto")
    with pytest.raises(RunError, match=r"-last\.pth\] could not be written: No space left"):
        again.fit(run.train, run.valid)
    for name, content in kept.items():
        assert (small_disk / name).read_bytes() == content
    assert {path.name for path in small_disk.iterdir()} == {*kept, "others"}

    with pytest.raises(InputError, match=r"results_dir .* \(No space left on device\)"):
        check_writable("results_dir", small_disk)
    (small_disk / "others").unlink()
    again = new_trainer(run)
    again.resume("auto")
    again.fit(run.train, run.valid)
    assert list(again.train_loss_dict) == [0, 1, 2]


@pytest.mark.parametrize(
    ("made", "tokenizer", "file"),
    [([], "Random", "toy-tfidf-.*"), (["Random"], "RQKMeans", "toy-RQKMeans-.*")],
    ids=["embeddings", "tokenizer"],
)
def test_a_disk_that_fills_up_in_a_stage_is_one_line(small_disk, tmp_path, made, tokenizer, file):
    settings = {
        **{"data_path": str(write_toy(tmp_path)), "checkpoint_dir": str(small_disk)},
        **{"item_text_fields": ["title"], "codebook_sizes": [32, 32], "show_progress": False},
    }
    for name in made:
        tokenize(NAME, name, config_dict=settings)
    (small_disk / "others").write_bytes(bytes(os.statvfs(small_disk).f_bavail * 4096 - 8192))
    with pytest.raises(RunError, match=rf"{file}\] could not be written: No space left"):
        tokenize(NAME, tokenizer, config_dict=settings)
    (small_disk / "others").unlink()
    assert tokenizer in tokenize(NAME, tokenizer, config_dict=settings)


def test_a_read_only_disk_is_found_before_any_work(small_disk, tmp_path):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(InputError, match=r"checkpoint_dir .* \(Read-only file system\)"):
        run_recbole_genrec(
            MODEL,
            NAME,
            config_dict={"data_path": str(write_toy(tmp_path)), "checkpoint_dir": str(small_disk)},
        )


def test_a_file_in_the_place_of_a_log_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "log").touch()
    with pytest.raises(InputError, match=r"the folder for log \[.*log\] cannot be written to"):
        run_recbole_genrec("Pop", NAME, config_dict={"data_path": str(write_toy(tmp_path))})


@pytest.mark.parametrize("key", ["checkpoint_dir", "results_dir"])
def test_folders_that_cannot_be_written_are_named_before_any_work(key, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    folder = str(tmp_path / "file" / "folder")
    settings = {"data_path": str(write_toy(tmp_path)), key: folder}
    with pytest.raises(InputError, match=rf"{key} \[{folder}\] cannot be written"):
        run_recbole_genrec(MODEL, NAME, config_dict=settings)
    assert not (tmp_path / "log").exists()


def test_missing_permission_is_named(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("recbole_genrec.files.TemporaryFile", refused)
    with pytest.raises(InputError, match=r"\(Permission denied\): make room or give permission"):
        check_writable("checkpoint_dir", tmp_path)


def test_a_missing_checkpoint_is_named_before_any_work(tmp_path):
    settings = {"data_path": str(write_toy(tmp_path)), "resume": "gone.pth"}
    with pytest.raises(InputError, match=r"resume should be auto or a checkpoint.*\[gone.pth\]"):
        run_recbole_genrec(MODEL, NAME, config_dict=settings)
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, r"resume: \[other.pth\] is damaged or no checkpoint"),
        ({"model": "GRU4Rec", "dataset": NAME}, r"resume: .* of model \[GRU4Rec\], not of \[SASR"),
        ({"model": MODEL, "dataset": "ml-1m"}, r"resume: .* of dataset \[ml-1m\], not of \[toy\]"),
    ],
)
def test_a_foreign_checkpoint_is_named_before_any_work(tmp_path, config, message):
    Path("other.pth").write_text("some text")
    if config:
        save_checkpoint({"config": config, "state_dict": {}}, "other.pth")
    settings = {"data_path": str(write_toy(tmp_path)), "resume": "other.pth"}
    with pytest.raises(InputError, match=message):
        run_recbole_genrec(MODEL, NAME, config_dict=settings)
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize("model", ["TIGER", "UniGRec"])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "ce"}, r"loss should be one of cross_entropy, rank.*\[ce\]"),
        (
            {"loss": "rank", "rank_temperature": 0},
            r"rank_temperature should be a finite number > 0",
        ),
    ],
)
def test_a_loss_that_cannot_work_is_named_before_any_data(tmp_path, model, settings, message):
    (tmp_path / NAME).mkdir()  # a data set without files, which would be the next fault
    with pytest.raises(InputError, match=message):
        run_recbole_genrec(model, NAME, config_dict={"data_path": str(tmp_path), **settings})


def test_a_good_checkpoint_beside_a_damaged_last_one_will_do(tmp_path):
    config = toy_config(MODEL, write_toy(tmp_path))
    save_checkpoint({"config": config.as_dict(), "state_dict": {}}, "run.pth")
    Path("run-last.pth").write_text("some text")
    check_resumable("run-last.pth", config)


# ---- memory


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
        MemoryError(),
    ],
)
@pytest.mark.parametrize("event", ["on_step_start", "on_valid_start"])
def test_out_of_memory_names_the_settings_that_lower_it(run, error, event):
    trainer = new_trainer(run)
    trainer.callbacks = [At(event, 1, fail(error))]
    with pytest.raises(
        RunError, match=r"train_batch_size \[32\].*eval_batch_size \[4096\]"
    ) as found:
        trainer.fit(run.train, run.valid)
    assert str(found.value).count("out of memory on") == 1


def test_lack_of_memory_in_the_test_is_explained_as_well(run):
    trainer = new_trainer(run)
    trainer.model.full_sort_predict = lambda _: torch.empty(1 << 60)
    with pytest.raises(RunError, match="out of memory on cpu: .* eval_batch_size"):
        trainer.evaluate(run.test, load_best_model=False)


def test_real_lack_of_memory_is_recognized(run):
    def greedy(interaction):
        return torch.empty(1 << 60)

    trainer = new_trainer(run)
    trainer.model.calculate_loss = greedy
    with pytest.raises(RunError, match="out of memory on cpu"):
        trainer.fit(run.train, run.valid)


def test_other_errors_stay_as_they_are(run):
    trainer = new_trainer(run)
    trainer.callbacks = [At("on_step_start", 1, fail(RuntimeError("shapes do not match")))]
    with pytest.raises(RuntimeError, match="^shapes do not match$") as caught:
        trainer.fit(run.train)
    assert type(caught.value) is RuntimeError


def test_an_epoch_is_not_lost_when_its_validation_fails(run):
    trainer = new_trainer(run)
    trainer.model.full_sort_predict = lambda _: torch.empty(1 << 60)
    with pytest.raises(RunError):
        trainer.fit(run.train, run.valid)
    again = new_trainer(run)
    again.resume("auto")
    assert again.step == trainer.step == len(run.train)


# ---- NaN


def test_nan_keeps_the_last_good_checkpoint(run, monkeypatch):
    trainer = new_trainer(run)
    calls = []
    calculate_loss = trainer.model.calculate_loss

    def loss_in_parts(interaction):
        calls.append(None)
        loss = calculate_loss(interaction)
        return loss, loss * (math.nan if len(calls) == len(run.train) + 2 else 1.0)

    trainer.model.calculate_loss = loss_in_parts
    message = r"nan in epoch 1, batch 1 \(parts of the loss: .*; train_loss2\): lower learning_rate"
    with pytest.raises(InputError, match=message):
        trainer.fit(run.train, run.valid)
    for file in (trainer.saved_model_file, trainer.last_model_file):
        checkpoint = load_checkpoint(file)
        assert checkpoint["epoch"] == 0
        assert not any(weight.isnan().any() for weight in checkpoint["state_dict"].values())


def test_weights_that_the_last_step_has_spoilt_are_not_saved(run):
    trainer = new_trainer(run)

    def spoil():
        with torch.no_grad():
            trainer.model.item_embedding.weight[3] = math.nan

    trainer.callbacks = [At("on_step_end", 2 * len(run.train), spoil)]
    with pytest.raises(InputError, match=r"\[item_embedding.weight\] NaN"):
        trainer.fit(run.train)
    assert load_checkpoint(trainer.saved_model_file)["epoch"] == 0
    assert load_checkpoint(trainer.last_model_file)["epoch"] == 0


# ---- Ctrl-C


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_finishes_the_batch_and_saves(run):
    trainer = new_trainer(run)
    trainer.callbacks = [At("on_step_start", 3, press_ctrl_c)]
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(run.train, run.valid)
    checkpoint = load_checkpoint(trainer.last_model_file)
    assert checkpoint["step"] == 3 and checkpoint["position"]["losses"]["steps"] == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.fixture(params=[signal.SIGTERM, signal.SIGHUP])
def sent(request):
    """A signal of a queue, in a process that the shell lets ignore Ctrl-C."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *SENT)}
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(request.param, signal.SIG_DFL)
    stop_as_by_ctrl_c()
    yield request.param
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_queue_that_ends_the_run_waits_for_the_batch_too(run, sent):
    trainer = new_trainer(run)
    trainer.callbacks = [At("on_step_start", 3, lambda: os.kill(os.getpid(), sent))]
    with pytest.raises(Stopped, match=f"stopped by {sent.name}"):
        trainer.fit(run.train, run.valid)
    assert load_checkpoint(trainer.last_model_file)["step"] == 3
    with pytest.raises(Stopped):  # which it goes on to mean
        os.kill(os.getpid(), sent)


def test_a_second_ctrl_c_does_not_wait(run):
    def twice():
        press_ctrl_c()
        press_ctrl_c()
        pytest.fail("went on")

    trainer = new_trainer(run)
    trainer.callbacks = [At("on_step_start", 1, twice)]
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(run.train, run.valid)
    assert load_checkpoint(trainer.last_model_file)["step"] == 0


@pytest.mark.parametrize(
    ("error", "code"),
    [(KeyboardInterrupt(), 130), (RunError("no room"), "error: no room")],
)
def test_the_command_line_ends_in_one_line(error, code, tmp_path, monkeypatch, caplog):
    """The log says how to go on."""
    monkeypatch.setattr(GenRecTrainer, "callbacks", [At("on_step_start", 2, fail(error))])
    data = write_toy(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", f"--model={MODEL}", f"--dataset={NAME}", f"--data_path={data}"])
    assert ended.value.code == code
    (last,) = Path("saved").glob("*-last.pth")
    assert caplog.messages[-1] == f"Training was stopped. To go on, add --resume={last}"
