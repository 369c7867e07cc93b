"""The command: what it says, how it stops, and what it refuses."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from urllib.request import Request, urlopen

import pytest

from recbole_genrec import cli
from tests.conftest import REPOSITORY


@contextmanager
def served(checkpoint):
    """A server in a process of its own, and its address."""
    code = "from recbole_genrec.cli import main; main()"
    command = [sys.executable, "-c", code, "serve", f"--checkpoint={checkpoint}", "--port=0"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # which nohup has ignored
    ) as server:
        try:
            says = server.stdout.readline()
            line = r"TIGER with 40 items answers on (http://127\.0\.0\.1:\d+) \(Ctrl-C stops it\)\n"
            found = re.fullmatch(line, says)
            assert found, says + server.stdout.read()
            yield server, found[1]
        finally:
            server.kill()


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stopped_server_answers_what_it_was_asked(checkpoint, sent):
    question = {"histories": [["i1", "i2"]] * 64, "top_k": 40}
    with served(checkpoint) as (server, address):
        answers = []

        def ask():
            body = Request(
                f"{address}/recommend",
                json.dumps(question).encode(),
                {"Content-Type": "application/json"},
            )
            answers.append(json.load(urlopen(body, timeout=60)))

        asking = [threading.Thread(target=ask) for _ in range(20)]
        for thread in asking:
            thread.start()
        while json.load(urlopen(f"{address}/health"))["waiting"] < 3:
            assert not answers[15:], "too fast to be stopped amidst"
        server.send_signal(sent)
        for thread in asking:
            thread.join(60)
        assert server.wait(60) == 0
        assert server.stdout.read() == "stopped\n"
    assert [len(answer["recommendations"]) for answer in answers] == [64] * len(answers)
    assert len(answers) >= 4  # those that waited and the one being answered


def refusal(*options):
    with pytest.raises(SystemExit) as error:
        cli.main(["serve", *options])
    return str(error.value)


def test_an_address_that_cannot_be_had(checkpoint):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refusal(f"--checkpoint={checkpoint}", f"--port={port}")
    assert said.startswith(f"error: host 127.0.0.1, port {port} cannot be had (Address already in")
    said = refusal(f"--checkpoint={checkpoint}", "--port=65536")
    assert said == "error: port should be a number at least 0 and at most 65535, found [65536]"
    said = refusal(f"--checkpoint={checkpoint}", "--host=nowhere.invalid")
    assert said.startswith("error: host should be a name or address of this machine, found [nowh")


def test_a_checkpoint_that_is_not_there(tmp_path):
    said = refusal(f"--checkpoint={tmp_path / 'a.pth'}", "--port=0")
    assert said == f"error: there is no checkpoint [{tmp_path / 'a.pth'}]"


def test_without_the_extra_one_line_says_how_to_get_it():
    code = """
import sys
sys.modules["uvicorn"] = None  # as if it were not installed
from recbole_genrec.cli import main
main(["serve", "--checkpoint=a.pth"])
"""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    expected = 'error: serve needs the package uvicorn: pip install "recbole-genrec[serve]"\n'
    assert (run.returncode, run.stderr) == (1, expected)
