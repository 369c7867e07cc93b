"""The tree of hierarchical k-means: its counts, its clusters, and what new items get."""

from math import ceil

import pytest
import torch
from torch import Tensor

from recbole_genrec.errors import InputError
from recbole_genrec.items.needs import Tokens
from recbole_genrec.stages.tokenizer import TokenizerStage
from recbole_genrec.tokenizer import create_tokenizer
from recbole_genrec.tokenizer.hierarchical_kmeans import divide
from recbole_genrec.tokenizer.placement import place_new_items
from recbole_genrec.tokenizer.prefixes import group_rows
from recbole_genrec.tokenizer.registry import restore_tokenizer, tokenizer_state
from tests.small import toy_config, write_toy


def tree(settings, sizes: list[int]):
    return create_tokenizer(settings("HierarchicalKMeans", codebook_sizes=sizes), 24)


@pytest.mark.parametrize("sizes", [[20, 20], [8, 8, 8], [400], [4, 5, 4, 5], [2, 200], [399, 2]])
def test_each_item_has_a_leaf_and_siblings_are_of_equal_size(
    sizes: list, settings, embeddings: Tensor
) -> None:
    codes = tree(settings, sizes).fit_encode(embeddings)
    assert codes.shape == (400, len(sizes))
    assert ((codes >= 0) & (codes < torch.tensor(sizes))).all()
    assert len(codes.unique(dim=0)) == 400
    for level, size in enumerate(sizes[:-1]):
        parents = group_rows(codes[:, :level]) if level else torch.zeros(400, dtype=torch.long)
        for parent in parents.unique():
            inside = codes[parents == parent, level].bincount(minlength=size)
            n = int((parents == parent).sum())
            assert inside.max() <= ceil(n / size) and inside.min() >= n // size


def test_a_leaf_for_every_item_and_no_more(settings, embeddings: Tensor) -> None:
    tokenizer = tree(settings, [10, 5, 8])  # 400 leaves
    codes = tokenizer.fit_encode(embeddings)
    assert tokenizer.summary == {"leaves": 400}
    leaves = codes @ torch.tensor([40, 8, 1])
    assert leaves.sort().values.tolist() == list(range(400))


def test_centers_are_the_means_of_their_items(settings, embeddings: Tensor) -> None:
    """Where clusters lie apart, k-means ends at them, and centers are means exactly."""
    centers = torch.eye(24)[:5] * 10
    rows = centers.repeat_interleave(8, 0) + 0.1 * embeddings[:40]
    for seed in range(20):  # some start finds all five
        config = settings("HierarchicalKMeans", codebook_sizes=[5, 8], seed=seed)
        tokenizer = create_tokenizer(config, 24)
        codes = tokenizer.fit_encode(rows)
        if len(set(map(tuple, codes[:, 0].view(5, 8).tolist()))) == 5:
            break
    assert all(len(cluster.unique()) == 1 for cluster in codes[:, 0].view(5, 8))
    means = torch.stack([rows[codes[:, 0] == code].mean(0) for code in range(5)])
    torch.testing.assert_close(tokenizer.centers[1:], means)
    torch.testing.assert_close(tokenizer.decode(codes), means[codes[:, 0]])
    torch.testing.assert_close(tokenizer.centers[0], rows.mean(0))
    near = tokenizer.encode(rows)  # the nearest center is their own
    assert torch.equal(near[:, 0], codes[:, 0]) and not near[:, 1].any()


def test_a_new_item_gets_a_free_leaf_of_the_nearest_cluster(settings, embeddings: Tensor) -> None:
    tokenizer = tree(settings, [20, 30])
    codes = tokenizer.fit_encode(embeddings)
    new = tokenizer.centers[1:][[3, 3, 11]]
    wanted = tokenizer.encode(new)
    assert wanted[:, 0].tolist() == [3, 3, 11]
    placed = place_new_items(codes, wanted, [20, 30])
    assert placed.tolist() == [[3, 20], [3, 21], [11, 20]]


def test_few_rows_are_clusters_of_their_own() -> None:
    rows = torch.randn(3, 4)
    centers, clusters = divide(rows, 5, 10, torch.Generator())
    assert clusters.tolist() == [0, 1, 2]
    assert torch.equal(centers, rows)


@pytest.mark.parametrize("sizes", [[8, 8, 8], [2, 200, 3], [256] * 4, [256] * 32], ids=str)
def test_the_tree_is_that_of_plain_recursion(sizes: list, settings, embeddings: Tensor) -> None:
    """Also where its nodes cannot be counted in 64 bits; new items take paths that exist."""
    tokenizer, generator = tree(settings, sizes), torch.Generator().manual_seed(7)
    codes, paths = tokenizer.fit_encode(embeddings), {(): torch.arange(400)}
    centers = {(): embeddings.mean(0)}  # of each path of codes, in order
    for size in sizes[:-1]:
        children = {}
        for path, items in paths.items():
            own, cluster = divide(embeddings[items], size, tokenizer.iterations, generator)
            for code in cluster.unique().tolist():
                children[(*path, code)] = items[cluster == code]
                centers[(*path, code)] = own[code]
        paths = children
    torch.testing.assert_close(tokenizer.centers, torch.stack(list(centers.values())))
    for path, items in paths.items():
        assert codes[items].tolist() == [[*path, number] for number in range(len(items))]
    new = torch.randn(50, 24)
    for row, found in zip(new, tokenizer.encode(new).tolist(), strict=True):
        path = ()
        for _ in sizes[:-1]:
            options = [option for option in centers if option[:-1] == path and option]
            path = min(options, key=lambda option: float((row - centers[option]).norm()))
        assert found == [*path, 0]
    decoded = torch.stack([centers[tuple(path[:-1])] for path in codes.tolist()])
    assert torch.equal(tokenizer.decode(codes), decoded)


def test_the_tree_grows_with_the_items_and_survives_a_checkpoint(settings, embeddings) -> None:
    tokenizer = tree(settings, [256, 256, 256, 256])
    codes = tokenizer.fit_encode(embeddings)
    assert len(tokenizer.centers) == 1 + sum(len(codes[:, :n].unique(dim=0)) for n in (1, 2, 3))
    state = tokenizer_state(tokenizer)
    assert sum(weights.nbytes for weights in state["state"].values()) < 4 * embeddings.nbytes
    restored, new = restore_tokenizer(state), torch.randn(50, 24)
    assert torch.equal(restored.encode(new), tokenizer.encode(new))
    assert torch.equal(restored.decode(codes), tokenizer.decode(codes))


def test_a_path_without_items_has_the_center_of_the_last_that_has_some(settings) -> None:
    rows = torch.randn(5, 24)  # clusters of their own, each with a single child
    tokenizer = tree(settings, [5, 5, 2]).fit(rows)
    assert torch.equal(tokenizer.decode(torch.tensor([[1, 3, 0], [4, 0, 1]])), rows[[1, 4]])


def test_weights_of_all_nodes_are_refused(settings) -> None:
    earlier = {"centroids.0": torch.zeros(1, 24), "centroids.1": torch.zeros(5, 24)}
    with pytest.raises(InputError, match="as an earlier version wrote them.*: train again"):
        tree(settings, [5, 80]).load_state_dict(earlier)


def test_too_few_leaves_are_refused(settings, embeddings: Tensor) -> None:
    expected = (
        r"codebook_sizes should be .* each of 400 items, found \[\[19, 21\] with 399 leaves\]"
    )
    with pytest.raises(InputError, match=expected):
        tree(settings, [19, 21]).fit_encode(embeddings)


@pytest.mark.parametrize(
    ("tokenizer", "sizes", "message"),
    [
        ("HierarchicalKMeans", [6, 6], r"each of 40 items, found \[\[6, 6\] with 36 leaves\]"),
        ("RQKMeans", [41, 8], r"RQKMeans needs at least as many items as codes .* got 40 items"),
    ],
)
def test_the_stage_counts_items_before_it_has_embeddings(tokenizer, sizes, message, tmp_path):
    class Data:
        item_tokens = ["[PAD]", *map(str, range(40))]

    settings = {"tokenizer": tokenizer, "codebook_sizes": sizes}
    config = toy_config("TIGER", write_toy(tmp_path), **settings)
    with pytest.raises(InputError, match=message):
        TokenizerStage(Tokens()).check(config, Data())
