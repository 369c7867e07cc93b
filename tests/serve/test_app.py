"""The service against the recommender that it serves."""

import asyncio
import json
import re
import threading

import httpx2
import pytest
from fastapi.testclient import TestClient

from recbole_genrec.serve import Limits, create_app
from recbole_genrec.serve.app import PAGE
from recbole_genrec.serve.questions import Options
from tests.documents import page

HISTORIES = [["i1", "i2", "i3"], ["i7"], ["i9", "i4"], ["i30", "i31"], ["i5"], ["i1"]]


@pytest.fixture(scope="module")
def client(recommender):
    with TestClient(create_app(recommender)) as client:
        yield client


def together(app, questions):
    """The responses to questions for /recommend that arrive at once, in their order."""

    async def ask_all():
        transport = httpx2.ASGITransport(app=app)
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=transport, base_url="http://service") as client,
        ):
            asked = (client.post("/recommend", json=question) for question in questions)
            return await asyncio.gather(*asked)

    return asyncio.run(ask_all())


def same(answer, expected):
    """Equal items in equal order; scores differ by rounding where batches do."""
    for found, wanted in zip(answer, expected, strict=True):
        assert found == {**wanted, **{k: found[k] for k in found if k in SCORES}}
        score = next(name for name in SCORES if name in wanted)
        assert found[score] == pytest.approx(wanted[score], abs=1e-5)


SCORES = ("log_probability", "score")


@pytest.mark.parametrize("model", ["recommender", "baseline"])
def test_what_shares_a_batch_is_answered_as_if_alone(model, request, monkeypatch):
    recommender = request.getfixturevalue(model)
    options = [{"top_k": 5}, {"top_k": 3, "exclude_history": True}]
    options.append({"top_k": 2, "allowed_items": ["i1", "i20", "i21"]})
    questions = [{"history": h, **own} for own in options for h in HISTORIES]
    questions.append({"histories": HISTORIES[:2], **options[0]})
    expected = [recommender.recommend([h], **own) for own in options for h in HISTORIES]
    calls = []
    answer = type(recommender).recommend

    def recommend(self, histories, **own):
        calls.append(len(histories))
        return answer(self, histories, **own)

    monkeypatch.setattr(type(recommender), "recommend", recommend)
    app = create_app(recommender, Limits(wait=0.2))
    responses = together(app, questions)
    assert calls == [1, len(HISTORIES) + 2, len(HISTORIES), len(HISTORIES)]  # the first tries it
    for response, (wanted,) in zip(responses, expected, strict=False):
        same(response.json()["recommendations"], wanted)
    for found, (wanted,) in zip(responses[-1].json()["recommendations"], expected, strict=False):
        same(found, wanted)


def test_integers_are_tokens_and_unknown_ones_can_be_skipped(client, recommender):
    question = {"history": ["i1", 5], "unknown_items": "skip"}
    answer = client.post("/recommend", json=question).json()["recommendations"]
    same(answer, recommender.recommend([["i1"]])[0])
    question = {"histories": [["nobody's"], ["i1"]], "unknown_items": "skip", "top_k": 1}
    nothing, one = client.post("/recommend", json=question).json()["recommendations"]
    assert nothing == [] and len(one) == 1


@pytest.mark.parametrize(
    ("question", "detail"),
    [
        ({"history": ["i1", "x", "y"]}, "history 1: 2 of 3 items are unknown to the model: x, y"),
        ({"histories": [["i1"], ["z"]]}, "history 2: 1 of 1 items are unknown to the model: z"),
        ({"history": ["i1"], "allowed_items": ["w"]}, "allowed_items: 1 of 1 items are unknown"),
        ({"history": ["i1"], "allowed_items": []}, "allowed_items is empty"),
        ({"history": []}, "history 1 is empty"),
        ({"history": ["i1"], "top_k": 0}, r"top_k should be .* at least 1 .*, found \[0\]"),
        ({"history": ["i1"], "top_k": 101}, r"top_k should be .* at most 100, found \[101\]"),
        ({"history": ["i1"], "top_k": "3"}, r"top_k: Input should be a valid integer.*\[3\]"),
        ({"history": ["i1"], "top_k": True}, r"top_k: Input should be a valid integer"),
        ({"history": ["i1", 1.5]}, r"history.1: expected an item token.* found \[1.5\]"),
        ({"history": ["i1", True]}, r"history.1: expected an item token.* found \[True\]"),
        ({"history": "i1"}, r"history: Input should be a valid list, found \[i1\]"),
        ({}, 'expected {"history": .* or {"histories"'),
        ({"histories": []}, 'expected {"history": .* or {"histories"'),
        ({"history": ["i1"], "histories": [["i1"]]}, 'expected {"history": .* or {"histories"'),
        ({"history": ["i1"], "k": 3}, r"k: Extra inputs are not permitted, found \[3\]"),
        ({"history": ["i1"], "unknown_items": "drop"}, "unknown_items: .*'error' or 'skip'.*drop"),
        ({"history": ["i1"] * 1001}, "history: expected at most 1000, found 1001"),
        ({"histories": [["i1"]] * 65}, "histories: expected at most 64, found 65"),
        ({"history": ["i1"], "allowed_items": ["i1"] * 10001}, "allowed_items: expected at most"),
        (["i1"], "body: Input should be a valid dictionary"),
        (
            {"history": ["x" * 10_000]},
            r"history 1: .* unknown to the model: x{300,}\.\.\. \(\d+ letters",
        ),
        ({"history": ["i1"], "k" * 10_000: 3}, r"k{400,}\.\.\. \(\d+ letters"),
    ],
)
def test_bad_questions(client, question, detail):
    response = client.post("/recommend", json=question)
    assert response.status_code == 422
    assert re.match(detail, response.json()["detail"])
    assert "\n" not in response.text and len(response.text) < 600


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b"", 422, "body: Field required"),
        (b"{", 422, "body: expected JSON, found Expecting property name .* at character 2"),
        (b"[" * 100_000, 400, "body: expected JSON in UTF-8 that is not nested deeply"),
        (b'{"history": ["\\ud800"]}', 422, "history 1: 1 of 1 items are unknown"),
        (b'{"history": ["' + b"\xff" + b'"]}', 400, "body: expected JSON in UTF-8"),
        (b'{"history": [' + b" " * 1_000_000 + b"]}", 413, "Content Too Large"),
    ],
)
def test_bad_bodies(client, body, status, detail):
    headers = {"Content-Type": "application/json"}
    in_pieces = iter([body[:10], body[10:]])  # of which nobody knows how many follow
    for content in (body, in_pieces):
        response = client.post("/recommend", content=content, headers=headers)
        assert response.status_code == status
        assert re.search(detail, response.text)


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", None])
def test_a_body_of_another_type_is_told_which_is_expected(client, kind):
    headers = {"Content-Type": kind} if kind else {}
    response = client.post("/recommend", content=b'{"history": ["i1"]}', headers=headers)
    assert response.status_code == 422
    expected = f"Content-Type should be application/json, found [{kind or 'none'}]"
    assert response.json()["detail"] == expected


def test_probes_that_ask_for_the_head_alone_are_answered(client):
    for path in ("/", "/health", "/items"):
        assert client.head(path).status_code == 200
    assert client.head("/recommend").status_code == 405


async def status_of(app, question, left):
    """The status for a client of /recommend that closes the connection when `left` is set."""
    body = [json.dumps(question).encode()]
    sent = []

    async def receive():
        if body:
            return {"type": "http.request", "body": body.pop()}
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    scope = {
        **{"type": "http", "http_version": "1.1", "method": "POST", "scheme": "http"},
        **{"path": "/recommend", "root_path": "", "query_string": b""},
        "headers": [(b"content-type", b"application/json")],
    }
    await app(scope, receive, send)
    return sent[0]["status"]


def test_nothing_is_computed_for_a_client_that_has_left(recommender, monkeypatch):
    go_on = threading.Event()
    asked = []

    def slowly(self, histories, **options):
        go_on.wait(10)
        asked.extend(histories)
        return [[] for _ in histories]

    async def ask_three():
        stays, leaves = asyncio.Event(), asyncio.Event()
        async with app.router.lifespan_context(app):
            clients = [asyncio.create_task(status_of(app, {"history": ["i1"]}, stays))]
            await asyncio.sleep(0.1)  # the model has begun with it
            for item, left in (("i2", leaves), ("i3", stays)):
                clients.append(asyncio.create_task(status_of(app, {"history": [item]}, left)))
            await asyncio.sleep(0.1)
            leaves.set()
            await clients[1]
            go_on.set()
            return await asyncio.gather(*clients)

    app = create_app(recommender, Limits(wait=0))
    monkeypatch.setattr(type(recommender), "recommend", slowly)
    assert asyncio.run(ask_three()) == [200, 499, 200]
    assert asked == [["i1"], ["i3"]]


def test_a_full_queue_is_refused_for_now(recommender, monkeypatch):
    go_on = threading.Event()
    answer = type(recommender).recommend
    app = create_app(recommender, Limits(queue=2, batch=1, wait=0))

    def slowly(self, histories, **options):
        go_on.wait(10)
        return answer(self, histories, **options)

    monkeypatch.setattr(type(recommender), "recommend", slowly)
    threading.Timer(0.3, go_on.set).start()
    responses = together(app, [{"history": ["i1"]}] * 6)
    codes = sorted(response.status_code for response in responses)
    assert set(codes) == {200, 503} and codes.count(200) in (2, 3)
    refused = next(response for response in responses if response.status_code == 503)
    assert "try again in a moment" in refused.json()["detail"]
    assert refused.headers["Retry-After"] == "1"


def test_the_beam_is_that_of_the_recommender(client, recommender):
    question = {"history": ["i1", "i2"], "top_k": 3, "exclude_history": True}
    levels = client.post("/beam", json=question).json()["levels"]
    expected = recommender.beam(question["history"], 3, True)
    assert levels == [[prefix._asdict() for prefix in level] for level in expected]
    unknown = client.post("/beam", json={"history": ["x"]})
    assert unknown.status_code == 422 and unknown.json()["detail"].endswith(
        "unknown to the model: x"
    )


def test_a_baseline_has_no_beam(baseline):
    with TestClient(create_app(baseline)) as client:
        response = client.post("/beam", json={"history": ["i1"]})
        assert response.status_code == 422
        assert (
            response.json()["detail"] == "SASRec scores all items at once: there is no beam to see"
        )
        health = client.get("/health").json()
    assert health == {"status": "ok", "model": "SASRec", "items": 40, "beam": False, "waiting": 0}


def test_items_are_found_by_title(client):
    found = client.get("/items", params={"query": "WORD1 tail", "limit": 3}).json()["items"]
    assert len(found) == 3
    assert all({"word1", "tail"} <= set(item["title"].split()) for item in found)
    assert client.get("/items", params={"query": "i7"}).json()["items"][0]["item"] == "i7"
    for limit in (0, 101, "many"):
        response = client.get("/items", params={"limit": limit})
        assert response.status_code == 422
        assert response.json()["detail"].startswith("limit: Input should be")


def test_the_pages_load_nothing_from_elsewhere(client):
    shown = client.get("/")
    assert shown.text == PAGE.read_text(encoding="utf-8")
    assert (
        "default-src 'unsafe-inline'; connect-src 'self'"
        in shown.headers["content-security-policy"]
    )
    elsewhere = r"(?:src|href|url)\W{1,3}(?:https?:)?//"
    assert not re.search(elsewhere, shown.text.replace("http://www.w3.org/2000/svg", ""))
    docs = client.get("/docs").text
    assert "swagger" in docs and not re.search(elsewhere, docs)


def test_the_api_is_described(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert paths.keys() == {"/recommend", "/beam", "/items", "/health"}
    assert paths["/recommend"]["post"]["responses"].keys() == {"200", "413", "422", "503"}
    assert "most likely next items" in paths["/recommend"]["post"]["description"]


def test_the_documentation_names_every_path_option_and_limit(client):
    text = page("serving")
    described = client.get("/openapi.json").json()
    for path, methods in described["paths"].items():
        assert all(f"`{method.upper()} {path}" in text for method in methods)
    for name, field in Options.model_fields.items():
        default = re.search(rf"^\| `{name}` \| `?(.*?)`? \|", text, flags=re.MULTILINE)[1]
        assert json.loads(default) == field.default
    limits = Limits()
    assert f"| {limits.body:,} bytes |" in text and f"| {limits.queue} |" in text
    assert (
        f"`top_k` {limits.top_k}, {limits.histories} histories, {limits.history:,} items each, "
        f"{limits.allowed_items:,} allowed items"
    ) in text
    assert f"for {limits.wait * 1000:.0f} ms at most" in text
