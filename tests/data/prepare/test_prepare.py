"""Data sets from tables of one's own: every row is accounted for and reads back as it went in."""

import gzip
import json
import shlex
from pathlib import Path

import pandas as pd
import pytest
import yaml

from recbole_genrec.atomic_file import read_atomic_file, read_header
from recbole_genrec.commands.prepare import MOST_CODES, prepare_command
from recbole_genrec.config import Config
from recbole_genrec.data.dataset import create_dataset
from recbole_genrec.data.prepare import prepare
from recbole_genrec.data.prepare.prepare import prepare_dataset
from recbole_genrec.data.prepare.raw import readers
from recbole_genrec.data.prepare.raw.drops import Drops
from recbole_genrec.data.prepare.raw.table import table_layout
from recbole_genrec.errors import InputError, RunError
from recbole_genrec.items.texts import read_items

# What each line is, is written behind it; unix seconds were computed with `date -u +%s -d ...`.
ORDERS = """\
customer,sku,date,stars
ann,s1,2024-01-02 10:00:00,5
ann,"s 2",2024-01-03,4.5
bob,s1,2024-01-05T00:00:00Z,3
,s1,2024-01-05,3
bob,NA,2024-01-05,3
bob,s1,now,3
bob,s3,2024-01-06,3,extra field
bob,s3,2024-01-06,good
bob,"s 2",2024-01-08T02:00:00+02:00,1
bob,"s 2",2024-01-08,1
"""
KEPT = [
    ("ann", "s1", 5.0, 1704189600),
    ("ann", "s 2", 4.5, 1704240000),
    ("bob", "s1", 3.0, 1704412800),
    ("bob", "s 2", 1.0, 1704672000),
    ("bob", "s 2", 1.0, 1704672000),
]
PRODUCTS = """\
sku,title,brand name,price
s1,"A ""fine"" thing,\twith a tab",Acme,3
s 2,"two
lines",,4
s 2,the same item again,Acme,4
s9,never bought,Acme,1
"""
TABLE = ["--user=customer", "--item=sku", "--time=date"]
TEXTS = ["--item_id=sku", "--text=title,brand name"]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("orders.csv").write_text(ORDERS, encoding="utf-8")
    Path("products.csv").write_text(PRODUCTS, encoding="utf-8")
    return tmp_path


def run(*arguments: str, interactions="orders.csv") -> None:
    prepare_command(["--dataset=shop", f"--interactions={interactions}", *arguments])


def written(suffix: str) -> list[tuple]:
    path = Path(f"dataset/shop/shop.{suffix}")
    table = read_atomic_file(path, read_header(path, "\t"), "\t").astype(object).fillna("")
    return list(table.itertuples(index=False, name=None))


def lines_left_out(drops: Drops) -> dict[str, list[int]]:
    assert all(drops.counts[reason] == len(lines) for reason, lines in drops.examples.items())
    return drops.examples


def prepare_table(drop_duplicates=False):
    """`shop` from the files of the fixture, through the Python interface."""
    orders = {"user_id": "customer", "item_id": "sku", "rating": "stars", "timestamp": "date"}
    products = {"item_id": "sku", "title": "title", "brand": "brand name"}
    return prepare_dataset(
        "shop",
        "dataset",
        (Path("orders.csv"), table_layout(Path("orders.csv"), orders)),
        (Path("products.csv"), table_layout(Path("products.csv"), products)),
        drop_duplicates=drop_duplicates,
        max_unreadable=0.5,
    )


def test_every_line_is_kept_or_accounted_for(folder):
    result = prepare_table()
    assert written("inter") == KEPT
    assert written("item") == [
        ("s1", "A ''fine'' thing, with a tab", "Acme"),
        ("s 2", "two lines", ""),
    ]
    assert lines_left_out(result.interactions) == {
        "malformed line": [8],
        "missing user_id": [5],
        "missing item_id": [6],
        "missing or unreadable time": [7],
        "unreadable rating": [9],
    }
    assert lines_left_out(result.items) == {
        "item without interactions": [6],
        "repeated item (its first line counts)": [5],
    }
    assert (result.interactions.rows, result.interactions.kept) == (10, 5)
    assert (result.items.rows, result.items.kept, result.without_row) == (4, 2, 0)
    assert (result.users, result.item_ids) == ({"ann", "bob"}, {"s1", "s 2"})


def test_who_gave_no_rating_has_interacted_all_the_same(folder):
    rows = [f"u{n},s1,{n},{'' if n % 3 else 4}\n" for n in range(30)]
    Path("orders.csv").write_text("customer,sku,date,stars\n" + "".join(rows))
    result = prepare_table()
    assert (result.interactions.kept, result.interactions.counts) == (30, {})
    assert [row[2] for row in written("inter")] == ["" if n % 3 else 4 for n in range(30)]


def test_the_hint_is_about_what_is_unreadable(folder):
    rows = ["u,s1,soon,4\n", *(f"u{n},s1,{n},good\n" for n in range(30))]
    Path("orders.csv").write_text("customer,sku,date,stars\n" + "".join(rows))
    with pytest.raises(InputError, match=r"30 x unreadable rating [^;]*$") as raised:
        prepare_table()
    assert "--time_format" not in str(raised.value)


def test_a_column_with_a_comma_in_its_name_is_put_in_quotes(folder, capsys):
    Path("products.csv").write_text('sku,"brand,maker",title\ns1,Acme,thing\n')
    run(*TABLE, "--items=products.csv", '--text="brand,maker", title', "--max_unreadable=0.5")
    assert read_header("dataset/shop/shop.item", "\t").keys() == {"item_id", "brand_maker", "title"}
    assert written("item") == [("s1", "Acme", "thing")]


def test_the_next_command_can_be_pasted_whatever_the_folder_is_called(folder, capsys):
    run(*TABLE, "--data_path=my data", "--max_unreadable=0.5")
    command = capsys.readouterr().out.splitlines()[-1].removeprefix("train with: ")
    *_, data_path, config_files = shlex.split(command)
    assert data_path == "--data_path=my data"
    assert shlex.split(config_files.partition("=")[2]) == ["my data/shop/shop.yaml"]


def test_what_to_do_next_works_with_these_items(folder, capsys):
    run(*TABLE, "--max_unreadable=0.5")
    assert "run --model=SASRec --dataset=shop" in capsys.readouterr().out  # there are no texts
    assert max(Config("TIGER", "ml-1m")["codebook_sizes"]) == MOST_CODES
    items = [f"s{n}" for n in range(MOST_CODES)]
    Path("many.csv").write_text("customer,sku,date\n" + "".join(f"u,{i},1\n" for i in items))
    Path("texts.csv").write_text("sku,title\n" + "".join(f"{i},{i}\n" for i in items))
    several = ["--data_path=several", "--items=texts.csv", "--text=title"]
    run(*TABLE, *several, interactions="many.csv")
    assert (
        capsys.readouterr().out.splitlines()[-1].endswith("--config_files=several/shop/shop.yaml")
    )


def test_duplicates_go_when_asked(folder):
    result = prepare_table(drop_duplicates=True)
    assert written("inter") == KEPT[:4]
    assert lines_left_out(result.interactions)["repeated interaction"] == [11]


def test_chunks_make_no_difference(folder, monkeypatch):
    whole = prepare_table(drop_duplicates=True)
    files = {path.name: path.read_bytes() for path in whole.folder.iterdir()}
    for path in whole.folder.iterdir():
        path.unlink()
    monkeypatch.setattr(readers, "CHUNK_ROWS", 2)
    in_pieces = prepare_table(drop_duplicates=True)
    assert str(in_pieces) == str(whole)
    assert {path.name: path.read_bytes() for path in whole.folder.iterdir()} == files


def test_the_report_says_what_was_left_out_and_what_to_do_next(folder, capsys):
    run(*TABLE, *TEXTS, "--items=products.csv", "--rating=stars", "--max_unreadable=0.5")
    report = capsys.readouterr().out.splitlines()
    assert report == [
        "orders.csv: kept 5 of 10 lines",
        "  left out 1 x malformed line (line 8)",
        "  left out 1 x missing item_id (line 6)",
        "  left out 1 x missing or unreadable time (line 7)",
        "  left out 1 x missing user_id (line 5)",
        "  left out 1 x unreadable rating (line 9)",
        "products.csv: kept 2 of 4 lines",
        "  left out 1 x item without interactions (line 6)",
        "  left out 1 x repeated item (its first line counts) (line 5)",
        "dataset/shop: 2 users, 2 items (0 of them not in products.csv), 5 interactions "
        "from 2024-01-02 to 2024-01-08",
        "train with: recbole-genrec run --model=TIGER --dataset=shop "
        "--config_files=dataset/shop/shop.yaml '--codebook_sizes=[16,16,16]'",
    ]
    assert sorted(p.name for p in Path("dataset/shop").iterdir()) == [
        "shop.inter",
        "shop.item",
        "shop.yaml",
    ]


GOOD_ORDERS = [{"customer": u, "sku": i, "stars": r, "date": t} for u, i, r, t in KEPT]


def write_csv(path: Path, separator: str, encoding="utf-8", newline="\n") -> None:
    pd.DataFrame(GOOD_ORDERS).to_csv(
        path, sep=separator, index=False, encoding=encoding, lineterminator=newline
    )


def write_json_lines(path: Path) -> None:
    with (gzip.open if path.suffix == ".gz" else open)(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(order) + "\n" for order in GOOD_ORDERS)


def write_parquet(path: Path, **changes) -> None:
    pd.DataFrame(GOOD_ORDERS).assign(**changes).to_parquet(path, index=False)


def write_parquet_folder(path: Path) -> None:
    path.mkdir()
    orders = pd.DataFrame(GOOD_ORDERS)
    orders[:3].to_parquet(path / "part-0.parquet", index=False)
    orders[3:].to_parquet(path / "part-1.parquet", index=False)


def write_parquet_dates(path: Path) -> None:
    dates = pd.to_datetime([order["date"] for order in GOOD_ORDERS], unit="s", utc=True)
    write_parquet(path, date=dates.tz_convert("Asia/Tokyo"))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.csv", lambda path: write_csv(path, ",")),
        ("a.csv.gz", lambda path: write_csv(path, ",")),
        ("semicolons.csv", lambda path: write_csv(path, ";", "utf-8-sig", "\r\n")),
        ("a.tsv", lambda path: write_csv(path, "\t")),
        ("a.txt", lambda path: write_csv(path, "|")),
        ("a.jsonl", write_json_lines),
        ("a.json.gz", write_json_lines),
        ("a.parquet", write_parquet),
        ("dates.parquet", write_parquet_dates),
        ("folder.parquet", write_parquet_folder),
    ],
)
def test_every_format_gives_the_same_rows(folder, name, write):
    write(Path(name))
    run(*TABLE, "--rating=stars", interactions=name)
    assert written("inter") == KEPT


def test_whole_numbers_that_a_format_holds_as_floats_are_the_same_ids(folder):
    orders = [{"customer": 7.0, "sku": 12, "date": 1}, {"customer": None, "sku": 12, "date": 2}]
    pd.DataFrame(orders).to_parquet("orders.parquet")  # a column of 7.0 and NaN
    Path("orders.jsonl").write_text("\n".join(map(json.dumps, orders)))
    for name in ("orders.parquet", "orders.jsonl"):
        layout = table_layout(
            Path(name), {"user_id": "customer", "item_id": "sku", "timestamp": "date"}
        )
        result = prepare_dataset(name, "dataset", (Path(name), layout))
        assert (result.users, result.item_ids) == ({"7"}, {"12"})
        assert lines_left_out(result.interactions) == {"missing user_id": [2]}


@pytest.mark.parametrize(
    ("times", "options", "seconds"),
    [
        (["1", "2", "10"], [], [1, 2, 10]),  # positions in a sequence
        (["1588687728923", "1588687728924"], [], [1588687728923, 1588687728924]),
        (["1588687728.25", "1.5e9"], [], [1588687728.25, 1.5e9]),
        (["2018-07-07T22:09:11Z", "2018-07-07 22:09"], [], [1531001351, 1531001340]),
        (["07/04/2018", "31/12/2017"], ["--time_format=%d/%m/%Y"], [1523059200, 1514678400]),
        (["20180704", "20171231"], ["--time_format=%Y%m%d"], [1530662400, 1514678400]),
    ],
)
def test_times_become_unix_seconds(folder, times, options, seconds):
    Path("t.csv").write_text("u,i,t\n" + "".join(f"u,i,{time}\n" for time in times))
    run("--user=u", "--item=i", "--time=t", *options, interactions="t.csv")
    assert [row[2] for row in written("inter")] == seconds


def test_numbers_and_dates_in_one_column_are_never_mixed_up(folder):
    path = Path("t.csv")
    path.write_text("u,i,t\nu,i,2018\nu,i,2019-05-01\nu,i,2020\n")
    layout = table_layout(path, {"user_id": "u", "item_id": "i", "timestamp": "t"})
    result = prepare_dataset("mixed", "dataset", (path, layout), max_unreadable=0.5)
    assert lines_left_out(result.interactions) == {"missing or unreadable time": [3]}


def test_line_numbers_count_the_lines_inside_quoted_fields(folder):
    path = Path("t.csv")
    path.write_text('u,i,t\n\n"a\nb",i,1\nu,i\nu,i,2\nu,i,"never closed\nu,i,3\n')
    layout = table_layout(path, {"user_id": "u", "item_id": "i", "timestamp": "t"})
    result = prepare_dataset("quoted", "dataset", (path, layout), max_unreadable=0.8)
    assert lines_left_out(result.interactions) == {
        "malformed line": [5],
        "user_id with tab, line break or quote, or [PAD]": [3],
        "missing or unreadable time": [7],
    }


def test_texts_of_json_may_be_lists_numbers_or_missing(folder):
    items = [
        {"sku": "s1", "tags": ["red", None, ["big", 3.0]], "info": {"b": "ä"}},
        {"sku": "s 2", "tags": 1984.0, "title": "line\u2028break \ud83d"},
        {"sku": "s3", "title": None},
    ]
    Path("items.jsonl").write_text("\n".join(map(json.dumps, items)))
    write_csv(Path("good.csv"), ",")
    run(*TABLE, "--items=items.jsonl", "--text=title,tags,info", interactions="good.csv")
    assert written("item") == [
        ("s1", "", "red, big, 3", "{''b'': ''ä''}"),
        ("s 2", "line break \ufffd", "1984", ""),
    ]


def test_recbole_and_the_text_reader_read_the_files_with_their_config(folder):
    users = [f"u{n}" for n in range(4)]
    orders = [(u, f"p{(k * 3) % 5}", 1000 - k) for u in users for k in range(5)]  # latest first
    pd.DataFrame(orders, columns=["customer", "sku", "date"]).to_csv("orders.csv", index=False)
    Path("products.csv").write_text(
        "sku,title\n" + "".join(f'p{n},"Name ""{n}"""\n' for n in range(5))
    )
    run(*TABLE, "--items=products.csv", "--text=title")
    settings = {"data_path": "dataset", "MAX_ITEM_LIST_LENGTH": 10}
    config = Config("SASRec", "shop", ["dataset/shop/shop.yaml"], settings)
    dataset = create_dataset(config)
    assert (dataset.user_num, dataset.item_num) == (5, 6)  # with RecBole's padding
    train, valid, test = dataset.build()
    assert (len(train), len(valid), len(test)) == (4 * 2, 4, 4)
    expected = [f"p{(k * 3) % 5}" for k in (4, 3, 2, 1, 0)]  # in the order of time
    for row in range(4):
        sample = test[row]
        tokens = [*sample["item_id_list"][:4].tolist(), int(sample["item_id"])]
        assert [dataset.item_tokens[token] for token in tokens] == expected
    texts = read_items(config, dataset.item_tokens).texts
    assert texts == ["", *(f"Name ''{token[1]}''" for token in dataset.item_tokens[1:])]


def test_config_holds_columns_texts_and_leave_one_out(folder):
    run(*TABLE, *TEXTS, "--items=products.csv", "--max_unreadable=0.5")
    config = yaml.safe_load(Path("dataset/shop/shop.yaml").read_text())
    assert config["load_col"] == {"inter": ["user_id", "item_id", "timestamp"]}
    assert config["item_text_fields"] == ["title", "brand_name"]
    assert config["eval_args"] == {
        **{"split": {"LS": "valid_and_test"}, "group_by": "user"},
        **{"order": "TO", "mode": "full"},
    }
    assert "user_inter_num_interval" not in config  # k-core is the user's decision


def test_a_failure_leaves_nothing_behind_and_foreign_files_alone(folder, monkeypatch):
    def disk_full(*arguments):
        raise OSError(28, "No space left on device")

    Path("dataset/shop").mkdir(parents=True)
    Path("dataset/shop/notes.txt").write_text("mine")
    monkeypatch.setattr(prepare, "_write_items", disk_full)
    with pytest.raises(RunError, match=r"dataset/shop/shop\.inter\] could not be .*No space left"):
        run(*TABLE, *TEXTS, "--items=products.csv", "--max_unreadable=0.5")
    assert [path.name for path in Path("dataset/shop").iterdir()] == ["notes.txt"]


def test_a_new_folder_goes_when_nothing_came_of_it(folder):
    with pytest.raises(ValueError, match="none of the 1 lines is an item of the interactions"):
        Path("others.csv").write_text("sku,title\nS-1,other\n")
        run(*TABLE, "--items=others.csv", "--text=title", "--max_unreadable=0.5")
    assert not Path("dataset/shop").exists()
