"""Recommendations from a checkpoint: trained once on the toy data, then asked."""

import io
import json
import re
from collections import Counter
from pathlib import Path

import pytest
import torch

from recbole_genrec import Recommender, cli
from recbole_genrec.errors import InputError
from recbole_genrec.quick_start import run_recbole_genrec
from recbole_genrec.runs.checkpoint import load_checkpoint, save_checkpoint
from recbole_genrec.tokenizer.quality.report import purity_gains
from tests.small import NAME, SMALL_T5, write_toy

SETTINGS = {
    "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
    "item_text_fields": ["title", "brand"],
    "MAX_ITEM_LIST_LENGTH": 6,
    "codebook_sizes": [4, 4],
    "collision": "append",
    "tokenizer_epochs": 3,
    "tokenizer_hidden_sizes": [16],
    "tokenizer_code_dim": 4,
    **SMALL_T5,
    "beam_size": 10,
    "epochs": 2,
    "train_batch_size": 64,
    "topk": [5, 10],
    "valid_metric": "NDCG@5",
    "show_progress": False,
    "append_size": 12,
}


def train(folder: Path, model: str = "TIGER", **settings) -> Path:
    """Train on the toy data below `folder`; returns the checkpoint."""
    write_toy(folder)
    places = {name: str(folder / name) for name in ("checkpoint_dir", "results_dir")}
    settings = {"data_path": str(folder), **places, **SETTINGS, **settings}
    run_recbole_genrec(model, NAME, config_dict=settings)
    return next((folder / "checkpoint_dir").glob(f"{model}*.pth"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return train(tmp_path_factory.mktemp("inference"))


def test_weights_that_are_no_numbers_are_refused(checkpoint, tmp_path):
    state = load_checkpoint(checkpoint)
    name, weight = next((n, w) for n, w in state["state_dict"].items() if w.is_floating_point())
    weight.view(-1)[0] = torch.nan
    save_checkpoint(state, tmp_path / "nan.pth")
    with pytest.raises(InputError, match=rf"weight \[{name}\] has 1 of"):
        Recommender.from_checkpoint(tmp_path / "nan.pth")


@pytest.fixture
def recommender(checkpoint) -> Recommender:
    return Recommender.from_checkpoint(checkpoint, device="cpu")


def test_a_checkpoint_answers_without_the_settings_that_came_after_it(
    recommender, checkpoint, tmp_path
):
    state = load_checkpoint(checkpoint)
    del state["config"]["valid_beam_size"]
    for tokenizer in state["extra"]["items"]["tokenizers"].values():
        del tokenizer["settings"]["tokenizer_level_reduction"]
    save_checkpoint(state, tmp_path / "former.pth")
    former = Recommender.from_checkpoint(tmp_path / "former.pth", device="cpu")
    history = [recommender.catalogue.items.tokens[1:4]]
    assert former.recommend(history) == recommender.recommend(history)


def test_answers_are_the_ranked_items_of_the_model(recommender):
    histories = [["i1", "i2", "i3"], ["i7"]]
    answers = recommender.recommend(histories, top_k=40)
    for history, answer in zip(histories, answers, strict=True):
        assert {found["item"] for found in answer} == {f"i{n}" for n in range(40)}
        scores = [found["log_probability"] for found in answer]
        assert scores == sorted(scores, reverse=True)
        alone = recommender.recommend([history], top_k=5)[0]
        assert [found["item"] for found in alone] == [found["item"] for found in answer[:5]]
    codes = recommender.model.ids.codes.tolist()
    ids = recommender.catalogue.ids([found["item"] for found in answer])
    assert [found["semantic_id"] for found in answer] == [codes[i] for i in ids]
    items = recommender.model.items
    titles = dict(zip(items.tokens, items.titles, strict=True))
    assert titles["i1"] == "word1 word1 tail"
    assert all(found["title"] == titles[found["item"]] for found in answer)


@pytest.mark.parametrize("allowed", [None, ["i1", "i9", "i30", "i31"]])
def test_the_beam_holds_the_best_prefixes_of_each_level(recommender, allowed):
    """As wide as the catalogue it leaves out none, and each has the sum over its items."""
    levels = recommender.beam(["i1", "i2", "i3"], top_k=40, allowed_items=allowed)
    codes = recommender.model.ids.codes
    chosen = range(1, 41) if allowed is None else recommender.catalogue.ids(allowed)
    expected = [Counter(tuple(codes[i, :n].tolist()) for i in chosen) for n in (1, 2, 3)]
    assert [{tuple(p.codes): p.items for p in level} for level in levels] == expected
    for level, shorter in zip(levels[1:], levels, strict=False):
        parents = {tuple(prefix.codes): prefix.log_probability for prefix in shorter}
        assert all(p.log_probability < parents[tuple(p.codes[:-1])] for p in level)
    for level in levels:
        probabilities = [prefix.log_probability for prefix in level]
        assert probabilities == sorted(probabilities, reverse=True)
    (answer,) = recommender.recommend([["i1", "i2", "i3"]], top_k=40, allowed_items=allowed)
    assert [prefix.codes for prefix in levels[-1]] == [found["semantic_id"] for found in answer]
    expected = [found["log_probability"] for found in answer]
    assert [prefix.log_probability for prefix in levels[-1]] == pytest.approx(expected, abs=1e-5)


def test_a_narrow_beam_leaves_prefixes_out(recommender):
    """And holds at each level the best continuations of the level before."""
    recommender.model.beam_size = 2
    narrow = recommender.beam(["i1", "i2"], top_k=2)
    assert [len(level) for level in narrow] == [2, 2, 2]
    wide = recommender.beam(["i1", "i2"], top_k=40)
    kept = {(): 0.0}
    for level, whole in zip(narrow, wide, strict=True):
        below = [p for p in whole if tuple(p.codes[:-1]) in kept]
        assert [p.codes for p in level] == [p.codes for p in below[:2]]
        kept = {tuple(p.codes): p.log_probability for p in level}


def test_items_that_are_left_out_get_beams_of_their_own(recommender):
    """As in masked evaluation, also where they and the list fit into the usual beams."""
    recommender.model.beam_size = 4
    history = ["i1", "i2"]
    assert len(recommender.beam(history, top_k=2)[-1]) == 4
    found = recommender.beam(history, top_k=2, exclude_history=True)[-1]
    assert len(found) >= recommender.model.width_to_mask(2, 2) == 6
    asked, recommend = [], recommender.model.recommend
    recommender.model.recommend = lambda batch, k, allowed: (
        asked.append(k) or recommend(batch, k, allowed)
    )
    recommender.recommend([history], top_k=2, exclude_history=True)
    assert asked == [len(found)]


def test_ids_that_were_given_have_none_for_new_items(recommender):
    items = recommender.model.items
    items.tokenizers.clear(), items.embeddings.clear()
    for given in ({"texts": ["word1 tail"]}, {"embeddings": torch.zeros(1, 4)}):
        with pytest.raises(InputError, match=r"TIGER knows .* alone: .*\(sid_file\)"):
            recommender.add_items(["new"], **given)


def test_nothing_left_of_a_history_has_no_beam(recommender):
    assert recommender.beam(["x"], unknown_items="skip") == []


def test_only_the_most_recent_items_are_read(recommender):
    recent = [f"i{n}" for n in range(6)]
    long, short = recommender.recommend([["i20", "i21", *recent], recent])
    assert long == short


def test_history_and_other_items_can_be_left_out(recommender):
    history = ["i1", "i2", "i3"]
    full = [found["item"] for found in recommender.recommend([history], top_k=40)[0]]
    new = recommender.recommend([history], top_k=37, exclude_history=True)[0]
    assert [found["item"] for found in new] == [item for item in full if item not in history]
    stock = ["i1", "i9", "i30"]
    some = recommender.recommend([history], top_k=10, allowed_items=stock)[0]
    assert [found["item"] for found in some] == [item for item in full if item in stock]


def test_nobodys_list_depends_on_who_else_is_asked_for(recommender):
    items = [f"i{n}" for n in range(40)]
    histories = [items[:2], items[5:6], items[:35], items[9:10], items[:12], items[20:22]]
    together = recommender.recommend(histories, top_k=8, exclude_history=True)
    for history, answer in zip(histories, together, strict=True):
        alone = recommender.recommend([history], top_k=8, exclude_history=True)[0]
        assert [found["item"] for found in answer] == [found["item"] for found in alone]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"histories": [["i1"], ["i1", "x", "y"]]},
            "history 2: 2 of 3 items are unknown to the model: x, y",
        ),
        ({"histories": [[]]}, "history 1 is empty"),
        ({"histories": ["i1", "i2"]}, "histories: expected a list of items per user"),
        ({"histories": [["i1"]], "top_k": "3"}, "top_k: expected an integer .* found '3'"),
        ({"histories": [["i1"]], "unknown_items": "drop"}, "expected 'error' or 'skip'"),
        ({"histories": [["i1"]], "allowed_items": ["x"]}, "allowed_items: 1 of 1 items are"),
        ({"histories": [["i1"]], "allowed_items": []}, "allowed_items is empty"),
        ({"histories": [["i1"]], "top_k": 0}, "top_k: expected an integer of at least 1, found 0"),
    ],
)
def test_bad_questions(recommender, arguments, message):
    with pytest.raises(InputError, match=message):
        recommender.recommend(**arguments)


def test_a_history_of_which_nothing_is_left_has_no_answer(recommender):
    histories = [["x"], ["i1", "i2"], []]
    answers = recommender.recommend(histories, unknown_items="skip", batch_size=1)
    assert answers == [[], *recommender.recommend([["i1", "i2"]]), []]


def test_unknown_items_can_be_skipped(recommender):
    with_unknown = recommender.recommend([["x", "i1", "i2"]], unknown_items="skip")
    assert with_unknown == recommender.recommend([["i1", "i2"]])


def test_a_new_item_is_reachable_at_once(recommender):
    before = recommender.recommend([["i1", "i2"]], top_k=40)[0]
    recommender.add_items(["new"], texts=["word1 word1 tail, brand1"])
    after = recommender.recommend([["i1", "i2"]], top_k=41)[0]
    assert [found for found in after if found["item"] != "new"] == before
    new = next(found for found in after if found["item"] == "new")
    assert new["title"] == "word1 word1 tail, brand1"
    # it has the text of i1, hence all of its codes but the one that tells them apart
    i1 = next(found for found in after if found["item"] == "i1")
    assert new["semantic_id"][:-1] == i1["semantic_id"][:-1]
    assert recommender.recommend([["new", "i1"]])[0]
    faults = {"known already": "new", "more than once": "b", "that no data file can hold": "[PAD]"}
    for fault, token in faults.items():
        with pytest.raises(InputError, match=re.escape(f"found {fault}: {token}")):
            recommender.add_items([token, "a", "b", "b"][: 4 if token == "b" else 2], texts=["x"])


def test_a_new_item_by_its_embedding(recommender):
    items = recommender.model.items
    embedding = items.encode_texts(["word2 word2 tail"])
    recommender.add_items(["new"], embeddings=embedding)
    wanted = items.encode_items("", embedding)[0].tolist()
    assert recommender.model.ids.codes[-1].tolist()[:2] == wanted
    recommender.add_items(["other"], embeddings=embedding.bfloat16())  # which numpy does not know


def test_no_new_items(recommender):
    with pytest.raises(InputError, match="expected at least one new item"):
        recommender.add_items([], texts=[])


def test_command_line(checkpoint, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO('{"user": "me", "history": ["i1", "i2"]}\n'))
    new_items = tmp_path / "new.jsonl"
    new_items.write_text('{"item": "new", "text": "word1 word1 tail"}\n')
    cli.main(["recommend", f"--checkpoint={checkpoint}", "--top_k=41", f"--new_items={new_items}"])
    answer = json.loads(capsys.readouterr().out)
    assert answer["user"] == "me"
    assert len(answer["recommendations"]) == 41
    assert "new" in {found["item"] for found in answer["recommendations"]}


def test_command_line_names_what_is_wrong_in_one_line(checkpoint, tmp_path, monkeypatch):
    with pytest.raises(SystemExit) as error:
        cli.main(["recommend", f"--checkpoint={tmp_path / 'nothing.pth'}", f"--input={checkpoint}"])
    assert str(error.value).startswith(f"error: {checkpoint}: cannot be read")
    monkeypatch.setattr("sys.stdin", io.StringIO('{"history": ["i1"]}\n'))
    with pytest.raises(SystemExit, match=r"error: output \[.*\] cannot be written to"):
        cli.main(["recommend", f"--checkpoint={checkpoint}", "--output=/proc/nowhere/a.jsonl"])
    monkeypatch.setattr("sys.stdin", io.StringIO('{"history": ["i1"]}\n'))
    with pytest.raises(SystemExit) as error:
        cli.main(["recommend", f"--checkpoint={tmp_path / 'nothing.pth'}"])
    assert "\n" not in str(error.value) and "there is no checkpoint" in str(error.value)


def test_an_answer_never_takes_the_place_of_what_it_was_made_from(checkpoint, tmp_path):
    asked = tmp_path / "histories.jsonl"
    asked.write_text('{"history": ["i1"]}\n')
    for output in (checkpoint, asked):
        before = output.read_bytes()
        with pytest.raises(SystemExit, match="output should be another file than those that are"):
            cli.main(
                ["recommend", f"--checkpoint={checkpoint}", f"--input={asked}"]
                + [f"--output={output}"]
            )
        assert output.read_bytes() == before


def test_a_model_that_reads_no_histories_cannot_answer(tmp_path):
    checkpoint = train(tmp_path, "Pop", epochs=1)
    with pytest.raises(InputError, match="checkpoint of Pop, which reads no histories"):
        Recommender.from_checkpoint(checkpoint)


def test_a_checkpoint_loads_without_running_code(checkpoint):
    state = torch.load(checkpoint, weights_only=True)
    assert {"config", "state_dict", "extra"} <= state.keys()


def test_purity_is_that_of_training_interactions(checkpoint):
    items = torch.load(checkpoint, weights_only=True)["extra"]["items"]
    rows = (checkpoint.parents[1] / NAME / f"{NAME}.inter").read_text().splitlines()[1:]
    histories = {}
    for user, item, _, time in map(str.split, rows):
        histories.setdefault(user, []).append((float(time), item))
    training = Counter(item for each in histories.values() for _, item in sorted(each)[:-2])
    counts = torch.tensor([training[token] for token in items["tokens"][1:]])
    codes = items["ids"][""]["codes"][1:]
    groups = [codes[:, :k].unique(dim=0, return_inverse=True)[1] for k in range(1, 4)]
    whole = torch.zeros(len(codes), dtype=torch.long)
    expected = purity_gains(torch.stack([whole, *groups], dim=1), counts)
    found = [level["purity_gain"] for level in items["reports"][""]["levels"]]
    assert found == pytest.approx(expected)


def test_the_record_of_a_run_holds_the_shares_of_the_objectives(tmp_path):
    train(tmp_path, "TIGERTokenWeighted", curriculum_rate=0.5)
    record = json.loads(next(tmp_path.glob("results_dir/*/result.json")).read_text())
    first, second = record["objective_weights"]  # after each of two short epochs
    assert (first.pop("step"), second.pop("step")) == (record["steps"] // 2, record["steps"])
    assert sum(first.values()) == pytest.approx(1) == sum(second.values())
    assert 0 < first["frequency"] < second["frequency"] < 1
