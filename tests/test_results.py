"""The tables of results in README and docs are those of docs/results/*.json."""

import importlib.util
import json

import numpy as np
import pytest

from tests.conftest import REPOSITORY
from tests.made_up_runs import made_up_recommendations, with_masked, write_run


def load_generator():
    path = REPOSITORY / "docs" / "generate_results.py"
    spec = importlib.util.spec_from_file_location("generate_results", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generator = load_generator()


def run(name, seed, unmasked, masked=None, processor="Some CPU"):
    figures = {"unmasked": dict.fromkeys(generator.METRICS, unmasked)}
    figures |= {"masked": dict.fromkeys(generator.METRICS, masked)} if masked else {}
    costs = {"parameters": 1500, "epochs_trained": 8 + seed, "minutes": 2.0}
    costs["processor"] = processor
    return {"name": name, "seed": seed, "test_results": figures, **costs}


@pytest.mark.parametrize("path", generator.PAGES, ids=lambda path: path.name)
def test_pages_show_what_the_files_say(path):
    text = path.read_text(encoding="utf-8")
    assert text == generator.with_tables(text), "run `python docs/generate_results.py`"
    marks = sum(text.count(f"<!-- {kind}:") for kind in ("results", "ablation", "cases"))
    assert marks == len(generator.TABLE.findall(text))


def test_every_file_of_results_is_shown_somewhere():
    shown = [
        name
        for path in generator.PAGES
        for _, _, name, _ in generator.TABLE.findall(path.read_text())
    ]
    assert {path.stem for path in generator.RESULTS.glob("*.json")} == set(shown)


def test_rows_are_means_over_seeds_in_two_groups_of_columns():
    runs = [run("A", 1, 0.05, 0.06), run("A", 2, 0.07, 0.10), run("B", 1, 0.0611)]
    head, _, first, second = generator.table(runs).splitlines()
    cells = [cell.strip() for cell in head.strip("|").split("|")]
    groups = [f"{protocol}<br>{m}" for protocol in ("unmasked", "masked") for m in ("R@5", "N@5")]
    assert cells[:7] == ["model", "seeds", "parameters", "epochs", "minutes", *groups[:2]]
    assert cells[9:11] == groups[2:]
    first, second = ([c.strip() for c in row.strip("|").split("|")] for row in (first, second))
    assert first[:5] == ["A", "2", "1.5k", "10", "2.0"]  # epochs 9 and 10
    assert first[5:] == [".0600 ± .0141"] * 4 + ["**.0800** ± .0283"] * 4
    assert second[5:] == ["**.0611**"] * 4 + ["–"] * 4
    assert "**" not in generator.table(runs[:1])  # nothing to be better than


def test_minutes_are_told_apart_by_processor_where_there_are_several():
    runs = [run("A", seed, 0.05, processor=name) for seed, name in enumerate(("A CPU", "B 200"))]
    runs[1]["minutes"] = 0.5
    row = generator.table([*runs, run("B", 1, 0.05, processor="A CPU")]).splitlines()[2]
    assert row.split(" | ")[4] == "2.0 CPU, 0.5 200"


def test_a_run_is_kept_with_its_protocols_and_replaces_its_seed(tmp_path, monkeypatch):
    monkeypatch.setattr(generator, "RESULTS", tmp_path)
    lists = with_masked(made_up_recommendations(users=200, skill=0.5))
    changed = {"dataset": "ml-100k", "repeatable": True, "hidden_size": 7, "gpu_id": "5"}
    for seed in (1, 2, 1):
        folder = tmp_path / f"run-{seed}-{len(list(tmp_path.iterdir()))}"
        write_run(folder, "SASRec", seed, lists, changed, dataset="ml-100k")
        generator.keep(folder, "SASRec, narrow")
    kept = json.loads((tmp_path / "ml-100k.json").read_text())
    assert [entry["seed"] for entry in kept] == [1, 2]
    assert kept[0]["settings"]["hidden_size"] == 7
    assert not {"gpu_id", "seed", "repeatable"} & kept[0]["settings"].keys()
    assert kept[0]["chosen_by"] == "unmasked ndcg@10" and kept[0]["minutes"] == 1.0
    result = json.loads((folder / "result.json").read_text())
    assert kept[0]["test_results"] == result["test_results"]
    assert "SASRec, narrow | 2 |" in generator.table(kept)


def test_a_row_of_an_ablation_says_how_far_it_is_from_the_run_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr(generator, "RESULTS", tmp_path)
    folders = []
    for model, skill in (("SASRec", 0.5), ("TIGER", 0.3)):
        lists = with_masked(made_up_recommendations(users=200, skill=skill))
        folders.append(tmp_path / model)
        write_run(folders[-1], model, 1, lists, dataset="ml-100k")
    generator.keep(folders[0], "all of it", "parts")
    generator.keep(folders[1], "without skill", "parts", folders[0])
    base, other = json.loads((tmp_path / "parts.json").read_text())
    figures = [run["test_results"]["masked"]["ndcg@10"] for run in (base, other)]
    assert other["difference"]["mean"] == pytest.approx(figures[1] - figures[0], abs=1e-6)
    low, high = other["difference"]["interval"]
    assert low < other["difference"]["mean"] < high < 0  # 200 users are enough for such a skill
    text = "<!-- ablation: parts -->\n\n\n\n<!-- end of results -->"
    _, _, _, _, first, second, *_ = generator.with_tables(text).splitlines()
    assert first.startswith("| all of it | ") and first.endswith("|  |")
    assert f"{figures[1] - figures[0]:+.4f}".replace("0.", ".") in second and " to -" in second


def test_cases_are_those_of_the_masked_lists(tmp_path, monkeypatch):
    monkeypatch.setattr(generator, "RESULTS", tmp_path)
    lists = with_masked(made_up_recommendations(users=300, skill=0.5))
    for seed, name in ((1, "A"), (2, "A"), (1, "B")):
        write_run(tmp_path / f"{name}{seed}", "SASRec", seed, lists, dataset="ml-100k")
        generator.keep(tmp_path / f"{name}{seed}", name, "toy")
    kept = json.loads((tmp_path / "toy.json").read_text())[0]["cases"]
    ranks = lists.in_protocol("masked").ranks
    gains = np.where(ranks > 0, 1 / np.log2(np.maximum(ranks, 1) + 1), 0)
    popularity = lists.popularity[lists.targets]
    order = np.argsort(lists.popularity[1:], kind="stable")
    rarer = np.isin(lists.targets, order[:20] + 1)
    assert kept["new transition"] == pytest.approx(gains[~lists.seen_transition].mean())
    assert kept["transition seen in training"] == pytest.approx(gains[lists.seen_transition].mean())
    assert kept["rarer half of the items"] == pytest.approx(gains[rarer].mean())
    assert popularity[rarer].max() <= popularity[~rarer].min()
    shortest = lists.history_lengths <= np.quantile(lists.history_lengths, 0.25, method="lower")
    assert kept["shortest histories"] == pytest.approx(gains[shortest].mean())
    assert kept["seen items in the top ten"] == pytest.approx(lists.seen[:, :10].mean())
    page = generator.with_tables("<!-- cases: toy -->\n\n\n\n<!-- end of results -->").splitlines()
    share, new = kept["seen items in the top ten"], kept["new transition"]
    assert page[4].startswith(f"| A | {100 * share:.1f} % | ") and page[5].startswith("| B | ")
    assert f" | {new:.4f} | ".replace("0.", ".") in page[4]
