"""The documented steps for an own data set, from raw CSV to recommendations, as written."""

import json
import random
import shlex
from glob import glob
from pathlib import Path

import pytest

from recbole_genrec import cli
from recbole_genrec.config.yaml_files import read_yaml
from recbole_genrec.stages.plan import Plan
from recbole_genrec.tokenizer.semantic_ids import SemanticIDs
from tests.documents import blocks, commands, page

CUSTOMERS, PRODUCTS = 60, 80
KINDS = ["red shirt", "blue shoe", "green hat", "warm coat"]


def write_shop(headers: list[str]) -> None:
    """Customers who buy along a line of products, three further each day."""
    rng = random.Random(0)
    orders, products = [headers[0]], [headers[1]]
    for customer in range(CUSTOMERS):
        start = rng.randrange(PRODUCTS)
        for day in range(1, rng.randrange(5, 12)):
            product = (start + 3 * day) % PRODUCTS
            orders.append(f"c{customer},p{product},2024-01-{day:02d} 09:30:00")
    for product in range(PRODUCTS):
        products.append(f"p{product},{KINDS[product % 4]} {product},Brand {product % 7}")
    Path("orders.csv").write_text("\n".join(orders) + "\n")
    Path("products.csv").write_text("\n".join(products) + "\n")


def run(command: str) -> None:
    """Run a command of a page."""
    program, *arguments = shlex.split(with_checkpoint(command))
    assert program == "recbole-genrec"
    cli.main(arguments)


def with_checkpoint(text: str) -> str:
    """The name of the checkpoint that training has printed in place of the one of the page."""
    named = "saved/TIGER-shop-1a2b3c4d.pth"
    return text.replace(named, glob("saved/TIGER-shop-????????.pth")[0]) if named in text else text


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The page `your-own-dataset`, followed step by step, with fewer epochs."""
    text = page("your-own-dataset")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(tmp_path_factory.mktemp("shop"))
        write_shop([block.text.splitlines()[0] for block in blocks(text, "csv")])
        Path("first-look.yaml").write_text(blocks(text, "yaml")[0].text)
        Path("histories.jsonl").write_text(blocks(text, "json")[0].text)
        for command in commands(text):
            run(f"{command} --epochs=2" if "genrec run" in command else command)
        yield text


def test_the_steps_end_in_recommendations(shop):
    (line,) = Path("answers.jsonl").read_text().splitlines()
    answer = json.loads(line)
    items = [entry["item"] for entry in answer["recommendations"]]
    assert answer["user"] == "c17" and len(items) == len(set(items)) == 5
    bought = {row.split(",")[1] for row in Path("orders.csv").read_text().splitlines()[1:]}
    assert set(items) <= bought
    titles = dict(row.split(",")[:2] for row in Path("products.csv").read_text().splitlines()[1:])
    assert all(entry["title"] == titles[entry["item"]] for entry in answer["recommendations"])


def test_the_run_used_the_prepared_data_and_the_settings_of_the_page(shop):
    (file,) = Path("results").glob("*/result.json")
    config = json.loads(file.read_text())["config"]
    assert config["item_text_fields"] == ["title", "brand"]
    settings = read_yaml("first-look.yaml") | {"epochs": 2}
    assert {key: config[key] for key in settings} == settings


def test_the_python_code_prints_recommendations(shop, capsys):
    (code,) = blocks(shop, "python")
    exec(compile(with_checkpoint(code.text), "your-own-dataset.md", "exec"), {})
    printed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert 3 <= len(printed) <= 5 and not {"p3", "p6"} & set(printed)


def test_own_embeddings_and_ids_are_taken(shop, monkeypatch):
    built, run_plan = [], Plan.run
    monkeypatch.setattr(Plan, "run", lambda plan: built.append(run_plan(plan)) or built[-1])
    text = page("your-own-embeddings-or-ids")
    exec(compile(blocks(text, "python")[0].text, "your-own-embeddings-or-ids.md", "exec"), {})
    for command in commands(text):
        run(command)
    own_embeddings, both, own_ids = built
    embeddings = own_embeddings.embeddings["text"]
    assert embeddings.encoder.text_encoder is None and embeddings.vectors.shape[1] == 32
    sides = [both.embeddings[name].vectors.shape[1] for name in ("text", "collaborative")]
    assert both.tokenizers[""].dim == sum(sides)
    exported = Path("saved/semantic_ids/shop-RQKMeans-embeddings.sid.json")
    expected = SemanticIDs.from_json(exported, own_ids.tokens)
    assert own_ids.ids[""].codes.equal(expected.codes)
