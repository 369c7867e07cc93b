"""The documentation as a site: it builds without a warning, and its links lead somewhere."""

import importlib.util
import os
import pkgutil
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import recbole_genrec
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.skipif(
    not importlib.util.find_spec("mkdocstrings"), reason="needs recbole-genrec[docs]"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", folder],
        cwd=REPOSITORY,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert build.returncode == 0, build.stdout + build.stderr
    return folder


def attributes(page: Path, name: str) -> list[str]:
    return [unescape(v) for v in re.findall(rf' {name}="([^"]*)"', page.read_text("utf-8"))]


def test_every_page_and_every_package_is_there(site):
    pages = {page.stem for page in (REPOSITORY / "docs").glob("*.md")}
    pages |= {"CHANGELOG", "CONTRIBUTING", "SECURITY"}
    packages = {m.name for m in pkgutil.iter_modules(recbole_genrec.__path__) if m.ispkg}
    pages |= {f"reference/{name}" for name in {*packages, "doors"}}
    missing = {page for page in pages if not (site / page / "index.html").is_file()}
    assert not missing


def test_links_lead_somewhere(site):
    broken = []
    for page in sorted(site.rglob("index.html")):
        for target in attributes(page, "href"):
            link = urlsplit(target)
            if link.scheme or link.netloc:
                continue
            linked = (page.parent / unquote(link.path)).resolve() if link.path else page
            linked = linked / "index.html" if linked.is_dir() else linked
            found = linked.is_file()
            if found and link.fragment and linked.suffix == ".html":
                found = unquote(link.fragment) in attributes(linked, "id") or link.fragment == "__"
            if not found:
                broken.append((str(page.relative_to(site)), target))
    assert not broken


def test_a_page_loads_nothing_from_elsewhere(site):
    for page in site.rglob("index.html"):
        assert not [source for source in attributes(page, "src") if urlsplit(source).netloc]
        styles = re.findall(r'<link [^>]*rel="stylesheet"[^>]*>', page.read_text("utf-8"))
        assert styles and not [style for style in styles if "//" in style]


def test_the_reference_shows_docstrings(site):
    page = (site / "reference" / "doors" / "index.html").read_text("utf-8")
    assert 'id="recbole_genrec.quick_start.run_recbole_genrec"' in page
    assert 'id="recbole_genrec.inference.Recommender.recommend"' in page
    text = " ".join(re.sub(r"<[^>]+>", "", page).split())
    assert "Train model on dataset and test the epoch that was best in validation." in text


def test_the_reference_shows_examples_and_columns_as_they_stand(site):
    def code(page: str) -> str:
        html = (site / "reference" / page / "index.html").read_text("utf-8")
        assert "<blockquote" not in html
        shown = "".join(re.findall(r"<pre>.*?</pre>", html, flags=re.DOTALL))
        return unescape(re.sub(r"<[^>]+>", "", shown))

    assert "\n[0.03, 0.06, 0.06]" in code("evaluator")
    assert "\nstudy   the search itself" in code("tune")
