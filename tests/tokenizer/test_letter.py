"""LETTER's losses against plain loops, and its training."""

import pytest
import torch
from torch import Tensor

from recbole_genrec.errors import InputError
from recbole_genrec.tokenizer import create_tokenizer
from recbole_genrec.tokenizer.letter import LETTER, alignment, diversity, other_members, sinkhorn

CLUSTERS = {"tokenizer_clusters": 3, "tokenizer_cluster_sizes": [2, 6]}


@pytest.fixture
def letter(settings) -> LETTER:
    """Untrained, with random codebooks."""
    given = settings("LETTER", codebook_sizes=[8, 8, 6], **CLUSTERS)
    tokenizer = create_tokenizer(given, 24)
    for codebook in tokenizer.codebooks:
        torch.nn.init.normal_(codebook, std=0.5)
    tokenizer.on_epoch_start(0)
    return tokenizer


def log_softmax_at(logits: list[Tensor], place: int) -> Tensor:
    return logits[place] - torch.stack(logits).exp().sum().log()


def test_alignment_picks_the_own_embedding_of_the_batch():
    quantized, collaborative = torch.randn(5, 4), torch.randn(5, 4)
    expected = [
        -log_softmax_at([quantized[i] @ collaborative[j] for j in range(5)], i) for i in range(5)
    ]
    torch.testing.assert_close(alignment(quantized, collaborative), torch.stack(expected).mean())


def test_diversity_picks_another_member_out_of_all_other_codewords():
    codebook, codes, positives = torch.randn(6, 4), [0, 3, 3, 5], [2, 1, 4, -1]
    expected = []
    for code, positive in zip(codes[:3], positives[:3], strict=True):
        others = [k for k in range(6) if k != code]
        logits = [codebook[code] @ codebook[k] for k in others]
        expected.append(-log_softmax_at(logits, others.index(positive)))
    found = diversity(codebook, torch.tensor(codes), torch.tensor(positives))
    torch.testing.assert_close(found, torch.stack(expected).mean())
    alone = diversity(codebook.requires_grad_(), torch.tensor([1, 2]), torch.tensor([-1, -1]))
    assert alone == 0  # nobody has a positive


def test_positives_are_the_other_members_of_the_cluster():
    clusters = torch.tensor([1, 0, 1, 2, 1, 0, 1])
    codes = torch.arange(7).repeat(500)
    found = other_members(codes, clusters, torch.Generator().manual_seed(0)).view(500, 7)
    for code in range(7):
        members = {k for k in range(7) if clusters[k] == clusters[code] and k != code}
        assert set(found[:, code].tolist()) == (members or {-1})  # a cluster of one ends at once
    counts = found[:, 0].bincount(minlength=7)[[2, 4, 6]]
    assert counts.min() > 120  # each of three as often as the others


def test_sinkhorn_is_that_of_the_released_code():
    distances, epsilon = torch.rand(12, 4) * 3, 0.05
    double = distances.double()
    middle = (double.max() + double.min()) / 2
    plan = torch.exp(-(double - middle) / (double.max() - middle + 1e-5) / epsilon)
    plan = plan / plan.sum()
    for _ in range(50):
        plan = plan / plan.sum(1, keepdim=True) / 12
        plan = plan / plan.sum(0, keepdim=True) / 4
    found = sinkhorn(distances, epsilon, 50)
    torch.testing.assert_close(found, plan * 12)
    torch.testing.assert_close(found.sum(0), torch.full((4,), 3.0).double())  # even


def test_terms_equal_the_plain_ones(letter, embeddings: Tensor):
    letter.sinkhorn_epsilon = 0.0
    rows, collaborative = embeddings[:30], torch.randn(30, 8)
    terms = letter.terms(rows, collaborative)
    letter.on_epoch_start(0)  # the same draws again
    residual = letter.encoder(rows)
    start, total, expected = residual, torch.zeros(30, 8), torch.zeros(())
    for level, codebook in enumerate(letter.codebooks):
        codes = torch.cdist(residual, codebook).argmin(1)
        positives = other_members(codes, letter.clusters[level], letter.draws)
        e = codebook[codes]
        expected = expected + (residual.detach() - e).square().mean()
        expected = expected + 0.25 * (residual - e.detach()).square().mean()
        expected = expected + 0.0001 * diversity(codebook, codes, positives)
        residual, total = residual - e, total + e
    torch.testing.assert_close(terms["quantization"], expected / 3)
    straight = start + (total - start).detach()
    torch.testing.assert_close(terms["alignment"], alignment(straight, collaborative))
    decoded = letter.decoder(straight)
    torch.testing.assert_close(terms["reconstruction"], (decoded - rows).square().mean())
    loss = letter.loss(rows, 0.0, collaborative=collaborative)
    loss.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in letter.parameters())


def test_codewords_are_clustered_within_the_limits(letter):
    for codebook, clusters in zip(letter.codebooks, letter.clusters, strict=True):
        sizes = clusters.bincount(minlength=3)
        assert len(clusters) == len(codebook) == sizes.sum()
        assert sizes.min() >= 2 and sizes.max() <= 6


def test_training_chooses_the_last_codes_evenly(letter):
    residual = torch.randn(60, 8) * 0.01  # all of them nearest to one codeword
    nearest = torch.cdist(residual, letter.codebooks[-1]).argmin(1)
    assert nearest.bincount(minlength=6).max() == 60
    assert letter._choose(residual, 2).bincount(minlength=6).min() >= 5
    assert torch.equal(
        letter._choose(residual, 0), torch.cdist(residual, letter.codebooks[0]).argmin(1)
    )


def test_fit_learns_and_goes_on_after_an_interruption(settings, embeddings, tmp_path, monkeypatch):
    given = settings("LETTER", codebook_sizes=[8, 8, 8], tokenizer_epochs=12, **CLUSTERS)
    collaborative = torch.randn(40, 8).repeat_interleave(10, 0)

    def fitted(name: str) -> LETTER:
        tokenizer = create_tokenizer(given, 24)
        tokenizer.progress_file = tmp_path / name
        return tokenizer.fit(embeddings, collaborative=collaborative)

    whole = fitted("whole")
    starts = []

    def stop(self, epoch, before=LETTER.on_epoch_start):
        starts.append(epoch)
        if len(starts) == 8:
            raise KeyboardInterrupt
        before(self, epoch)

    monkeypatch.setattr(LETTER, "on_epoch_start", stop)
    with pytest.raises(KeyboardInterrupt):
        fitted("stopped")
    again = fitted("stopped")
    assert whole.summary["epochs"] == again.summary["epochs"] == 12
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name])
    assert len(whole.encode(embeddings).unique(dim=0)) > 20


def test_widths_must_agree(letter, embeddings):
    with pytest.raises(InputError, match=r"tokenizer_code_dim \[8\] should be the width of .* 5"):
        letter.fit(embeddings, collaborative=torch.randn(400, 5))


def test_a_map_brings_other_widths_to_that_of_the_codewords(settings, embeddings, tmp_path):
    given = settings(
        "LETTER",
        codebook_sizes=[8, 8, 8],
        tokenizer_epochs=4,
        tokenizer_alignment_map=True,
        tokenizer_alignment_weight=1.0,
        teacher_hidden_size=5,
        **CLUSTERS,
    )
    collaborative = torch.randn(40, 5).repeat_interleave(10, 0)
    tokenizer = create_tokenizer(given, 24)
    tokenizer.alignment_map = torch.nn.Linear(5, 8, bias=False)
    tokenizer.on_epoch_start(0)
    terms = tokenizer.terms(embeddings[:30], collaborative[:30])
    mapped = collaborative[:30] @ tokenizer.alignment_map.weight.T
    tokenizer.alignment_map = torch.nn.Identity()
    tokenizer.on_epoch_start(0)
    assert terms["alignment"] == tokenizer.terms(embeddings[:30], mapped)["alignment"]

    def fitted() -> LETTER:
        return create_tokenizer(given, 24).fit(embeddings, collaborative=collaborative)

    state = fitted().state_dict()
    assert state.keys() == create_tokenizer(given, 24).state_dict().keys()  # the map is gone
    assert all(torch.equal(state[name], weight) for name, weight in fitted().state_dict().items())


def test_clusters_must_be_able_to_hold_the_codewords(settings):
    with pytest.raises(InputError, match="tokenizer_cluster_sizes should be .* hold 8 codewords"):
        create_tokenizer(settings("LETTER", codebook_sizes=[8, 8]), 24)
    without = settings("LETTER", codebook_sizes=[8, 8], tokenizer_diversity_weight=0)
    create_tokenizer(without, 24)
