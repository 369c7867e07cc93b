"""Files of histories: what is read and what is refused."""

import io

import pytest

from recbole_genrec.commands.histories import History, read_histories, read_new_items, read_tokens
from recbole_genrec.errors import InputError


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "input"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_json_lines_with_and_without_user(write):
    path = write('{"user": "u1", "history": ["a", "b"]}\n\n{"history": [7]}\n')
    assert read_histories(path) == [History("u1", ["a", "b"]), History(None, ["7"])]


def test_csv_rows_of_a_user_form_one_history_in_their_order(write):
    path = write("user,item,price\nu2,b,1\nu1,x,1\nu2,a,1\n")
    assert read_histories(path) == [History("u2", ["b", "a"]), History("u1", ["x"])]


def test_standard_input(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO('{"history": ["a"]}\n'))
    assert read_histories("-") == [History(None, ["a"])]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "input holds no history"),
        ('{"history": ["a"]}\n{"history": "a"}\n', 'line 2: expected {"history": '),
        ('{"history": ["a"]}\n{"history": [\n', "line 2: not JSON"),
        ('{"user": "u1"}\n', "line 1: expected"),
        ('{"history": ["a"]}\n["a"]\n', "line 2: expected an object"),
        ("u1,a\nu1,b\n", "CSV with the columns user and item, found the columns u1, a"),
        ("user,item\nu1,a\nu1,\n", "interaction 2: user or item is missing"),
    ],
)
def test_bad_histories(write, text, message):
    with pytest.raises(InputError) as error:
        read_histories(write(text))
    assert message in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="nothing.jsonl: cannot be read"):
        read_histories(str(tmp_path / "nothing.jsonl"))


def test_new_items(write):
    assert read_new_items(write('{"item": 1, "text": "A film"}\n')) == (["1"], ["A film"])
    with pytest.raises(InputError, match="line 1: expected .*, found"):
        read_new_items(write('{"item": 1}\n'))
    with pytest.raises(InputError, match="input holds no new item"):
        read_new_items(write("\n"))


def test_tokens(write):
    assert read_tokens(write("a\n\n b \n")) == ["a", "b"]
