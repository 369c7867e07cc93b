"""The page in a browser, against the recommender behind it."""

import json
import threading
import time

import pytest
import uvicorn

from recbole_genrec.serve import create_app
from recbole_genrec.serve.server import bound_socket
from tests.serve.chromium import PROGRAM, Chromium

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="there is no chromium here")

QUERY = "document.querySelector('#query')"
ROWS = "[...document.querySelectorAll('#answer tbody tr')].map((row) => row.innerText)"
HISTORY = "[...document.querySelectorAll('#history li span')].map((line) => line.innerText)"


@pytest.fixture(scope="module")
def browser():
    with Chromium() as browser:
        yield browser


@pytest.fixture
def address(recommender, request):
    """Where a service of TIGER, or of the fixture that the test names, answers."""
    model = request.getfixturevalue(getattr(request, "param", "recommender"))
    listener = bound_socket("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(create_app(model), log_level="warning"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    host, port = listener.getsockname()
    yield f"http://{host}:{port}/"
    server.should_exit = True
    thread.join()


def titles(recommender, items):
    return [recommender.catalogue.title(item) for item in recommender.catalogue.ids(items)]


def test_items_are_chosen_by_title_and_the_list_is_that_of_the_model(browser, address, recommender):
    browser.open(address)
    browser.wait_for("document.querySelector('h1').innerText === 'TIGER'")
    for token in ("i1", "i2"):
        browser.run(f"{QUERY}.value = '{token}'; {QUERY}.dispatchEvent(new Event('input'))")
        browser.wait_for(f"document.querySelector('#found small')?.innerText === '{token}'")
        browser.run(f"{QUERY}.dispatchEvent(new KeyboardEvent('keydown', {{key: 'Enter'}}))")
    browser.wait_for("document.body.dataset.answered >= 3 && document.querySelector('svg')")
    names = titles(recommender, ["i1", "i2"])
    assert browser.run(HISTORY) == [
        f"{name} {t}" for name, t in zip(names, ["i1", "i2"], strict=True)
    ]
    (answer,) = recommender.recommend([["i1", "i2"]])
    for place, (row, found) in enumerate(zip(browser.run(ROWS), answer, strict=True), 1):
        score = f"{found['log_probability']:.2f}".replace("-", "−")
        codes = " · ".join(map(str, found["semantic_id"]))
        shown = found["title"] if found["title"] == found["item"] else None
        assert row.split("\t") == [
            str(place),
            shown or f"{found['title']} {found['item']}",
            score,
            codes,
        ]


def test_the_beam_shows_the_surviving_prefixes_of_each_level(browser, address, recommender):
    browser.open(f"{address}#item=i1&item=i2&top_k=5")
    browser.wait_for("document.querySelectorAll('#answer tbody tr').length === 5")
    levels = recommender.beam(["i1", "i2"], top_k=5)
    heads = browser.run("[...document.querySelectorAll('svg .head')].map((t) => t.textContent)")
    assert heads == [f"Level {n}: {len(level)} survive" for n, level in enumerate(levels, 1)]
    shown = browser.run("[...document.querySelectorAll('svg g')].map((g) => g.dataset.codes)")
    assert shown == [" ".join(map(str, p.codes)) for level in levels for p in level]
    (answer,) = recommender.recommend([["i1", "i2"]], top_k=5)
    best = " ".join(map(str, answer[0]["semantic_id"]))
    way = browser.run("[...document.querySelectorAll('svg g.on')].map((g) => g.dataset.codes)")
    assert way == [best[: best.index(" ")], best[: best.rindex(" ")], best]


def test_what_is_wrong_is_said_and_put_right(browser, address):
    browser.open(f"{address}#item=i1&item=nobody")
    browser.wait_for("!document.querySelector('#problem').hidden")
    said = browser.run("document.querySelector('#problem').innerText")
    assert said == "history 1: 1 of 2 items are unknown to the model: nobody"
    browser.run("document.querySelectorAll('#history button')[1].click()")
    browser.wait_for("document.querySelector('#problem').hidden")
    browser.wait_for("document.querySelectorAll('#answer tbody tr').length === 10")
    assert browser.run("location.hash") == "#item=i1&top_k=10"
    browser.run("document.querySelector('#exclude_history').click()")
    browser.wait_for("location.hash === '#item=i1&top_k=10&exclude_history=true'")
    browser.run("document.querySelector('#clear').click()")
    browser.wait_for("document.querySelector('#answer').hidden")


def test_titles_are_text_and_never_code(browser, recommender, request, monkeypatch):
    evil = "<img src=x onerror=\"document.title = 'taken over'\">"
    monkeypatch.setattr(recommender.catalogue.items, "titles", [evil] * 41)
    browser.open(request.getfixturevalue("address") + "#item=i1")
    browser.wait_for("document.querySelectorAll('#answer tbody tr').length === 10")
    assert browser.run(HISTORY) == [f"{evil} i1"]
    assert browser.run("document.images.length") == 0 and browser.run("document.title") == "TIGER"


@pytest.mark.parametrize("address", ["baseline"], indirect=True)
def test_a_baseline_has_scores_and_no_beam(browser, address):
    browser.open(f"{address}#item=i1&item=i2")
    browser.wait_for("document.querySelectorAll('#answer tbody tr').length === 10")
    heads = browser.run("document.querySelector('#answer thead').innerText")
    assert "Score" in heads and "Semantic ID" not in heads
    assert browser.run("document.querySelector('#beam').hidden")
    assert (
        json.loads(browser.run("fetch('health').then((answer) => answer.text())"))["beam"] is False
    )
