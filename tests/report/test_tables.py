"""Tables: the same cells in every form, and the numbers of the comparison behind them."""

import copy
import csv
import re

import pytest

from recbole_genrec.report.conclusion import conclusion
from recbole_genrec.report.tables import (
    MARKS,
    Cell,
    Table,
    gains_table,
    render,
    results_table,
    significance_table,
    significance_tables,
    to_csv,
)
from recbole_genrec.report.write import publish, report_text
from tests.report.cases import comparison


def figures(seeds: dict[str, list[float]], smaller_is_better: bool = False) -> dict:
    """The part of a comparison that the table of results reads."""
    cost = {"mean": 1.0, "std": None, "values": [1.0]}
    return {
        "dataset": "toy",
        "protocol": "unmasked",
        "other": None,
        "metrics": [{"key": "m", "name": "M", "smaller_is_better": smaller_is_better}],
        "models": [
            {"name": name, "seeds": [1], "peak_memory": 0, "parameters": cost, "epochs": cost,
             "minutes": cost, "test": {"m": {"mean": mean, "std": None, "values": [mean]}}}
            for name, mean in seeds.items()
        ],
    }  # fmt: skip


def test_cells_hold_the_numbers_of_the_comparison():
    c = comparison()
    table = results_table(c)
    for row, model in zip(table.rows, c["models"], strict=True):
        assert row[0].text == model["name"]
        masked = c["other"]["models"][model["name"]]["test"]
        figures = [own[metric["key"]] for own in (model["test"], masked) for metric in c["metrics"]]
        for cell, figure in zip(row[1:], figures, strict=False):
            assert cell.value == figure["mean"]
            assert cell.text == f"{figure['mean']:.4f} ± {figure['std']:.4f}"
        assert row[1 + len(figures)].text == str(len(model["seeds"]))
    for row in gains_table(c).rows:
        both = [*c["tests"], *c["other"]["tests"]]
        assert [cell.value for cell in row[1:]] == [
            test["gain"] for test in both if test["model"] == row[0].text
        ]
    for row in significance_table(c, "recall@5").rows:
        (test,) = (t for t in c["tests"] if (t["model"], t["metric"]) == (row[0].text, "recall@5"))
        assert row[3].value == test["permutation_holm"] and row[6].text == test["seeds_verdict"]


@pytest.mark.parametrize(
    ("values", "smaller", "places"),
    [
        ([0.1, 0.3, 0.2], False, [None, 1, 2]),
        ([0.1, 0.3, 0.2], True, [1, None, 2]),
        ([0.3, 0.30004, 0.2, 0.1], False, [1, 1, 2, None]),  # equal as shown: both are best
        ([0.3], False, [None]),  # nothing to be better than
    ],
)
def test_best_and_second_value(values, smaller, places):
    named = {f"m{n}": value for n, value in enumerate(values)}
    table = results_table(figures(named, smaller))
    assert [row[1].place for row in table.rows] == places


def test_each_protocol_is_a_marked_group_of_columns():
    c = comparison()
    for table in (results_table(c), gains_table(c)):
        assert table.groups[:3] == [("", 1), ("unmasked", 4), ("masked", 4)]
        assert sum(length for _, length in table.groups) == len(table.headings)
        names = [metric["name"] for metric in c["metrics"]]
        assert table.headings[1:9] == [*names, *names]
        markdown = render(table, "markdown").splitlines()[2]
        assert "| Recall@5 unmasked |" in re.sub(" +", " ", markdown)
        assert "| NDCG@10 masked |" in re.sub(" +", " ", markdown)
        latex = render(table, "latex").splitlines()
        assert r"\multicolumn{4}{c}{unmasked} & \multicolumn{4}{c}{masked}" in latex[3]
        assert latex[4] == r"\cmidrule(lr){2-5} \cmidrule(lr){6-9}"
        above, below = render(table, "text").splitlines()[2:4]
        assert above.split()[1:9] == ["unmasked"] * 4 + ["masked"] * 4
        assert below.split() == [*names, *names]
    titles = [table.title for table in significance_tables(c)]
    assert titles == [f"NDCG@10, {each}, against SASRec" for each in ("unmasked", "masked")]
    masked = c["other"]["models"]
    best = max(masked, key=lambda name: masked[name]["test"]["ndcg@10"]["mean"])
    assert f"Masked, {best} is best: {masked[best]['test']['ndcg@10']['mean']:.4f}" in conclusion(c)


def test_a_protocol_that_a_model_lacks_is_shown_as_missing():
    c = copy.deepcopy(comparison())
    del c["other"]["models"]["Pop"]
    c["other"]["tests"] = [test for test in c["other"]["tests"] if test["model"] != "Pop"]
    (pop,) = (row for row in results_table(c).rows if row[0].text == "Pop")
    assert [cell.text for cell in pop[5:9]] == ["–"] * 4
    assert all(cell.value is not None for cell in pop[1:5])
    (pop,) = (row for row in gains_table(c).rows if row[0].text == "Pop")
    assert [cell.text for cell in pop[5:9]] == ["–"] * 4
    c["other"] = None
    assert results_table(c).groups == [("", 1), ("unmasked", 4), ("", 5)]
    assert len(significance_tables(c)) == 1 and "Masked" not in conclusion(c)


@pytest.mark.parametrize("form", MARKS)
def test_every_form_has_every_cell(form):
    c = comparison()
    for table in (results_table(c), gains_table(c), significance_table(c)):
        text = render(table, form)
        plain = re.sub(r"\x1b\[\d+m|\\(?=[%<_])|\$", "", text).replace(r"\pm", "±")
        plain = plain.replace(" -- ", " – ")
        for row in table.rows:
            for cell in row:
                assert cell.text in plain, cell


def test_marks_in_latex_and_markdown():
    table = Table("T", ["Model", "x_1"], [[Cell("A_B & C"), Cell("50 %", 0.5, 1)]])
    table.rows.append([Cell("D|E"), Cell("0.2 ± 0.1", 0.2, 2)])
    latex = render(table, "latex")
    assert r"A\_B \& C & \textbf{50 \%} \\" in latex
    assert r"D|E & \underline{0.2 $\pm$ 0.1} \\" in latex
    assert r"Model & x\_1 \\" in latex and latex.count(r"\toprule") == 1
    markdown = render(table, "markdown")
    assert r"A\_B & C" in markdown and r"D\|E" in markdown
    assert "**50 %**" in markdown and "<u>0.2 ± 0.1</u>" in markdown


def test_csv_holds_unrounded_numbers():
    c = comparison()
    rows = list(csv.DictReader(to_csv(results_table(c)).splitlines()))
    for row, model in zip(rows, c["models"], strict=True):
        assert row["Model"] == model["name"]
        assert float(row["NDCG@10 unmasked"]) == model["test"]["ndcg@10"]["mean"]
        masked = c["other"]["models"][model["name"]]["test"]
        assert float(row["NDCG@10 masked"]) == masked["ndcg@10"]["mean"]


def test_report_says_what_went_wrong():
    text = report_text(comparison(), "markdown")
    assert "X, seed 1 does not count: out of memory <now>" in text
    assert "Too few seeds (2 per model)" in text
    assert all(line.startswith("%") or "\\" in line for line in
               report_text(comparison(), "latex").splitlines() if line)  # fmt: skip


def test_conclusion_names_the_winner_and_how_sure_that_is():
    c = copy.deepcopy(comparison())
    sentence = conclusion(c)
    assert sentence.startswith("TIGER is best in NDCG@10, 0.")
    gain = next(t["gain"] for t in c["tests"] if (t["model"], t["metric"]) == ("TIGER", "ndcg@10"))
    assert f"{100 * gain:+.1f} % over SASRec" in sentence
    assert "Over users the difference is significant (p " in sentence
    assert "too few seeds" in sentence
    for model in c["models"]:  # now the reference is the best
        if model["name"] == "TIGER":
            model["test"]["ndcg@10"]["mean"] = 0.0
    assert conclusion(c).startswith("SASRec is best")
    assert "the next is Pop" in conclusion(c)
    c["models"] = c["models"][:1]
    assert conclusion(c).startswith("Pop alone: NDCG@10")


def test_publish_writes_all_forms_beside_the_runs_and_overwrites_none(tmp_path, capsys):
    c = copy.deepcopy(comparison())
    c["models"][0]["folders"] = [str(tmp_path / "Pop-1"), str(tmp_path / "Pop-2")]
    folders = [publish(c), publish(c)]
    assert len(set(folders)) == 2 and {folder.parent for folder in folders} == {tmp_path}
    names = {"comparison.json", "report.html", "tables.md", "tables.tex", "results.csv"}
    assert {path.name for path in folders[0].iterdir()} == names
    printed = capsys.readouterr().out
    assert "Test on made-up" in printed and "\x1b" not in printed
    assert str(folders[1] / "report.html") in printed


def test_names_from_files_are_no_commands_of_latex_and_no_formulas():
    name = "model\n\\input{/etc/passwd}"
    table = Table(f"of {name}", [name], [[Cell(name, name)], [Cell("x", "=1+1")]])
    latex = render(table, "latex")
    assert "\\input" not in latex.replace("% of model \\input", "")
    assert latex.splitlines()[0] == "% of model \\input{/etc/passwd}"  # a comment, to its end
    assert next(csv.reader([to_csv(table).splitlines()[-1]])) == ["'=1+1"]
    assert to_csv(Table("", ["a"], [[Cell("-1", -1.0)]])).splitlines()[1] == "-1.0"


def test_one_seed_has_no_p_over_seeds():
    several = comparison()
    column = significance_table(several).headings.index("p over seeds")
    assert all(row[column].value is not None for row in significance_table(several).rows)
    one = copy.deepcopy(several)
    for model in one["models"]:
        model["seeds"] = model["seeds"][:1]
    assert [row[column].text for row in significance_table(one).rows] == ["–"] * (
        len(one["models"]) - 1
    )
