"""K-means and the tokenizers made of it, against faiss and plain counterparts."""

import numpy as np
import pytest
import torch
from torch import Tensor

from recbole_genrec.tokenizer import create_tokenizer
from recbole_genrec.tokenizer.kmeans import kmeans, limited_codes, nearest, squared_distances


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_distances_and_nearest_codeword() -> None:
    rows, codebook = torch.randn(50, 6), torch.randn(9, 6)
    expected = torch.cdist(rows, codebook).square()
    torch.testing.assert_close(squared_distances(rows, codebook), expected)
    assert torch.equal(nearest(rows, codebook), expected.argmin(1))
    assert torch.equal(nearest(rows.repeat(400, 1), codebook)[:50], expected.argmin(1))  # in chunks


def test_one_iteration_is_a_step_of_lloyd() -> None:
    rows = torch.tensor([[0.0], [1.0], [10.0], [12.0]])
    centroids, revived = kmeans(rows, 2, 5, generator())
    assert sorted(centroids.flatten().tolist()) == [0.5, 11.0]
    assert revived == 0


def test_no_centroid_stays_empty_while_rows_differ() -> None:
    # 97 equal rows and 3 others: most starts are equal, so centroids run empty at once
    rows = torch.cat([torch.zeros(97, 2), torch.tensor([[5.0, 0.0], [0.0, 5.0], [9.0, 9.0]])])
    for seed in range(10):
        centroids, revived = kmeans(rows, 4, 10, generator(seed))
        assert nearest(rows, centroids).unique().numel() == 4
        assert revived > 0


def test_fewer_rows_than_centroids() -> None:
    with pytest.raises(ValueError, match="k-means of 3 rows cannot find 4 centroids"):
        kmeans(torch.randn(3, 2), 4, 10, generator())


def test_residual_kmeans_is_within_two_percent_of_faiss(settings) -> None:
    faiss = pytest.importorskip("faiss")
    centers = torch.randn(300, 32, generator=generator(1))
    rows = centers[torch.randint(300, (6000,), generator=generator(2))]
    rows = rows + 0.4 * torch.randn(6000, 32, generator=generator(3))
    residual = rows.numpy().copy()
    for _ in range(3):
        theirs = faiss.Kmeans(32, 32, niter=20, seed=1)
        theirs.train(residual)
        residual = residual - theirs.centroids[theirs.index.search(residual, 1)[1][:, 0]]
    config = settings("RQKMeans", codebook_sizes=[32, 32, 32])
    ours = create_tokenizer(config, 32).fit(rows)
    error = (ours.decode(ours.encode(rows)) - rows).square().sum()
    assert error < 1.02 * float(np.square(residual).sum())


def test_codebooks_learned_on_a_sample_of_a_memory_mapped_file(settings, tmp_path) -> None:
    rows = torch.randn(40, 8, generator=generator(1)).repeat_interleave(50, 0)
    rows = rows + 0.05 * torch.randn(2000, 8, generator=generator(2))
    np.save(tmp_path / "items.npy", rows.numpy().astype(np.float16))
    mapped = np.load(tmp_path / "items.npy", mmap_mode="r")
    for name in ("RQKMeans", "PQ", "LSH", "Random", "RQVAE"):
        sizes = {"codebook_sizes": [8, 8], "tokenizer_kmeans_sample": 500, "tokenizer_epochs": 2}
        config = settings(name, **sizes)
        from_file = create_tokenizer(config, 8).fit(mapped).encode(mapped)
        in_memory = torch.tensor(mapped)
        assert torch.equal(from_file, create_tokenizer(config, 8).fit(in_memory).encode(in_memory))


def test_product_quantization_is_kmeans_of_each_segment(settings, embeddings: Tensor) -> None:
    tokenizer = create_tokenizer(settings("PQ", codebook_sizes=[8, 4, 2, 8, 4]), 24).fit(embeddings)
    codes = tokenizer.encode(embeddings)
    segments = np.array_split(embeddings.numpy(), 5, axis=1)  # widths 5, 5, 5, 5, 4
    for level, segment in enumerate(segments):
        book = tokenizer.codebooks[level]
        assert book.shape[1] == segment.shape[1]
        assert torch.equal(codes[:, level], torch.cdist(torch.from_numpy(segment), book).argmin(1))
        for code in range(len(book)):
            members = torch.from_numpy(segment)[codes[:, level] == code]
            assert (members.mean(0) - book[code]).norm() < 0.2  # a centroid, or nearly converged
    words = [book[codes[:, level]] for level, book in enumerate(tokenizer.codebooks)]
    assert torch.equal(tokenizer.decode(codes), torch.cat(words, 1))


def test_rotation_helps_where_the_axes_are_unbalanced(settings) -> None:
    """All variance in the first segment: the case that the rotation of OPQ is for."""
    spread = torch.tensor([8.0, 8.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    rows = torch.randn(1000, 8, generator=generator(1)) * spread
    errors = {}
    for name in ("PQ", "OPQ"):
        tokenizer = create_tokenizer(settings(name, codebook_sizes=[16] * 4), 8).fit(rows)
        errors[name] = (tokenizer.decode(tokenizer.encode(rows)) - rows).square().sum()
    rotation = tokenizer.rotation
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(8), atol=1e-5, rtol=0)
    assert errors["OPQ"] < 0.7 * errors["PQ"]


def test_a_rotation_leads_into_segments_of_equal_width(settings, embeddings: Tensor) -> None:
    tokenizer = create_tokenizer(settings("OPQ", codebook_sizes=[8] * 5), 24).fit(embeddings)
    rotation = tokenizer.rotation
    assert rotation.shape == (25, 24)
    torch.testing.assert_close(rotation.T @ rotation, torch.eye(24), atol=1e-5, rtol=0)
    codes = tokenizer.encode(embeddings)
    rotated = (embeddings @ rotation.T).view(-1, 5, 5)
    for level, book in enumerate(tokenizer.codebooks):
        nearest = torch.cdist(rotated[:, level], book).argmin(1)
        assert (codes[:, level] == nearest).float().mean() > 0.99  # but for ties
    words = [book[codes[:, level]] for level, book in enumerate(tokenizer.codebooks)]
    torch.testing.assert_close(tokenizer.decode(codes), torch.cat(words, 1) @ rotation)


def test_hash_bits_are_the_sides_of_hyperplanes(settings, embeddings: Tensor) -> None:
    tokenizer = create_tokenizer(settings("LSH", codebook_sizes=[4, 8]), 24).fit(embeddings)
    codes = tokenizer.encode(embeddings)
    for row in range(10):
        side = [int(embeddings[row] @ tokenizer.hyperplanes[:, bit] > 0) for bit in range(5)]
        assert codes[row, 0] == side[0] + 2 * side[1]
        assert codes[row, 1] == side[2] + 2 * side[3] + 4 * side[4]


@pytest.mark.parametrize(("least", "most"), [(0, 20), (9, 9), (0, 9), (3, 14), (8, 10)])
def test_limited_codes_are_stable(least: int, most: int) -> None:
    rows, codebook = torch.randn(90, 3, generator=generator()), torch.randn(10, 3)
    rows[:40] = rows[0] + 0.1 * rows[:40]  # a crowd
    codes = limited_codes(rows, codebook, least, most)
    sizes = codes.bincount(minlength=10)
    assert sizes.sum() == 90 and sizes.min() >= least and sizes.max() <= most
    if least in (0, most):  # one round of giving away: nobody would rather swap
        distance = torch.cdist(rows, codebook)
        for row in range(90):
            for code in range(10):
                if distance[row, code] < distance[row, codes[row]] - 1e-5:
                    held = distance[codes == code, code]
                    assert len(held) == most and held.max() <= distance[row, code] + 1e-5


def test_limits_that_do_not_bind_change_nothing() -> None:
    rows, codebook = torch.randn(50, 3), torch.randn(6, 3)
    assert torch.equal(limited_codes(rows, codebook, 0, 50), nearest(rows, codebook))
    free, _ = kmeans(rows, 6, 4, generator())
    limited, _ = kmeans(rows, 6, 4, generator(), (0, 50))
    torch.testing.assert_close(free, limited)


def test_limits_that_cannot_be_kept() -> None:
    for limits in ((6, 9), (0, 4)):
        with pytest.raises(ValueError, match="50 rows cannot be given to 10 codewords with"):
            limited_codes(torch.randn(50, 3), torch.randn(10, 3), *limits)


def test_balanced_residual_kmeans_uses_codes_more_evenly(settings, embeddings: Tensor) -> None:
    rows = torch.cat([embeddings, embeddings[:1] + 0.01 * torch.randn(400, 24)])  # half is a crowd
    most = {}
    for balanced in (False, True):
        given = settings("RQKMeans", codebook_sizes=[16, 8], tokenizer_balanced=balanced)
        tokenizer = create_tokenizer(given, 24).fit(rows)
        most[balanced] = tokenizer.encode(rows)[:, 0].bincount().max()
    assert most[True] < 0.6 * most[False]
