"""Files of histories: what is read and what is refused."""

import io
import json

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


@pytest.mark.parametrize(
    "text",
    [
        "user_id,item_id,timestamp\nu,b,2\nv,x,5\nu,c,10\nu,a,1\n",
        "user_id:token\titem_id:token\ttimestamp:float\nu\tb\t2\nv\tx\t5\nu\tc\t10\nu\ta\t1e0\n",
        "time,item,user\r\n2,b,u\r\n5,x,v\r\n10,c,u\r\n1,a,u\r\n",
        "user_id,item_id\nu,a\nv,x\n\nu,b\nu,c\n",
    ],
)
def test_interactions_as_recbole_has_them(write, text):
    assert read_histories(write(text)) == [History("u", ["a", "b", "c"]), History("v", ["x"])]


def test_a_cell_may_be_long(write):
    token = "x" * 200_000
    assert read_histories(write(f"user,item\nu,{token}\n")) == [History("u", [token])]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x1c"])
def test_only_line_breaks_end_a_json_line(write, separator):
    text = json.dumps({"history": [f"a{separator}b"]}, ensure_ascii=False)
    assert read_histories(write(f"{text}\n{text}\n"))[1].items == [f"a{separator}b"]


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
        ("u1,a\nu1,b\n", "CSV with the columns user_id and item_id (or user and item)"),
        ("user,item\nu1,a\nu1,\n", "line 3: user or item is missing"),
        ("user,item,item\nu1,a,b\n", "the header has the column [item] 2 times"),
        ("user,item,time,time\nu1,a,1,2\n", "the header has the column [time] 2 times"),
        ("user,item\nu1,a,b\n", "line 2: the header has 2 cells, found 3"),
        ("user,item,time\nu1,a,soon\n", "line 2: expected a time, found [soon]"),
        ("user,item,time\nu1,a,inf\n", "line 2: expected a time, found [inf]"),
        ('{"history": [' + "9" * 5000 + "]}", "line 1: not JSON (Exceeds the limit"),
        ('{"history": ' + "[" * 100_000, "line 1: not JSON (maximum recursion depth"),
        ('{"history": ["\\ud800"]}', "line 1: expected text, found half a character"),
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
    for wrong in ('{"item": 1}', '{"item": 1, "text": " "}'):
        with pytest.raises(InputError, match="line 1: expected .*, found"):
            read_new_items(write(f"{wrong}\n"))
    with pytest.raises(InputError, match="input holds no new item"):
        read_new_items(write("\n"))


def test_tokens(write):
    assert read_tokens(write("a\n\n b \n")) == ["a", "b"]
