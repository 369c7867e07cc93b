"""Two processes with the same settings do not write each other's best epoch."""

import subprocess
import sys

import pytest

from recbole_genrec.errors import RunError
from recbole_genrec.quick_start import run_recbole_genrec
from recbole_genrec.runs.checkpoint import load_checkpoint, save_checkpoint
from recbole_genrec.trainer.checkpointer import Checkpointer, training_alone
from tests.small import NAME, new_trainer, prepare, toy_config, write_toy

HOLD = """if True:
    import sys, time
    from recbole_genrec.trainer.checkpointer import training_alone
    with training_alone(sys.argv[1]):
        print("held", flush=True)
        time.sleep(60)
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return toy_config("SASRec", write_toy(tmp_path), results_dir=str(tmp_path / "results"))


def test_a_second_run_of_the_same_settings_is_refused_until_the_first_ends(config, tmp_path):
    best = Checkpointer(config).best
    best.parent.mkdir()
    with subprocess.Popen([sys.executable, "-c", HOLD, best], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match=rf"another process trains this: it writes \[{best}\]"):
            run_recbole_genrec("SASRec", NAME, config_dict=config.external_config_dict)
        assert not best.exists()
        other.kill()
    run_recbole_genrec("SASRec", NAME, config_dict=config.external_config_dict)
    assert best.exists()
    with training_alone(best):  # the run holds it no longer
        pass


def test_the_epoch_that_is_tested_is_the_best_one_of_this_run(config):
    run = prepare(config)
    trainer = new_trainer(run)
    trainer.fit(run.train, run.valid)
    other = load_checkpoint(trainer.saved_model_file)
    save_checkpoint({**other, "epoch": 17}, trainer.saved_model_file)
    with pytest.raises(RunError, match="holds epoch 17, and the best of this run is 0"):
        trainer.evaluate(run.test)
    new_trainer(run).evaluate(run.test)  # has no best one of its own
