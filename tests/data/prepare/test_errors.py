"""What cannot be prepared ends in one clear error, and nothing is written."""

import gzip
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from recbole_genrec.commands.prepare import prepare_command
from recbole_genrec.errors import InputError

FILES = {
    "orders.csv": "customer,sku,date\nann,s1,2024-01-02\nbob,s2,2024-01-03\n",
    "products.csv": "sku,title\ns1,one\ns2,two\n",
    "empty.csv": "",
    "header.csv": "customer,sku,date\n",
    "nobody.csv": "customer,sku,date\n,s1,1\n",
    "days.csv": "customer,sku,date\nann,s1,03/04/2024\nbob,s2,05/04/2024\n",
    "ragged.csv": "customer,sku,date\n" + "ann,s1,1\n" * 7 + "ann\n",
    "twice.csv": "customer,sku,date,sku\nann,s1,1,s2\n",
    "others.csv": "sku,title\nS-1,one\n",
    "orders.jsonl": json.dumps({"user": "ann", "sku": "s1", "date": 1}) + "\n",
    "array.json": json.dumps([{"customer": "ann", "sku": "s1", "date": 1}]),
    "noise.parquet": "no Parquet",
    "orders.xlsx": "",
    "reviews.json": json.dumps({"user_id": "a", "parent_asin": "b", "rating": 1, "timestamp": 1}),
}
TABLE = "--user=customer --item=sku --time=date"
ITEMS = f"--interactions=orders.csv {TABLE} --items=products.csv"


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        Path(name).write_text(text)
    Path("latin.csv").write_bytes("customer,sku,date\nann,sé,1\n".encode("latin-1"))
    Path("cut.csv.gz").write_bytes(gzip.compress(FILES["orders.csv"].encode())[:-9])
    pd.DataFrame({"user": ["ann"], "sku": ["s1"]}).to_parquet("orders.parquet")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (f"--interactions=order.csv {TABLE}", "there is no file order.csv"),
        (
            f"--interactions=orders.csv {TABLE} --items=none.csv --text=title",
            "there is no file none.csv",
        ),
        (
            "--interactions=orders.csv --user=custommer --item=sku --time=date",
            "orders.csv has no column [custommer], only ['customer', 'sku', 'date']; did you mean "
            "[customer]?",
        ),
        (
            f"--interactions=twice.csv {TABLE}",
            "twice.csv: the header has the column [sku] 2 times",
        ),
        (
            f"--interactions=orders.jsonl {TABLE}",
            "orders.jsonl has no column [customer], only ['user', 'sku', 'date']",
        ),
        (
            "--interactions=orders.parquet --user=user --item=sku --time=date",
            "orders.parquet has no column [date], only ['user', 'sku']",
        ),
        (
            f"{ITEMS} --text=name",
            "products.csv has no column [name], only ['sku', 'title']",
        ),
        (f"{ITEMS} --text=title,title", "--text: [title] cannot be a second or nameless text"),
        (f"{ITEMS} --text=title,", "--text: [] cannot be a second or nameless text column"),
        (ITEMS, "--text should name the columns of texts in products.csv"),
        (
            f"--interactions=orders.csv {TABLE} --text=title",
            "--text names columns of --items, which is not given",
        ),
        (
            "--interactions=orders.csv --user=customer --item=sku",
            "--time should name a column of orders.csv",
        ),
        (
            "--interactions=orders.csv --source=yelp --user=customer",
            "--user is not needed: the layout of yelp is known",
        ),
        (
            "--interactions=reviews.json --source=amazon2014",
            "reviews.json has no column [reviewerID], only ['user_id', 'parent_asin', 'rating', "
            "'timestamp']",
        ),
        (
            "--interactions=orders.csv --source=ml-100k",
            "3 of the first 3 lines cannot be read, more than the 10% of --max_unreadable: "
            "3 x malformed line (lines 1, 2, 3)",
        ),
        (f"--interactions=empty.csv {TABLE}", "empty.csv begins with an empty line"),
        (f"--interactions=header.csv {TABLE}", "no interaction is left: header.csv: kept 0 of 0"),
        (
            f"--interactions=nobody.csv {TABLE}",
            "no interaction is left: nobody.csv: kept 0 of 1 lines\n  left out 1 x missing user_id",
        ),
        (
            f"--interactions=days.csv {TABLE}",
            "2 x missing or unreadable time (lines 2, 3); times are numbers or dates such as "
            "2024-03-01 17:30:00, of one kind in a file; --time_format names other forms",
        ),
        (
            f"--interactions=ragged.csv {TABLE}",
            "ragged.csv: 1 of the first 8 lines cannot be read, more than the 10% of "
            "--max_unreadable: 1 x malformed line (line 9)",
        ),
        (
            f"--interactions=orders.csv {TABLE} --items=others.csv --text=title",
            "others.csv: none of the 1 lines is an item of the interactions, which have e.g. [s1] "
            "where this file has [S-1]",
        ),
        (f"--interactions=array.json {TABLE}", "array.json is one JSON array; expected one JSON"),
        (f"--interactions=noise.parquet {TABLE}", "noise.parquet is no readable Parquet file"),
        (f"--interactions=orders.xlsx {TABLE}", "orders.xlsx: expected a file named .csv, .tsv"),
        (
            f"--interactions=latin.csv {TABLE}",
            "latin.csv is not text in the encoding utf-8 soon after line 0",
        ),
        (f"--interactions=latin.csv {TABLE} --encoding=klingon", "unknown encoding: klingon"),
        (f"--interactions=cut.csv.gz {TABLE}", "cut.csv.gz: Compressed file ended"),
        (f"--interactions=orders.csv {TABLE} --time_format=%d/%q", "--time_format=%d/%q: "),
        (
            f"--interactions=orders.csv {TABLE} --max_unreadable=10",
            "max_unreadable should be a share from 0 to 1, found [10.0]",
        ),
        (f"--interactions=orders.csv {TABLE} --dataset=../up", "--dataset=../up: expected a name"),
        (f"--interactions=orders.csv {TABLE} --dataset=ml-100k", "the data set inside RecBole"),
    ],
)
def test_bad_input_is_named(folder, arguments, message):
    before = sorted(folder.rglob("*"))
    with pytest.raises(InputError, match=re.escape(message)):
        prepare_command(["--dataset=shop", *arguments.split()])
    assert sorted(path for path in folder.rglob("*") if path.name != "dataset") == before


def test_encoding_can_be_named(folder):
    prepare_command(f"--dataset=shop --interactions=latin.csv {TABLE} --encoding=latin-1".split())
    assert "ann\tsé\t1\n" in Path("dataset/shop/shop.inter").read_text(encoding="utf-8")


def test_an_existing_data_set_is_not_overwritten(folder):
    arguments = f"--dataset=shop --interactions=orders.csv {TABLE}".split()
    prepare_command(arguments)
    before = Path("dataset/shop/shop.inter").read_bytes()
    with pytest.raises(InputError, match=r"shop\.yaml exists already; choose another name"):
        prepare_command(["--drop_duplicates", *arguments])
    assert Path("dataset/shop/shop.inter").read_bytes() == before


def test_a_file_full_of_noise_is_given_up_early(folder, monkeypatch):
    monkeypatch.setattr("recbole_genrec.data.prepare.raw.readers.CHUNK_ROWS", 1000)
    Path("long.csv").write_text("customer,sku,date\n" + "ann,s1,yesterday\n" * 5000)
    with pytest.raises(InputError, match="1,000 of the first 1,000 lines cannot be read"):
        prepare_command(f"--dataset=shop --interactions=long.csv {TABLE}".split())
