"""Each run has a log of its own."""

import logging
from pathlib import Path

from recbole_genrec.runs.log import start_log
from tests.small import toy_config, write_toy


def test_a_later_run_writes_into_a_file_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # without those of pytest
    for seed, model in enumerate(["BPR", "Pop", "BPR"]):
        start_log(toy_config(model, write_toy(tmp_path), seed=seed))
        logging.getLogger().info(f"this is {seed}")
    for handler in logging.getLogger().handlers:
        handler.close()
    logs = [(file.parent.name, file.read_text()) for file in Path("log").rglob("*.log")]
    said = sorted((model, *text.split()[-1:]) for model, text in logs if text.count("this is") == 1)
    assert said == [("BPR", "0"), ("BPR", "2"), ("Pop", "1")]
