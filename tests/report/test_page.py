"""The HTML page: what a browser shows is what the JSON says, without errors and without network."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from recbole_genrec.report.page import html_report
from recbole_genrec.report.tables import gains_table, results_table, significance_table
from tests.report.cases import TRICKY, comparison

CHROMIUM = shutil.which("chromium")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-sync", "--disable-background-networking", "--disable-component-update"),
    *("--enable-logging=stderr", "--virtual-time-budget=2000"),
)

# Reads the page as a reader does, clicks a heading twice, and leaves what it has seen in the title.
PROBE = """
<script>
const read = (id) => [...document.getElementById(id).rows].map(
  (row) => [...row.cells].map((cell) => cell.innerText.trim()));
const seen = {
  results: read("results-table"), gains: read("gains-table"), tests: read("significance-table"),
};
seen.json = JSON.parse(document.getElementById("comparison").textContent);
const heading = document.querySelectorAll("#results-table tr:last-child th")[4];
heading.click(); seen.descending = read("results-table").map((row) => row[0]);
heading.click(); seen.ascending = read("results-table").map((row) => row[0]);
seen.charts = [...document.querySelectorAll("svg.chart")].map(
  (svg) => svg.getBoundingClientRect().height);
seen.wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
const result = document.createElement("pre");
result.id = "seen"; result.textContent = JSON.stringify(seen);
document.body.append(result);
</script>
"""


class Page(HTMLParser):
    """Texts of the elements, tags that were opened and addresses that the page would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.texts: dict[str, str] = {}
        self.id = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in ("meta", "link"):
            self.open.append(tag)
        self.id = attributes.get("id", self.id)
        self.loads += [v for k, v in attributes.items() if k in ("src", "href", "srcset")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts[self.id] = self.texts.get(self.id, "") + data


def browse(file: Path, folder: Path) -> subprocess.CompletedProcess:
    """Open a file; the output is the page after its scripts, the error output has their log."""
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [CHROMIUM, *FLAGS, profile, "--dump-dom", file.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def page() -> str:
    return html_report(comparison())


def test_the_json_is_in_the_page(page):
    parsed = Page(page)
    assert json.loads(parsed.texts["comparison"].split("\n// Sort")[0]) == comparison()


def test_the_page_is_well_formed_and_loads_nothing(page):
    parsed = Page(page)
    assert parsed.open == []
    assert all(address.startswith(("#", "data:")) for address in parsed.loads)
    assert "@import" not in page and "url(" not in page and "fetch(" not in page


def test_titles_cannot_break_the_page(page):
    assert page.count("</script>") == 2 and "<b>Butter" not in page
    assert "out of memory &lt;now&gt;" in page
    escaped = TRICKY.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert escaped.replace('"', "&#34;") in page


def test_the_page_explains_itself(page):
    text = " ".join(Page(page).texts.values())
    for said in ("Too few seeds", "X, seed 1", "RQVAE, 40 items", "level 1 uses 4 of 6 codes"):
        assert said in text
    assert "Level 1: 3 of 6 codes used" in text  # 40 items / 16 = codes 0, 1, 2; 6 in the codebook


def test_a_page_of_one_model_without_lists():
    c = json.loads(json.dumps(comparison()))
    c["models"] = c["models"][:1]
    c["models"][0] |= {"analysis": None, "learning_curves": []}
    c |= {
        "other": None,
        "tests": [],
        "overlap": [],
        "examples": [],
        "reference": "Pop",
        "failed": [],
        "notes": [],
    }
    text = html_report(c)
    assert '<svg class="chart"' not in text and "gains-table" not in text.split("<script")[0]
    assert Page(text).open == []


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_browser_shows_what_the_json_says(page, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(page.replace("</body>", PROBE + "</body>"), encoding="utf-8")
    done = browse(file, tmp_path)
    assert "CONSOLE" not in done.stderr, done.stderr
    seen = json.loads(Page(done.stdout).texts["seen"])
    c = comparison()
    assert seen["json"] == c
    shown = {"results": results_table(c), "gains": gains_table(c), "tests": significance_table(c)}
    for name, table in shown.items():
        expected = [table.headings, *([cell.text for cell in row] for row in table.rows)]
        if table.groups:
            expected.insert(0, [name.capitalize() for name, _ in table.groups])
        assert seen[name] == expected
    by_metric = sorted(c["models"], key=lambda model: model["test"]["ndcg@10"]["mean"])
    names = [model["name"] for model in by_metric]
    assert seen["ascending"] == ["", "Model", *names]
    assert seen["descending"] == ["", "Model", *names[::-1]]
    assert len(seen["charts"]) == 8 and min(seen["charts"]) > 100
    assert not seen["wide"]


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_browser_would_report_an_error(tmp_path):
    """The test above can fail: an error in a script does reach the log that it reads."""
    file = tmp_path / "broken.html"
    file.write_text("<!doctype html><script>undefined.length</script>")
    done = browse(file, tmp_path)
    assert re.search("CONSOLE.*TypeError", done.stderr)
