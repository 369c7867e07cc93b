"""Runs whose files are damaged are named and left out; the others are compared all the same."""

import json

import numpy as np
import pytest

from recbole_genrec.compare import compare
from recbole_genrec.errors import InputError
from recbole_genrec.report import write_report
from recbole_genrec.runs.record import RECOMMENDATIONS, RESULT, load_result
from tests.made_up_runs import made_up_recommendations, write_run

KEYS = (
    *("format", "status", "model", "dataset", "seed", "fingerprint", "started", "config"),
    *("versions", "hardware", "seconds", "parameters", "tokenizer_reports", "epochs_trained"),
    *("steps", "best_epoch", "valid_metric", "learning_curve", "peak_memory"),
)


@pytest.fixture
def runs(tmp_path):
    """Two sound runs of two models, and one of a third, to be damaged."""
    for seed, model in enumerate(("A", "B", "C"), 1):
        write_run(tmp_path / model, model, seed, made_up_recommendations(seed))
    return tmp_path


def compared(runs):
    """The comparison, all forms of which can be written, and what it says of C."""
    comparison = compare([runs])
    write_report(comparison, runs / "report")
    (said,) = comparison["failed"]
    assert [model["name"] for model in comparison["models"]] == ["A", "B"]
    return said


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("change", ["missing", "of another type"])
def test_a_record_without_an_entry(runs, key, change):
    file = runs / "C" / RESULT
    record = json.loads(file.read_text())
    if change == "missing":
        del record[key]
    else:
        record[key] = [[]]
    file.write_text(json.dumps(record))
    said = compared(runs)
    assert said["folder"].endswith("C") and "result.json: expected" in said["error"]
    assert key in said["error"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "[" * 100_000, '{"format": ' + "9" * 5000 + "}", "\0"]
)
def test_what_is_no_record(runs, text):
    (runs / "C" / RESULT).write_text(text)
    assert "result.json: expected" in compared(runs)["error"]


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("dataset", "../../../../escape"),
        ("dataset", "a\n\\input{/etc/passwd}"),
        ("dataset", ".."),
        ("model", "C/../../x"),
        ("model", "a\0b"),
    ],
)
def test_a_name_leaves_no_folder(runs, key, name):
    record = json.loads((runs / "C" / RESULT).read_text())
    (runs / "C" / RESULT).write_text(json.dumps({**record, key: name}))
    with pytest.raises(InputError, match=f"expected the name of a {key}"):
        load_result(runs / "C")
    compared(runs)


@pytest.mark.parametrize("place", range(40, 4000, 397))
def test_flipped_bits_in_the_lists(runs, place):
    file = runs / "C" / RECOMMENDATIONS
    content = bytearray(file.read_bytes())
    content[place % len(content)] ^= 0xFF
    file.write_bytes(content)
    comparison = compare([runs])
    damaged = [run for run in comparison["failed"] if "recommendations.npz" in run["error"]]
    assert len(damaged) + len(comparison["models"]) == 3  # some bytes are of no account


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("items", lambda items: items[:-1]),
        ("items", lambda items: items + 10**6),
        ("targets", lambda targets: -targets),
        ("targets", lambda targets: targets.astype(float)),
        ("popularity", lambda counts: counts[:-1]),
        ("histories", lambda histories: histories[:, 0]),
        ("users_lengths", lambda lengths: lengths + 1),
        ("item_tokens_utf8", lambda text: text[:-1]),
    ],
)
def test_lists_that_do_not_belong_together(runs, name, change):
    file = runs / "C" / RECOMMENDATIONS
    with np.load(file) as content:
        arrays = dict(content)
    arrays[name] = change(arrays[name])
    np.savez_compressed(file, **arrays)
    assert "recommendations.npz: expected saved recommendations" in compared(runs)["error"]


def test_no_sound_run_is_an_error_with_what_was_found(runs):
    for model in ("A", "B", "C"):
        (runs / model / RESULT).write_text("{")
    with pytest.raises(InputError, match=r"nothing to compare: .*A/result\.json: expected the rec"):
        compare([runs])


def test_a_long_token_makes_no_other_longer(tmp_path):
    recommendations = made_up_recommendations(1)
    tokens = recommendations.item_tokens.astype(object)
    tokens[3] = "x" * 20_000
    recommendations.item_tokens = np.array([*tokens, *map(str, range(50_000))], dtype=object)
    recommendations.popularity = np.zeros(len(recommendations.item_tokens), dtype=int)
    recommendations.codes = {}
    recommendations.save(tmp_path / "a.npz")
    loaded = type(recommendations).load(tmp_path / "a.npz")  # 4 GB as an array of texts
    assert loaded.item_tokens.tolist() == recommendations.item_tokens.tolist()
    assert (tmp_path / "a.npz").stat().st_size < 1e6
