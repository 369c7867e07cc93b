"""What a queue sends before it kills ends a run with Ctrl-C's care."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import REPOSITORY
from tests.small import NAME, write_toy


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_stopped_run_says_so_and_can_go_on(tmp_path, sent):
    said = stopped(tmp_path, sent)
    (record,) = (tmp_path / "results").glob("*/result.json")
    result = json.loads(record.read_text())
    assert result["status"] == "failed"
    expected = "KeyboardInterrupt" if sent == signal.SIGINT else f"stopped by {sent.name}"
    assert expected in result["error"]["message"] + result["error"]["type"]
    assert "To go on, add --resume=" in said


def test_several_processes_stop_when_a_queue_signals_all_of_them(tmp_path):
    """In the background of a shell script, where all of them ignore Ctrl-C."""
    stopped(tmp_path, signal.SIGTERM, "--nproc=2", ignored=signal.SIGINT)
    (record,) = (tmp_path / "results").glob("*/result.json")
    assert json.loads(record.read_text())["status"] == "failed"


def stopped(folder: Path, sent: signal.Signals, *settings: str, ignored: int | None = None) -> str:
    """What a run says that gets this signal once it trains, as do all processes of its group."""
    data_path = write_toy(folder)
    settings = (*settings, "--epochs=100000", "--stopping_step=100000")
    command = [
        *(sys.executable, "-c", "from recbole_genrec.cli import main; main()", "run"),
        *("--model=SASRec", f"--dataset={NAME}", f"--data_path={data_path}", *settings),
        "--train_neg_sample_args=None",
    ]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}

    def begin() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup has ignored
        if ignored is not None:
            signal.signal(ignored, signal.SIG_IGN)

    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=begin,
    ) as run:
        try:
            for _ in range(1200):
                if list((folder / "saved").glob("*-last.pth")) or run.poll() is not None:
                    break
                time.sleep(0.1)
            workers = [
                process
                for process in psutil.Process(run.pid).children()
                if "spawn_main" in " ".join(process.cmdline())
            ]
            run.send_signal(sent)
            for worker in workers:
                worker.send_signal(sent)
            said = run.communicate(timeout=120)[0].decode()
        finally:
            run.kill()
    assert run.returncode == 128 + sent, said
    assert "Traceback" not in said
    assert not any(worker.is_running() for worker in workers)
    return said
