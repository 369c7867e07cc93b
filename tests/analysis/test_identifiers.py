"""Analyses of codebooks and identifiers against hand-worked cases and scikit-learn."""

import json
import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from recbole_genrec import cli
from recbole_genrec.analysis.identifiers import (
    analyze_checkpoint,
    codebook_analysis,
    identifier_changes,
    principal_axes,
    write_analysis,
)
from recbole_genrec.errors import InputError
from recbole_genrec.runs.checkpoint import save_checkpoint
from recbole_genrec.tokenizer.prefixes import collision_rate
from recbole_genrec.tokenizer.soft_rqvae import SoftRQVAE
from tests.model.unigrec_cases import SIZES, TOKENIZER, unigrec

PNG = b"\x89PNG\r\n\x1a\n"


def test_entropy_of_hand_worked_usage():
    codes = torch.tensor([[0, 0], [0, 1], [1, 2], [1, 3]])
    first, second = codebook_analysis([torch.randn(3, 4), torch.randn(4, 4)], codes)
    assert first["entropy"] == pytest.approx(math.log(2))
    assert first["max_entropy"] == pytest.approx(math.log(3))
    assert first["used"] == 2
    assert second["entropy"] == pytest.approx(second["max_entropy"]) == pytest.approx(math.log(4))
    assert second["used"] == 4


def test_principal_axes_are_those_of_scikit_learn_up_to_their_direction():
    rows = torch.randn(20, 5) * torch.tensor([5.0, 3, 1, 1, 1])
    points, explained = principal_axes(rows)
    pca = PCA(2).fit(rows.numpy())
    np.testing.assert_allclose(points.abs(), np.abs(pca.transform(rows.numpy())), atol=1e-4)
    np.testing.assert_allclose(explained, pca.explained_variance_ratio_, rtol=1e-5)
    torch.testing.assert_close(points, principal_axes(rows.flip(1))[0])  # no arbitrary direction


@pytest.mark.parametrize("shape", [(1, 5), (4, 1), (1, 1)], ids=str)
def test_few_codes_or_dims_are_points_in_the_plane_too(shape):
    points, explained = principal_axes(torch.arange(1.0, 1 + math.prod(shape)).view(shape))
    assert points.shape == (shape[0], 2)
    assert explained.isfinite().all()


def test_changes_of_hand_worked_codes():
    before = torch.tensor([[0, 0, 0], [1, 1, 1], [2, 2, 2], [3, 3, 3]])
    after = torch.tensor([[0, 0, 0], [1, 1, 0], [2, 2, 0], [0, 3, 0]])
    assert identifier_changes(before, after) == {
        "change_rate": [0.25, 0, 0.75],
        "patterns": {"3": 0.5, "none": 0.25, "1+3": 0.25},
        "at_most_one": 0.75,
    }


def checkpoint_of(model, path):
    save_checkpoint(
        {"config": {}, "state_dict": model.state_dict(), "extra": model.extra_checkpoint()}, path
    )
    return path


def test_numbers_and_pictures_of_checkpoints(tmp_path):
    model = unigrec()
    with torch.no_grad():
        model.tokenizer.codebooks[0].copy_(model.tokenizer.codebooks[0].flip(0))
    model.on_epoch_end(0)
    paths = [checkpoint_of(model, tmp_path / f"{name}.pth") for name in ("before", "after")]
    folder = tmp_path / "analysis"
    cli.main(["analyze", *map(str, paths), f"--output={folder}"])
    analyses = {path.stem: analyze_checkpoint(path) for path in paths}
    assert json.loads((folder / "analysis.json").read_text(encoding="utf-8")) == analyses
    for name in ("codebooks.png", "identifiers.png"):
        assert (folder / name).read_bytes().startswith(PNG)

    analysis = analyses["after"]
    assert [len(level["points"]) for level in analysis["codebooks"][""]] == SIZES
    expected = identifier_changes(
        model.pretrained_codes[1:, :2], model.tokenizer.encode(model.item_embeddings[1:])
    )
    assert analysis["identifiers"] == expected
    assert expected["change_rate"][0] > 0
    assert analysis["joint_training"] == model.identifier_history


def test_collisions_over_both_stages(tmp_path):
    model = unigrec()
    tokenizer = SoftRQVAE(TOKENIZER, model.tokenizer.dim)
    codes = tokenizer.fit(model.item_embeddings[1:]).encode(model.item_embeddings[1:])
    model.on_epoch_end(0)
    path = checkpoint_of(model, tmp_path / "UniGRec.pth")
    analyses = write_analysis([path], tmp_path / "analysis", collisions=True)
    assert (tmp_path / "analysis" / "collisions.png").read_bytes().startswith(PNG)
    curve = analyses["UniGRec"]["pretraining"]
    progress = [point["progress"] for point in curve]
    assert progress == sorted(progress)
    assert (progress[0], progress[-1]) == (0, 1)
    assert curve[-1]["collision_rate"] == collision_rate(codes)  # the same training again


def test_a_checkpoint_without_codebooks_is_refused(tmp_path):
    path = tmp_path / "SASRec.pth"
    save_checkpoint({"config": {}, "state_dict": {}}, path)
    with pytest.raises(InputError, match="SASRec.pth.* has no codebooks"):
        write_analysis([path], tmp_path / "analysis")
    assert not (tmp_path / "analysis").exists()


def checkpoint_with(path, sizes):
    """A checkpoint of any model with sets of semantic IDs: name -> codes of each level."""
    tokenizers = {
        name: {"state": {f"codebooks.{n}": torch.randn(size, 3) for n, size in enumerate(own)}}
        for name, own in sizes.items()
    }
    ids = {
        name: {"codes": torch.stack([torch.randint(size, (9,)) for size in own or [2]], dim=1)}
        for name, own in sizes.items()
    }
    extra = {"items": {"tokenizers": tokenizers, "ids": ids}}
    save_checkpoint({"config": {}, "state_dict": {}, "extra": extra}, path)
    return path


def test_the_levels_of_codebooks_are_in_the_order_of_numbers(tmp_path):
    path = checkpoint_with(tmp_path / "deep.pth", {"": range(2, 13)})
    sizes = [len(level["points"]) for level in analyze_checkpoint(path)["codebooks"][""]]
    assert sizes == list(range(2, 13))


def test_every_set_of_semantic_ids_is_analyzed(tmp_path):
    path = checkpoint_with(tmp_path / "two.pth", {"": [4, 5], "behavior": [3], "imported": []})
    analyses = write_analysis([path], tmp_path / "analysis")
    codebooks = analyses["two"]["codebooks"]
    sizes = {name: [len(level["points"]) for level in own] for name, own in codebooks.items()}
    assert sizes == {"": [4, 5], "behavior": [3]}
    assert (tmp_path / "analysis" / "codebooks.png").read_bytes().startswith(PNG)


def test_checkpoints_of_the_same_name_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"different names, found \['a', 'a'\]"):
        write_analysis([tmp_path / "a.pth", tmp_path / "b" / "a.pth"], tmp_path / "analysis")
