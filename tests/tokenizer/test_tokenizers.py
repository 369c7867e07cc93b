"""What holds for every tokenizer."""

import pytest
import torch
from torch import Tensor

from recbole_genrec.tokenizer import SemanticIDs, create_tokenizer, registry, resolve_collisions
from recbole_genrec.tokenizer.collision import STRATEGIES
from recbole_genrec.tokenizer.prefixes import prefix_groups
from recbole_genrec.tokenizer.quality.report import prefix_cosines, reconstruction_error

# those that read nothing but the embeddings; for LETTER see test_letter.py
TOKENIZERS = [name for name in registry.TOKENIZERS if name != "LETTER"]
LEARNED = [name for name in TOKENIZERS if name not in ("Random", "LSH")]


@pytest.fixture(scope="module")
def fitted() -> dict:
    return {}


@pytest.fixture(params=TOKENIZERS)
def tokenizer(request, fitted: dict, settings, embeddings: Tensor):
    """Each tokenizer, fitted once for the module."""
    name = request.param
    if name not in fitted:
        fitted[name] = create_tokenizer(settings(name), 24).fit(embeddings)
    return fitted[name]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_ids_are_unique_and_survive_files(
    tokenizer, strategy: str, embeddings: Tensor, tmp_path
) -> None:
    codes = tokenizer.encode(embeddings)
    assert codes.shape == (400, 3)
    assert codes.dtype == torch.long
    unique, sizes = resolve_collisions(
        codes,
        tokenizer.codebook_sizes,
        strategy,
        distances=lambda rows, codes: tokenizer.last_level_distances(embeddings[rows], codes),
    )
    # the constructor checks range and uniqueness
    ids = SemanticIDs(torch.cat([torch.zeros_like(unique[:1]), unique]), sizes)
    ids.save(tmp_path / "ids.pt")
    assert torch.equal(SemanticIDs.load(tmp_path / "ids.pt").codes, ids.codes)
    tokens = ["[PAD]", *(f"item {i}" for i in range(400))]
    for form in ("codes", "letter"):
        ids.to_json(tmp_path / "ids.json", tokens, form)
        back = SemanticIDs.from_json(tmp_path / "ids.json", tokens, sizes)
        assert torch.equal(back.tokens, ids.tokens)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_the_seed_decides(name: str, settings, embeddings: Tensor) -> None:
    def codes(seed: int) -> Tensor:
        torch.manual_seed(torch.seed())  # whatever the state of the global generator
        config = settings(name, seed=seed, tokenizer_epochs=3)
        return create_tokenizer(config, 24).fit(embeddings).encode(embeddings)

    first = codes(1)
    assert torch.equal(first, codes(1))
    if name != "OPQ":  # k-means from other rows may still find the same clusters
        assert not torch.equal(first, codes(2))


def test_weights_carry_the_codes_over(tokenizer, settings, embeddings: Tensor, tmp_path) -> None:
    torch.save(tokenizer.state_dict(), tmp_path / "tokenizer.pt")
    fresh = create_tokenizer(settings(type(tokenizer).__name__, seed=99), 24)
    if type(tokenizer).__name__ == "Random":
        fresh.seed = tokenizer.seed  # its codes come from the seed, not from weights
    fresh.load_state_dict(torch.load(tmp_path / "tokenizer.pt", weights_only=True))
    codes = tokenizer.encode(embeddings)
    assert torch.equal(fresh.encode(embeddings), codes)
    assert torch.equal(fresh.decode(codes), tokenizer.decode(codes))


def test_codes_do_not_depend_on_autocast_or_training_mode(tokenizer, embeddings: Tensor) -> None:
    codes = tokenizer.eval().encode(embeddings)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(tokenizer.train().encode(embeddings), codes)


def test_arrays_and_parts_of_the_items_get_the_same_codes(tokenizer, embeddings: Tensor) -> None:
    codes = tokenizer.encode(embeddings)
    assert torch.equal(tokenizer.encode(embeddings.numpy()), codes)
    if type(tokenizer).__name__ != "Random":
        assert torch.equal(tokenizer.encode(embeddings[100:200]), codes[100:200])


@pytest.mark.parametrize("name", ["RQVAE", "SoftRQVAE", "RQKMeans", "PQ", "OPQ"])
def test_learned_codes_beat_random_ones(name: str, fitted, settings, embeddings: Tensor) -> None:
    def judge(name: str) -> tuple[float, float]:
        if name not in fitted:
            fitted[name] = create_tokenizer(settings(name), 24).fit(embeddings)
        codes = fitted[name].encode(embeddings)
        cosines = prefix_cosines(embeddings, prefix_groups(codes[:, :1]))
        return reconstruction_error(fitted[name], embeddings, codes), cosines[1]

    error, cosine = judge(name)
    random_error, random_cosine = judge("Random")
    assert error < 0.75 * random_error
    assert cosine > random_cosine + 0.15


def test_last_level_distances_are_to_the_decoded_alternatives(settings, embeddings: Tensor) -> None:
    """Without a network in between, a distance is the error of decoding with that last code."""
    for name in ("RQKMeans", "LSH", "Random", "OPQ"):
        tokenizer = create_tokenizer(settings(name), 24).fit(embeddings)
        codes = tokenizer.encode(embeddings)[:20]
        distances = tokenizer.last_level_distances(embeddings[:20], codes)
        errors = []
        for code in range(8):
            codes[:, -1] = code
            errors.append((tokenizer.decode(codes) - embeddings[:20]).square().sum(1))
        errors = torch.stack(errors, 1)
        # product quantization adds the error of the other segments, the same for all last codes
        torch.testing.assert_close(distances - distances[:, :1], errors - errors[:, :1])


@pytest.mark.parametrize("name", [name for name in LEARNED if name != "HierarchicalKMeans"])
@pytest.mark.parametrize("sizes", [[4], [8, 4], [4, 16, 2, 8, 4]])
def test_any_number_of_levels_of_any_size(name: str, sizes: list, settings) -> None:
    dim = 20 if len(sizes) == 5 else 24
    rows = torch.randn(100, dim)
    config = settings(name, codebook_sizes=sizes, tokenizer_epochs=2)
    codes = create_tokenizer(config, dim).fit(rows).encode(rows)
    assert codes.shape == (100, len(sizes))
    assert (codes < torch.tensor(sizes)).all()


@pytest.mark.parametrize("name", TOKENIZERS)
def test_identical_items_still_get_unique_ids(name: str, settings) -> None:
    rows = torch.ones(60, 24)
    tokenizer = create_tokenizer(settings(name, tokenizer_epochs=2), 24).fit(rows)
    for strategy in STRATEGIES:
        unique, _ = resolve_collisions(
            tokenizer.encode(rows),
            tokenizer.codebook_sizes,
            strategy,
            distances=lambda r, c, tokenizer=tokenizer: tokenizer.last_level_distances(rows[r], c),
        )
        assert len(unique.unique(dim=0)) == 60


def nan_in_row_3(rows: Tensor) -> Tensor:
    rows[3, 5] = torch.nan
    return rows


def infinity_in_row_4(rows: Tensor) -> Tensor:
    rows[4, 0] = torch.inf
    return rows


def zeros_in_two_rows(rows: Tensor) -> Tensor:
    rows[[9, 17]] = 0
    return rows


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (nan_in_row_3, r"1 of 400 item embeddings are NaN or infinite vectors, in rows 3:"),
        (infinity_in_row_4, r"1 of 400 .* NaN or infinite vectors, in rows 4:"),
        (zeros_in_two_rows, r"2 of 400 item embeddings are zero vectors, in rows 9, 17:"),
        (lambda rows: rows[:, :20], r"expected item embeddings \[n, 24\], got shape \[400, 20\]"),
        (lambda rows: rows[0], r"expected item embeddings \[n, 24\], got shape \[24\]"),
    ],
    ids=["NaN", "infinity", "zero", "width", "one vector"],
)
def test_unusable_embeddings(name: str, spoil, message: str, settings, embeddings: Tensor) -> None:
    with pytest.raises(ValueError, match=message):
        create_tokenizer(settings(name), 24).fit(spoil(embeddings.clone()))


@pytest.mark.parametrize("name", LEARNED)
def test_fewer_items_than_codes(name: str, settings, embeddings: Tensor) -> None:
    with pytest.raises(ValueError, match=f"{name} needs at least as many items .* 10 items"):
        create_tokenizer(settings(name), 24).fit(embeddings[:10])


def test_nan_at_encode(tokenizer, embeddings: Tensor) -> None:
    if type(tokenizer).__name__ != "Random":  # which does not look at them
        with pytest.raises(ValueError, match="hold NaN or infinite values"):
            tokenizer.encode(nan_in_row_3(embeddings.clone()))


def test_wrong_width_at_encode(tokenizer) -> None:
    with pytest.raises(ValueError, match=r"expects embeddings \[n, 24\], got shape \[5, 12\]"):
        tokenizer.encode(torch.randn(5, 12))


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("RQKmean", {}, r"did you mean \[RQKMeans\]\?"),
        ("rqvae", {}, r"did you mean \[RQVAE\]\?"),
        ("word2vec", {}, r"tokenizer should be one of RQVAE, .*, found \[word2vec\]"),
        ("LSH", {"codebook_sizes": [8, 10]}, r"powers of two, got \[8, 10\]"),
        (
            "PQ",
            {"codebook_sizes": [2] * 30},
            "30 levels need .* at least 30 dims, got 24",
        ),
    ],
)
def test_impossible_settings(name: str, changes: dict, message: str, settings) -> None:
    known = name if name in TOKENIZERS else "RQVAE"
    config = settings(known, **changes) | {"tokenizer": name}
    with pytest.raises(ValueError, match=message):
        create_tokenizer(config, 24)
