"""The quality report: hand-worked figures, slow counterparts, words."""

import json
import math

import pytest
import torch
from torch import Tensor

from recbole_genrec.report.figures import plot_report
from recbole_genrec.tokenizer import SemanticIDs, create_tokenizer, resolve_collisions
from recbole_genrec.tokenizer.prefixes import dispersion, prefix_groups
from recbole_genrec.tokenizer.quality.format import format_comparison, format_report
from recbole_genrec.tokenizer.quality.report import (
    code_usage,
    filtered_shares,
    prefix_cosines,
    purity_gains,
    quality_report,
    reconstruction_error,
)

# 6 items: prefix 0 holds four, prefix 1 two; items 0 and 1 share everything
CODES = torch.tensor([[0, 0], [0, 0], [0, 1], [0, 2], [1, 0], [1, 3]])
SIZES = [2, 4]


def report_of(codes: Tensor, sizes: list[int], **rest: object) -> dict:
    unique, new_sizes = resolve_collisions(codes, sizes, "append")
    ids = SemanticIDs(torch.cat([torch.zeros_like(unique[:1]), unique]), new_sizes)
    return quality_report(codes, ids, **rest)


def test_counts_before_handling() -> None:
    report = report_of(CODES, SIZES)
    assert report["num_items"] == 6
    assert report["distinct_ids"] == 5
    assert report["collision_rate"] == pytest.approx(1 / 6)
    assert report["colliding_items"] == 2
    assert report["largest_bucket"] == 2
    assert report["codebook_sizes"] == [2, 4, 2]  # with the dedicated level
    assert [level["used"] for level in report["levels"]] == [2, 4, 2]


def test_usage_and_entropy() -> None:
    assert code_usage(torch.tensor([0, 1, 2, 3]), 4) == {"used": 4, "entropy": pytest.approx(1)}
    assert code_usage(torch.tensor([2, 2, 2]), 4) == {"used": 1, "entropy": 0}
    half = code_usage(torch.tensor([0, 0, 3, 3]), 4)  # log 2 / log 4
    assert half == {"used": 2, "entropy": pytest.approx(0.5)}
    assert code_usage(torch.tensor([0, 0]), 1) == {"used": 1, "entropy": 1}


def test_filtered_shares() -> None:
    # level 1: four items keep 4 of 6, two keep 2 of 6; level 2: items 0, 1 keep 2 of 4, items 2, 3
    # keep 1 of 4, items 4, 5 keep 1 of 2
    first = (4 * (1 - 4 / 6) + 2 * (1 - 2 / 6)) / 6
    second = (2 * (1 - 2 / 4) + 2 * (1 - 1 / 4) + 2 * (1 - 1 / 2)) / 6
    assert filtered_shares(prefix_groups(CODES)) == pytest.approx([first, second])


def test_purity_gains() -> None:
    counts = torch.tensor([1, 1, 2, 0, 3, 1])

    def purity(members: list[int]) -> float:
        if len(members) == 1:
            return 1.0
        share = counts[members].double() / counts[members].sum()
        entropy = -sum(p * math.log(p) for p in share.tolist() if p)
        return 1 - entropy / math.log(len(members))

    whole = purity([0, 1, 2, 3, 4, 5])
    first = (4 * purity([0, 1, 2, 3]) + 2 * purity([4, 5])) / 6
    second = (2 * purity([0, 1]) + 4 * 1.0) / 6
    assert purity_gains(prefix_groups(CODES), counts) == pytest.approx(
        [first - whole, second - first]
    )


def test_purity_of_items_nobody_touched_is_none() -> None:
    gains = purity_gains(prefix_groups(CODES), torch.zeros(6, dtype=torch.long))
    assert gains == pytest.approx([0, 4 / 6])  # only the single items are pure


def test_cosine_by_hand() -> None:
    rows = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 2], [3, 0], [0, 1]])
    cosines = prefix_cosines(rows, prefix_groups(CODES))
    # pairs in prefix 0: (0, 1) and (2, 3) have cosine 1, the four others 0; in prefix 1: 0
    assert cosines[1] == pytest.approx(2 / 7)
    assert cosines[2] == pytest.approx(1)


def test_dispersion_and_cosine_against_loops(embeddings: Tensor, monkeypatch) -> None:
    for module in ("quality.report", "prefixes"):  # blocks of 5 columns
        monkeypatch.setattr(f"recbole_genrec.tokenizer.{module}.BLOCK", 400 * 5)
    codes = torch.randint(5, (400, 2))
    groups = prefix_groups(codes)
    mu, cosines = dispersion(groups, 2 * embeddings), prefix_cosines(2 * embeddings, groups)
    for level, group in enumerate(groups.unbind(1)):
        spread, total, pairs = 0.0, 0.0, 0
        for g in group.unique():
            rows = 2 * embeddings[group == g]
            spread += float((rows - rows.mean(0)).square().sum())
            cosine = torch.cosine_similarity(rows[:, None], rows[None], dim=2)
            total += float(cosine.sum() - len(rows))
            pairs += len(rows) * (len(rows) - 1)
        assert float(mu[level]) == pytest.approx(spread / 400, rel=1e-5)
        assert cosines[level] == pytest.approx(total / pairs, rel=1e-4)
    assert (mu.diff() <= 0).all()  # Lemma 4.1


def test_figures_of_the_real_data(real_data) -> None:
    """The cosines that accompany the data, measured without this package."""
    np = pytest.importorskip("numpy")
    from recbole_genrec.tokenizer.formats import read_codes

    folder = real_data / "amazon-beauty"
    tokens = (folder / "amazon-beauty.minilm.ids.txt").read_text().split()
    codes, _ = read_codes(folder / "amazon-beauty.letter.sid.json", tokens)
    rows = np.load(folder / "amazon-beauty.minilm.f16.npy", mmap_mode="r")
    cosines = prefix_cosines(rows, prefix_groups(codes[:, :3]))
    assert cosines == pytest.approx([0.187, 0.274, 0.426, 0.616], abs=1e-3)


def test_reconstruction_error(settings, embeddings: Tensor) -> None:
    tokenizer = create_tokenizer(settings("RQKMeans"), 24).fit(embeddings)
    codes = tokenizer.encode(embeddings)
    error = (tokenizer.decode(codes) - embeddings).square().sum()
    variance = (embeddings - embeddings.mean(0)).square().sum()
    assert reconstruction_error(tokenizer, embeddings, codes) == pytest.approx(
        float(error / variance), rel=1e-5
    )
    alike = torch.full_like(embeddings, 0.3)
    assert reconstruction_error(tokenizer, alike, codes) == 0  # no variance to explain


def test_report_is_plain_data_and_text_and_picture(settings, embeddings: Tensor, tmp_path) -> None:
    tokenizer = create_tokenizer(settings("RQKMeans"), 24).fit(embeddings)
    report = report_of(
        tokenizer.encode(embeddings),
        [16, 8, 8],
        embeddings=embeddings,
        tokenizer=tokenizer,
    )
    assert json.loads(json.dumps(report)) == report
    text = format_report(report)
    for expected in ("400 items", "distinct IDs", "RQKMeans", "fall of dispersion", "Verdict: "):
        assert expected in text
    assert all(len(line) <= 110 for line in text.splitlines())
    plot_report(report, tmp_path / "quality.png")
    assert (tmp_path / "quality.png").read_bytes().startswith(b"\x89PNG")
    rows = format_comparison({"one": report, "two": report_of(CODES, SIZES)}).splitlines()
    assert len(rows) == 3
    assert rows[2].split()[:4] == ["two", "3", "5", "16.67%"]


def test_imported_ids_are_reported_without_embeddings(tmp_path) -> None:
    report = report_of(CODES, SIZES)
    assert "cosine" not in report["levels"][0]
    assert "reconstruction_error" not in report
    assert "6 items" in format_report(report)
    plot_report(report, tmp_path / "quality.png")


def random_codes(n: int, *used: int) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.stack([torch.randint(k, (n,), generator=generator) for k in used], 1)


@pytest.mark.parametrize(
    ("codes", "sizes", "words"),
    [
        (random_codes(2000, 256, 31), [256, 256], "level 2 uses 31 of 256 codes: collapsed; try"),
        (random_codes(2000, 200, 256), [256, 256], "level 1 uses 200 of 256 codes: some lie idle"),
        (random_codes(900, 8, 8), [8, 8], "93% of the items repeated the ID of another one"),
        (
            torch.cat([torch.zeros(150, 2, dtype=torch.long), random_codes(850, 256, 256)]),
            [256, 256],
            "150 items had one and the same ID",
        ),
        (
            torch.cat([torch.zeros(9000, 1, dtype=torch.long), random_codes(900, 16)]),
            [16],
            "level 1 uses 16 of 16 codes, but very unevenly",
        ),
    ],
    ids=["collapsed", "idle", "collisions", "bucket", "uneven"],
)
def test_verdict_names_the_fault(codes: Tensor, sizes: list, words: str) -> None:
    assert any(sentence.startswith(words) for sentence in report_of(codes, sizes)["verdict"])


def test_verdict_on_random_and_on_sound_ids(settings) -> None:
    embeddings = torch.randn(20, 24).repeat_interleave(20, 0) + torch.randn(400, 24)
    verdicts = {}
    for name in ("Random", "RQKMeans"):
        config = settings(name, codebook_sizes=[16, 16, 16])
        tokenizer = create_tokenizer(config, 24).fit(embeddings)
        report = report_of(
            tokenizer.encode(embeddings), [16] * 3, embeddings=embeddings, tokenizer=tokenizer
        )
        verdicts[name] = report["verdict"]
    assert any("carry no meaning" in sentence for sentence in verdicts["Random"])
    assert verdicts["RQKMeans"] == ["nothing to complain about"]


def test_verdict_on_assignments_that_stayed_soft(settings, embeddings: Tensor) -> None:
    tokenizer = create_tokenizer(settings("SoftRQVAE", tokenizer_epochs=1), 24).fit(embeddings)
    tokenizer.summary["top_probability"] = [0.9, 0.6, 0.2]
    report = report_of(
        tokenizer.encode(embeddings), [16, 8, 8], embeddings=embeddings, tokenizer=tokenizer
    )
    soft = [sentence for sentence in report["verdict"] if "likeliest" in sentence]
    assert len(soft) == 1
    assert soft[0].startswith("level 3 gives its likeliest code a probability of only 0.20")


def test_codes_of_other_items_are_refused() -> None:
    ids = SemanticIDs(torch.tensor([[0], [0], [1]]), [2])
    with pytest.raises(ValueError, match="3 raw codes for 2 semantic IDs"):
        quality_report(torch.tensor([[0], [1], [1]]), ids)
