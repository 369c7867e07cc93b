"""The property files of the data sets, on the files that they are for."""

import pytest

from recbole_genrec.config import Config
from recbole_genrec.config.yaml_files import properties_dir
from recbole_genrec.data.dataset import create_dataset
from tests.small import write_table

NAMES = sorted(path.stem for path in (properties_dir() / "dataset").glob("*.yaml"))
REVIEWS = ["user_id:token", "item_id:token", "rating:float", "timestamp:float"]


def written(tmp_path, name):
    """RecBole's columns: a 5-core of 5 users and 5 items, and one pair besides."""
    header, when = REVIEWS, 1_550_000_000
    if name == "yelp":
        header = [
            "review_id:token",
            "user_id:token",
            "business_id:token",
            "stars:float",
            "date:float",
        ]
    rows = [(f"u{u}", f"i{i}", 5, when + 60 * i) for u in range(5) for i in range(5)]
    rows.append(("u9", "i9", 5, when))
    if name == "yelp":
        rows = [(f"r{n}", *row) for n, row in enumerate(rows)]
        rows.append(("r", "u0", "i0", 5, 1_600_000_000))  # after 2019
    write_table(tmp_path / name / f"{name}.inter", header, rows)
    return Config("SASRec", name, config_dict={"data_path": str(tmp_path)})


@pytest.mark.parametrize("name", sorted({*NAMES} - {"ml-100k"}))
def test_five_core_and_leave_one_out(tmp_path, name):
    config = written(tmp_path, name)
    dataset = create_dataset(config)
    assert (dataset.user_num, dataset.item_num, dataset.inter_num) == (6, 6, 25)
    train, valid, test = dataset.build()
    assert [len(part) for part in (train, valid, test)] == [10, 5, 5]
    assert set(dataset.id2token(dataset.iid_field, test.inter_feat[dataset.iid_field].numpy())) == {
        "i4"
    }
    assert config["item_text_fields"]


def test_the_bundled_ml_100k():
    dataset = create_dataset(Config("Pop", "ml-100k", config_dict={"data_path": "elsewhere"}))
    assert (dataset.user_num - 1, dataset.item_num - 1, dataset.inter_num) == (943, 1349, 99287)
    parts = dataset.build()
    assert [len(part) for part in parts] == [99287 - 2 * 943, 943, 943]  # Pop in the same split


def test_the_real_beauty_files(real_data):
    config = Config("TIGER", "amazon-beauty", config_dict={"data_path": str(real_data)})
    dataset = create_dataset(config)
    assert (dataset.user_num, dataset.item_num) == (22364, 12102)
    train, valid, test = dataset.build()
    assert [len(part) for part in (train, valid, test)] == [131413, 22363, 22363]
