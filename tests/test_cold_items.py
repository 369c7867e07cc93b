"""Items held out of training: nothing knows them before they are added, and then they are found."""

import pytest

from benchmarks import cold_items
from recbole_genrec.config import Config
from tests.resume_cases import SETTINGS as RUNS
from tests.small import NAME, write_toy


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return {
        **RUNS["SemanticSASRec"],
        "data_path": str(write_toy(tmp_path, missing=False)),
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "checkpoint_dir": str(tmp_path / "saved"),
        "MAX_ITEM_LIST_LENGTH": 6,
        "epochs": 1,
        "seed": 7,
    }


def test_the_split_holds_items_out_of_everything(settings, tmp_path):
    config = Config("SASRec", NAME, config_dict=settings)
    found = cold_items.split(config, 0.2)
    assert len(found.cold) == len(set(found.cold)) == 8
    lines = (tmp_path / NAME / f"{NAME}.inter").read_text().splitlines()[1:]
    users = {}
    for user, item, _, time in (line.split("\t") for line in lines):
        users.setdefault(user, []).append((int(time), item))
    sequences = [[item for _, item in sorted(events)] for events in users.values()]
    cases = [[*h, target] for h, target in zip(found.histories, found.targets, strict=True)]
    assert sorted(cases) == sorted(sequences)
    cold_items.write_known(found, config, tmp_path / "known")
    folder, name = tmp_path / "known" / f"{NAME}-known", f"{NAME}-known"
    written = [line.split("\t") for line in (folder / f"{name}.inter").read_text().splitlines()[1:]]
    kept = sum(item not in found.cold for history in found.histories for item in history)
    assert len(written) == kept and not {row[1] for row in written} & set(found.cold)
    texts = (folder / f"{name}.item").read_text()
    assert not any(f"{item}\t" in texts for item in found.cold)


def test_rows_of_the_table(settings, tmp_path):
    """A model that takes new items finds all of them in a list as long as there are of them."""
    rows = ["SemanticSASRec", "codes alone", "projected text", "SASRecOnePass"]
    lines = cold_items.measure(NAME, [], settings, 0.2, rows, tmp_path / "cold")
    assert cold_items.measure(NAME, [], settings, 0.2, rows, tmp_path / "cold") == lines  # again
    assert [line[0] for line in lines] == rows
    for name, overall, cold, alone in lines:
        assert 0 <= float(cold) <= float(alone) <= 1 and 0 <= float(overall) <= 1
        assert float(alone) == (name != "SASRecOnePass")  # 8 cold items, lists of ten
