"""Every model of ours, trained for a moment, answers for raw histories from its checkpoint."""

import pytest

from recbole_genrec import Recommender
from recbole_genrec.errors import InputError
from recbole_genrec.quick_start import run_recbole_genrec
from tests.resume_cases import SETTINGS
from tests.small import NAME, toy_config, write_toy


@pytest.fixture(params=["DiscRec", "LETTER", "RPG", "SemanticSASRec"], scope="module")
def checkpoint(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    write_toy(folder, missing=False)
    settings = toy_config(request.param, folder).external_config_dict
    settings |= {**SETTINGS[request.param], "results_dir": str(folder / "results")}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        result = run_recbole_genrec(request.param, NAME, config_dict=settings)
    assert set(result["test_result"]) >= {"recall@5", "ndcg@5"}
    return next((folder / "saved").glob("*.pth"))


def test_answers_for_raw_histories(checkpoint):
    recommender = Recommender.from_checkpoint(checkpoint, device="cpu")
    answers = recommender.recommend([["i1", "i2", "i3"], ["i7"]], top_k=10)
    for answer in answers:
        assert len({found["item"] for found in answer}) == 10
        scores = [found[recommender.model.score_name] for found in answer]
        assert scores == sorted(scores, reverse=True)
    alone = recommender.recommend([["i7"]], top_k=10)
    assert [found["item"] for found in alone[0]] == [found["item"] for found in answers[1]]


def test_a_new_item_is_known_at_once(checkpoint):
    recommender = Recommender.from_checkpoint(checkpoint, device="cpu")
    recommender.add_items(["new"], texts=["word1 word1 tail, brand1"])
    answer = recommender.recommend([["i1", "i2"]], top_k=41)[0]
    assert "new" in {found["item"] for found in answer}
    assert recommender.recommend([["new", "i1"]])[0]


@pytest.mark.parametrize("model", ["BSARec", "EAGER", "TransitionGraph"])
def test_models_with_vectors_of_their_items_alone_answer_and_know_no_new_ones(
    model, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    write_toy(tmp_path, missing=False)
    settings = {**toy_config(model, tmp_path).external_config_dict, **SETTINGS[model]}
    run_recbole_genrec(model, NAME, config_dict=settings)
    saved = (path for path in (tmp_path / "saved").glob("*.pth") if "last" not in path.name)
    recommender = Recommender.from_checkpoint(next(saved))
    (answer,) = recommender.recommend([["i1", "i2", "i3"]], top_k=10)
    assert len({found["item"] for found in answer}) == 10
    with pytest.raises(InputError, match=f"explain: the scores of {model} are no sum of parts"):
        recommender.recommend([["i1"]], explain=True)
    with pytest.raises(InputError, match=f"{model} knows the items that it was trained on alone"):
        recommender.add_items(["new"], texts=["word1"])
