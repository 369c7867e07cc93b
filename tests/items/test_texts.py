"""Item texts: what RecBole's files hold, whatever their columns are called."""

import logging
from pathlib import Path

import pytest
import recbole

from recbole_genrec.errors import InputError
from recbole_genrec.items.texts import log_gaps, read_items

BUNDLED = Path(recbole.__file__).parent / "dataset_example" / "ml-100k"


class Settings(dict):
    """A configuration that, like RecBole's, knows None for every other key."""

    def __missing__(self, key):
        return None


def settings(folder, dataset="toy", **others):
    defaults = {
        "data_path": str(folder),
        "dataset": dataset,
        "field_separator": "\t",
        "seq_separator": " ",
        "ITEM_ID_FIELD": "item_id",
    }
    return Settings(defaults | others)


def write_items(folder, text):
    (folder / "toy.item").write_text(text, encoding="utf-8")


def test_bundled_ml_100k():
    config = settings(BUNDLED, "ml-100k", item_text_fields=["movie_title", "release_year", "class"])
    tokens = ["[PAD]", "2", "1"]  # the order is the caller's, not the file's
    read = read_items(config, tokens)
    assert read.texts == [
        "",
        "GoldenEye, 1995, Action Adventure Thriller",
        "Toy Story, 1995, Animation Children's Comedy",
    ]
    assert read.titles == ["", "GoldenEye", "Toy Story"]


def test_real_beauty(real_data):
    config = settings(real_data / "amazon-beauty", "amazon-beauty", item_text_fields=["title"])
    texts = read_items(config, ["[PAD]", "B004ZT0SSG", "B004756YJA"]).texts
    assert texts == ["", "red shatter crackle nail polish e55", "nail lacquer simmer and shimmer"]


@pytest.mark.parametrize(
    ("id_field", "fields", "file", "expected"),
    [
        pytest.param(
            "item_id",
            ["title", "brand", "categories", "price"],
            "item_id:token\ttitle:token\tsales_type:token\tsales_rank:float\tcategories:token_seq\t"
            "price:float\tbrand:token\n"
            "B1\tWhite Bobby Pins\tBeauty\t12.0\tHair Care\t8.99\tAce\n",
            "White Bobby Pins, Ace, Hair Care, 8.99",
            id="amazon, as RecBole downloads it",
        ),
        pytest.param(
            "business_id",
            ["item_name", "city", "categories"],
            "business_id:token\titem_name:token_seq\taddress:token_seq\tcity:token_seq\t"
            "categories:token_seq\nB1\tThe Corner Bakery\t1 Main St\tLas Vegas\tCafes, Bakeries\n",
            "The Corner Bakery, Las Vegas, Cafes, Bakeries",
            id="yelp",
        ),
        pytest.param(
            "item_id",
            ["title"],
            'item_id:token\ttitle:token\nB1\t"Fresh 6" comb\nB2\tother"\n',
            '"Fresh 6" comb',
            id="quotation marks are text",
        ),
        pytest.param(
            "item_id",
            ["title", "brand"],
            "item_id:token\tbrand:token\nB1\tÉclat  de  Rose \n",
            "Éclat de Rose",
            id="one of two columns is there",
        ),
        pytest.param(
            "item_id",
            ["title", "price"],
            "\ufeffitem_id:token\ttitle:token\tprice:float\nB1\tNone\t12.50\n",
            "None, 12.50",
            id="a byte order mark, a title that pandas takes for nothing, a price as written",
        ),
    ],
)
def test_columns_of_known_files(tmp_path, id_field, fields, file, expected):
    write_items(tmp_path, file)
    config = settings(tmp_path, ITEM_ID_FIELD=id_field, item_text_fields=fields)
    assert read_items(config, ["[PAD]", "B1"]).texts == ["", expected]


def test_items_are_called_as_in_the_data_set(tmp_path):
    write_items(tmp_path, "item_id:token\ttitle:token\nNA\tSalt\nnull\tNULL\n")
    config = settings(tmp_path, item_text_fields=["title"])
    assert read_items(config, ["[PAD]", "null", "NA"]).texts == ["", "NULL", "Salt"]


def test_other_separators(tmp_path):
    write_items(tmp_path, "item_id:token,title:token_seq\r\n1,Toy|Story\r\n")
    config = settings(tmp_path, field_separator=",", seq_separator="|", item_text_fields=["title"])
    assert read_items(config, ["[PAD]", "1"]).texts == ["", "Toy Story"]


def test_items_without_text_are_counted_and_named(tmp_path, caplog):
    write_items(
        tmp_path, "item_id:token\ttitle:token\tbrand:token\n1\tcomb\tAce\n2\t\t\n3\t\tAce\n"
    )
    config = settings(tmp_path, item_text_fields=["title", "brand"])
    with caplog.at_level(logging.WARNING):
        tokens = ["[PAD]", "1", "2", "3", "9"]
        read = read_items(config, tokens)
        assert not caplog.text  # which is for those who encode the texts
        log_gaps(config, tokens, read)
    assert read.texts == ["", "comb, Ace", "", "Ace", ""]
    assert "2 of 4 items have no text" in caplog.text
    assert caplog.text.rstrip().endswith("2, 9")


@pytest.mark.parametrize(
    ("file", "others", "message"),
    [
        (None, {"item_text_fields": ["title"]}, r"no file .*toy\.item"),
        ("item_id:token\ttitle:token\n", {}, r"`item_text_fields` is not set.*\['title'\]"),
        (
            "item_id:token\tname:token\tbrand:token\n",
            {"item_text_fields": ["title", "text"]},
            r"toy\.item has none of the columns \['title', 'text'\].*\['name', 'brand'\]",
        ),
        (
            "id:token\ttitle:token\n",
            {"item_text_fields": ["title"]},
            r"toy\.item has no column 'item_id' \(ITEM_ID_FIELD\).*\['id', 'title'\]",
        ),
        (
            "item_id:token\ttitle:token\n1\ta\n2\tb\n1\tc\n",
            {"item_text_fields": ["title"]},
            r"toy\.item: 1 items have more than one row \(column 'item_id'\): 1",
        ),
        (
            "item_id:token\ttitle:token\n1\tÉclat\n",
            {"item_text_fields": ["title"], "encoding": "ascii"},
            r"toy\.item is not in the encoding ascii: .*can't decode",
        ),
    ],
)
def test_bad_files(tmp_path, file, others, message):
    if file is not None:
        write_items(tmp_path, file)
    with pytest.raises(InputError, match=message):
        read_items(settings(tmp_path, **others), ["[PAD]", "1"])
