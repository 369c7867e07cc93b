"""The raw files of Amazon, Yelp and MovieLens, in small and in their true layout."""

import gzip
import json
from pathlib import Path

import pytest

from recbole_genrec.atomic_file import read_atomic_file, read_header
from recbole_genrec.commands.prepare import prepare_command
from recbole_genrec.config.yaml_files import read_yaml
from recbole_genrec.data.prepare.raw import SOURCES

REVIEW_2014 = (
    '{"reviewerID": "A1YJEY40YUW4SE", "asin": "7806397051", "reviewerName": "Andrea", '
    '"helpful": [3, 4], "reviewText": "Very oily", "overall": 1.0, "summary": "Don\'t waste", '
    '"unixReviewTime": 1391040000, "reviewTime": "01 30, 2014"}\n'
)
META_2014 = (  # a Python literal, not JSON
    "{'asin': '7806397051', 'title': 'WAWO 15 Color Makeup Palette', 'price': 6.99, "
    "'salesRank': {'Beauty': 5943}, 'brand': \"L'Or\\xe9al\", 'categories': [['Beauty', 'Skin | "
    "Care'], ['Beauty', 'Concealers']], 'description': \"For <b>all</b>\\n skin &amp; hair\"}\n"
    "{'asin': '0000000000', 'title': 'never reviewed'}\n"
    "{'asin': __import__('os').getcwd()}\n"  # must not be run
)
REVIEW_2018 = (
    '{"overall": 5.0, "verified": true, "reviewTime": "09 1, 2016", "reviewerID": "A3CIUOJXQ5VDQ2",'
    ' "asin": "B0000530HU", "style": {"Size:": " 7.0 oz"}, "reviewText": "As advertised.", '
    '"summary": "Five Stars", "unixReviewTime": 1472688000}\n'
)
META_2018 = (
    '{"category": ["All Beauty"], "tech1": "", "description": ["Long", "lasting"], "title": '
    '"Aqua Velva", "also_buy": [], "brand": "var aPageStart = (new Date()).getTime();", "feature": '
    '["7 oz"], "rank": "1,024", "details": {}, "main_cat": "All Beauty", "asin": "B0000530HU"}\n'
    '{"title": "the same again", "asin": "B0000530HU"}\n'
)
REVIEW_2023 = (
    '{"rating": 4.0, "title": "Nice", "text": "ok", "images": [], "asin": "B00YQ6X8EO", '
    '"parent_asin": "B00YQ6X8E0", "user_id": "AGKHLEW2SOWHNMFQIJGBECAF7INQ", "timestamp": '
    '1588687728923, "helpful_vote": 0, "verified_purchase": true}\n'
)
META_2023 = (
    '{"main_category": "All Beauty", "title": "Howard LC0008", "average_rating": 4.8, "features": '
    '["A", "B"], "description": [], "price": null, "images": [], "store": "Howard Products", '
    '"categories": [], "details": {"UPC": "1"}, "parent_asin": "B00YQ6X8E0"}\n'
)
YELP_REVIEW = (
    '{"review_id":"KU_O5udG6zpxOg-VcAEodg","user_id":"mh_-eMZ6K5RLWhZyISBhwA","business_id":'
    '"XQfwVwDr-v0ZS3_CbbE5Xw","stars":3.0,"useful":0,"funny":0,"cool":0,"text":"If you\\ndecide",'
    '"date":"2018-07-07 22:09:11"}\n'
)
YELP_BUSINESS = (
    '{"business_id":"XQfwVwDr-v0ZS3_CbbE5Xw","name":"Turning Point","address":"1460 Bethlehem Pike"'
    ',"city":"North Wales","state":"PA","postal_code":"19454","latitude":40.2,"longitude":-75.2,'
    '"stars":3.0,"review_count":169,"is_open":1,"attributes":null,"categories":"Restaurants, '
    'Breakfast & Brunch, Food","hours":null}\n'
    '{"business_id":"never-visited","name":"X","categories":null}\n'
)
U_DATA = "196\t1\t3\t881250949\n"
U_ITEM = (
    "1|Mis\xe9rables, Les (1995)|01-Jan-1995||http://us.imdb.com/M/x|0|0|0|0|0|0|0|0|1|0|0|0|1|0|0|"
    "0|0|0|0\n"
    "2|unknown||||1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
)
MOVIES_1M = "1193::Mis\xe9rables, Les (1995)::Drama|Musical\n7::Late::Comedy\n"
MOVIES_CSV = (
    'movieId,title,genres\n1,"Mis\xe9rables, Les (1995)",Drama|Musical\n'
    "2,Untitled,(no genres listed)\n"
)
FILM = ("Mis\xe9rables, Les", "1995", "Drama|Musical")

# source, files, rows of .inter, rows of .item
CASES = [
    (
        "amazon2014",
        {"reviews_Beauty.json.gz": REVIEW_2014, "meta_Beauty.json.gz": META_2014},
        ("A1YJEY40YUW4SE", "7806397051", 1.0, 1391040000),
        [
            ("7806397051", "WAWO 15 Color Makeup Palette", "L'Oréal")
            + ("Beauty|Skin / Care|Concealers", "For all skin & hair")
        ],
    ),
    (
        "amazon2014",
        {"ratings_Beauty.csv": "A39HTATAQ9V7YF,0205616461,5.0,1369699200\n"},
        ("A39HTATAQ9V7YF", "0205616461", 5.0, 1369699200),
        None,
    ),
    (
        "amazon2018",
        {"All_Beauty.json.gz": REVIEW_2018, "meta_All_Beauty.json.gz": META_2018},
        ("A3CIUOJXQ5VDQ2", "B0000530HU", 5.0, 1472688000),
        [("B0000530HU", "Aqua Velva", "", "All Beauty", "Long, lasting", "7 oz")],
    ),
    (
        "amazon2018",
        {"All_Beauty.csv": "0143026860,A1V6B6TNIC10QE,1.0,1424304000\n"},
        ("A1V6B6TNIC10QE", "0143026860", 1.0, 1424304000),
        None,
    ),
    (
        "amazon2023",
        {"All_Beauty.jsonl.gz": REVIEW_2023, "meta_All_Beauty.jsonl.gz": META_2023},
        ("AGKHLEW2SOWHNMFQIJGBECAF7INQ", "B00YQ6X8E0", 4.0, 1588687728.923),
        [("B00YQ6X8E0", "Howard LC0008", "Howard Products", "", "A, B", "")],
    ),
    (
        "amazon2023",
        {"B.csv": "user_id,parent_asin,rating,timestamp\nAE3,B00YQ6X8E0,4.0,1588687728000\n"},
        ("AE3", "B00YQ6X8E0", 4.0, 1588687728),
        None,
    ),
    (
        "yelp",
        {"review.json": YELP_REVIEW, "business.json": YELP_BUSINESS},
        ("mh_-eMZ6K5RLWhZyISBhwA", "XQfwVwDr-v0ZS3_CbbE5Xw", 3.0, 1531001351),
        [
            ("XQfwVwDr-v0ZS3_CbbE5Xw", "Turning Point")
            + ("Restaurants|Breakfast & Brunch|Food", "North Wales", "PA")
        ],
    ),
    (
        "ml-100k",
        {"u.data": U_DATA + "7\t2\t1\t881250950\n", "u.item": U_ITEM},
        ("196", "1", 3.0, 881250949),
        [("1", *FILM), ("2", "unknown", "", "unknown")],
    ),
    (
        "ml-1m",
        {"ratings.dat": "1::1193::5::978300760\n1::7::4::978302109\n", "movies.dat": MOVIES_1M},
        ("1", "1193", 5.0, 978300760),
        [("1193", *FILM), ("7", "Late", "", "Comedy")],
    ),
    (
        "ml-latest",
        {
            "ratings.csv": "userId,movieId,rating,timestamp\n1,1,4.5,964982703\n1,2,4,964982704\n",
            "movies.csv": MOVIES_CSV,
        },
        ("1", "1", 4.5, 964982703),
        [("1", *FILM), ("2", "Untitled", "", "")],
    ),
]


def write(path: Path, text: str, source: str) -> None:
    data = text.encode("latin-1" if source in ("ml-100k", "ml-1m") else "utf-8")
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def rows(path: Path) -> list[tuple]:
    table = read_atomic_file(path, read_header(path, "\t"), "\t").fillna("")
    return list(table.itertuples(index=False, name=None))


@pytest.mark.parametrize(
    ("source", "files", "first", "items"), CASES, ids=[f"{c[0]}-{next(iter(c[1]))}" for c in CASES]
)
def test_raw_files_become_atomic_files(tmp_path, monkeypatch, capsys, source, files, first, items):
    monkeypatch.chdir(tmp_path)
    for name, text in files.items():
        write(Path(name), text, source)
    names = dict(zip(("interactions", "items"), files, strict=False))
    options = [f"--{option}={name}" for option, name in names.items()]
    prepare_command(["--dataset=new", f"--source={source}", "--max_unreadable=0.5", *options])

    folder = Path("dataset/new")
    header = (folder / "new.inter").read_text().splitlines()[0]
    assert header == "user_id:token\titem_id:token\trating:float\ttimestamp:float"
    assert rows(folder / "new.inter")[0] == first
    assert len(rows(folder / "new.inter")) == len(items or [None])
    config = read_yaml(folder / "new.yaml")
    assert (config.get("user_inter_num_interval") == "[5,inf)") == (SOURCES[source].core == 5)
    if items:
        assert rows(folder / "new.item") == items
        columns = read_header(folder / "new.item", "\t")
        assert config["item_text_fields"] == list(columns)[1:]
        many = [name for name, kind in columns.items() if kind.value == "token_seq"]
        assert many == ["genres" if source.startswith("ml") else "categories"]


def test_python_literals_are_never_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(Path("reviews.json"), REVIEW_2014, "amazon2014")
    write(Path("meta.json"), META_2014, "amazon2014")
    options = ["--interactions=reviews.json", "--items=meta.json", "--max_unreadable=0.5"]
    prepare_command(["--dataset=new", "--source=amazon2014", *options])
    assert "left out 1 x malformed line (line 3)" in capsys.readouterr().out


def test_ratings_of_the_other_year_are_not_taken_for_users(tmp_path):
    path = tmp_path / "All_Beauty.csv"
    path.write_text("0143026860,A1V6B6TNIC10QE,1.0,1424304000\n")
    arguments = ["--dataset=new", f"--data_path={tmp_path}", f"--interactions={path}"]
    with pytest.raises(ValueError, match="users and items are the other way round.*0143026860"):
        prepare_command([*arguments, "--source=amazon2014"])


def test_the_genres_of_movielens_100k_are_those_of_the_bundled_file():
    """Against RecBole's own conversion of the same data."""
    import recbole

    from recbole_genrec.data.prepare.raw.movielens import GENRES_100K

    folder = Path(recbole.__file__).parent / "dataset_example" / "ml-100k"
    lines = (folder / "ml-100k.item").read_text(encoding="utf-8").splitlines()[1:]
    assert set(GENRES_100K) == {genre for line in lines for genre in line.split("\t")[3].split()}


def test_every_source_has_a_case():
    assert {case[0] for case in CASES} == set(SOURCES)
    assert all(json.loads(text) for text in (REVIEW_2014, REVIEW_2018, REVIEW_2023, YELP_REVIEW))
