"""What a queue sends before it kills ends a run with Ctrl-C's care."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import REPOSITORY
from tests.small import NAME, write_toy


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_stopped_run_says_so_and_can_go_on(tmp_path, sent):
    data_path = write_toy(tmp_path)
    settings = ["--epochs=100000", "--stopping_step=100000", "--train_neg_sample_args=None"]
    command = [
        *(sys.executable, "-c", "from recbole_genrec.cli import main; main()", "run"),
        *("--model=SASRec", f"--dataset={NAME}", f"--data_path={data_path}", *settings),
    ]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # which nohup has ignored
    ) as run:
        try:
            for _ in range(1200):
                if list((tmp_path / "saved").glob("*-last.pth")) or run.poll() is not None:
                    break
                time.sleep(0.1)
            run.send_signal(sent)
            said = run.communicate(timeout=120)[0].decode()
        finally:
            run.kill()
    assert run.returncode == 128 + sent, said
    assert "Traceback" not in said and "To go on, add --resume=" in said
    (record,) = (tmp_path / "results").glob("*/result.json")
    result = json.loads(record.read_text())
    assert result["status"] == "failed"
    expected = "KeyboardInterrupt" if sent == signal.SIGINT else f"stopped by {sent.name}"
    assert expected in result["error"]["message"] + result["error"]["type"]
