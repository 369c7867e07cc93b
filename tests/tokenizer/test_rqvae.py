"""RQ-VAE: its loss against plain loops, and its training."""

import pytest
import torch
from torch import Tensor

from recbole_genrec.tokenizer import create_tokenizer
from recbole_genrec.tokenizer.rqvae import RQVAE


@pytest.fixture
def rqvae(settings) -> RQVAE:
    return untrained(settings("RQVAE", codebook_sizes=[5, 3, 4]))


def untrained(config: dict) -> RQVAE:
    """With random codebooks of unequal size."""
    tokenizer = create_tokenizer(config, 24)
    for codebook in tokenizer.codebooks:
        torch.nn.init.normal_(codebook, std=0.5)
    return tokenizer


def plain_loss(tokenizer: RQVAE, embeddings: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """Eq. 2-7, one item and one codeword at a time; stop-gradient written as detach."""
    reconstruction, quantization = torch.zeros(()), torch.zeros(())
    for z in embeddings:
        r = tokenizer.encoder(z)  # Eq. 2
        v, total = r, torch.zeros_like(r)
        for codebook in tokenizer.codebooks:
            distances = [(v - e).square().sum().item() for e in codebook]
            e = codebook[distances.index(min(distances))]  # Eq. 3
            quantization = quantization + (v.detach() - e).square().sum()
            quantization = quantization + beta * (v - e.detach()).square().sum()
            total = total + e  # Eq. 5
            v = v - e  # Eq. 4
        decoded = tokenizer.decoder(
            r + (total - r).detach()
        )  # Eq. 6 with straight-through gradient
        reconstruction = reconstruction + (decoded - z).square().sum()
    return reconstruction / len(embeddings), quantization / len(embeddings)


@pytest.mark.parametrize("of_levels", ["sum", "mean"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_loss_and_gradients_equal_the_plain_ones(
    settings, embeddings: Tensor, reduction: str, of_levels: str
) -> None:
    reductions = {
        "tokenizer_loss_reduction": reduction,
        "tokenizer_level_reduction": of_levels,
    }
    rqvae = untrained(settings("RQVAE", codebook_sizes=[5, 3, 4], **reductions))
    terms = rqvae.loss_terms(embeddings[:30])
    reconstruction, quantization = plain_loss(rqvae, embeddings[:30], 0.25)
    if reduction == "mean":
        reconstruction, quantization = reconstruction / 24, quantization / 8
    if of_levels == "mean":
        quantization = quantization / 3
    torch.testing.assert_close(terms["reconstruction"], reconstruction)
    torch.testing.assert_close(terms["quantization"], quantization)
    parameters = list(rqvae.parameters())
    ours = torch.autograd.grad(terms["reconstruction"] + terms["quantization"], parameters)
    plain = torch.autograd.grad(reconstruction + quantization, parameters)
    for got, expected in zip(ours, plain, strict=True):
        torch.testing.assert_close(got, expected)
        assert got.abs().sum() > 0


def test_codes_are_those_of_the_plain_search(rqvae, embeddings: Tensor) -> None:
    codes = rqvae.encode(embeddings[:20])
    for item, z in enumerate(embeddings[:20]):
        v = rqvae.encoder(z)
        for level, codebook in enumerate(rqvae.codebooks):
            nearest = (v - codebook).square().sum(1).argmin()
            assert codes[item, level] == nearest
            v = v - codebook[nearest]


def test_decode_adds_the_codewords(rqvae) -> None:
    codes = torch.tensor([[4, 0, 1], [2, 2, 3]])
    first, second, third = rqvae.codebooks
    latent = torch.stack([first[4] + second[0] + third[1], first[2] + second[2] + third[3]])
    torch.testing.assert_close(rqvae.decode(codes), rqvae.decoder(latent).detach())


def test_training_uses_every_code_and_lowers_the_error(settings, embeddings: Tensor) -> None:
    errors = []
    for epochs in (1, 60):
        tokenizer = create_tokenizer(settings("RQVAE", tokenizer_epochs=epochs), 24).fit(embeddings)
        codes = tokenizer.encode(embeddings)
        errors.append((tokenizer.decode(codes) - embeddings).square().sum())
    assert errors[1] < 0.6 * errors[0]
    for level, size in enumerate(tokenizer.codebook_sizes):
        assert codes[:, level].unique().numel() >= 0.95 * size


def test_dead_codewords_come_back(rqvae, embeddings: Tensor) -> None:
    with torch.no_grad():
        rqvae.codebooks[0][:3] = 1e3  # far from everything
    assert rqvae.encode(embeddings)[:, 0].min() >= 3
    assert rqvae._revive(embeddings, torch.Generator().manual_seed(0)) >= 3
    assert {0, 1, 2} <= set(rqvae.encode(embeddings)[:, 0].tolist())


def test_codewords_are_revived_only_if_asked(settings, embeddings: Tensor) -> None:
    def revived(**changes) -> int:
        tokenizer = create_tokenizer(settings("RQVAE", tokenizer_epochs=7, **changes), 24)
        start = tokenizer._start_codebooks

        def start_with_dead_ones(rows, generator):
            start(rows, generator)
            with torch.no_grad():
                tokenizer.codebooks[0][:3] = 1e3

        tokenizer._start_codebooks = start_with_dead_ones
        return tokenizer.fit(embeddings).summary["revived_codewords"]

    assert revived(tokenizer_revive_every=0) == 0
    assert revived(tokenizer_revive_every=3) >= 3
    assert revived(tokenizer_revive_every=7) == 0  # before the eighth epoch


@pytest.mark.parametrize(
    ("name", "after"), [("linear", [left / 8 for left in range(8, -1, -1)]), ("constant", [1] * 9)]
)
def test_the_learning_rate_rises_and_follows_its_schedule(name, after, settings) -> None:
    config = settings("RQVAE", tokenizer_lr_scheduler=name, tokenizer_warmup_ratio=0.2)
    tokenizer = create_tokenizer(config, 24)
    optimizer = torch.optim.SGD(tokenizer.parameters(), 0.1)
    scheduler = tokenizer._scheduler(optimizer, 10)
    rates = []
    for _ in range(11):
        rates += scheduler.get_last_lr()
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([0, 0.05, *(0.1 * share for share in after)])


def test_gradients_are_clipped_only_if_asked(settings, embeddings: Tensor) -> None:
    def last_norm(largest: float | None) -> float:
        config = settings("RQVAE", tokenizer_epochs=1, tokenizer_clip_grad_norm=largest)
        tokenizer = create_tokenizer(config, 24).fit(embeddings)
        return torch.nn.utils.get_total_norm([p.grad for p in tokenizer.parameters()]).item()

    assert last_norm(None) > 0.01
    assert last_norm(0.01) == pytest.approx(0.01, rel=1e-3)


def test_stops_on_convergence_only_if_asked(settings, embeddings: Tensor) -> None:
    # with a learning rate of nothing the loss falls once at most
    frozen = {"tokenizer_learning_rate": 0.0, "tokenizer_epochs": 30}
    asked = create_tokenizer(settings("RQVAE", tokenizer_stopping_step=4, **frozen), 24)
    not_asked = create_tokenizer(settings("RQVAE", **frozen), 24)
    assert asked.fit(embeddings).summary["epochs"] < 20
    assert not_asked.fit(embeddings).summary["epochs"] == 30


def test_bf16_training_reaches_about_the_same_loss(settings, embeddings: Tensor) -> None:
    losses = []
    for bf16 in (False, True):
        config = settings("RQVAE", tokenizer_bf16=bf16, tokenizer_epochs=40)
        tokenizer = create_tokenizer(config, 24).fit(embeddings)
        assert all(p.dtype == torch.float32 for p in tokenizer.parameters())
        losses.append(tokenizer.summary["loss"])
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.15)


def test_diverging_training_is_reported(settings, embeddings: Tensor) -> None:
    config = settings("RQVAE", tokenizer_learning_rate=1e30, tokenizer_epochs=5)
    with pytest.raises(ValueError, match=r"became NaN in epoch \d: lower tokenizer_learning_rate"):
        create_tokenizer(config, 24).fit(embeddings)


@pytest.mark.parametrize("name", ["RQVAE", "SoftRQVAE"])
def test_an_interrupted_training_goes_on_to_the_same_codebooks(
    settings, embeddings: Tensor, tmp_path, monkeypatch, name: str
) -> None:
    def fresh():
        tokenizer = create_tokenizer(settings(name, tokenizer_epochs=25), embeddings.shape[1])
        tokenizer.progress_file = tmp_path / "progress.pt"
        return tokenizer

    expected = create_tokenizer(settings(name, tokenizer_epochs=25), embeddings.shape[1])
    expected.fit(embeddings)
    monkeypatch.setattr("recbole_genrec.tokenizer.progress.SAVE_SECONDS", 0)
    epochs, train_epoch = [], RQVAE._train_epoch

    def interrupted(self, rows, optimizer, scheduler, epoch, generator):
        epochs.append(epoch)
        if epochs.count(12) == 1 and epoch == 12:
            raise KeyboardInterrupt
        return train_epoch(self, rows, optimizer, scheduler, epoch, generator)

    monkeypatch.setattr(RQVAE, "_train_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fresh().fit(embeddings)
    resumed = fresh().fit(embeddings)
    assert epochs == [*range(13), *range(12, 25)]
    assert resumed.summary == expected.summary
    for name, tensor in expected.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], tensor), name


def test_damaged_progress_is_no_obstacle(settings, embeddings: Tensor, tmp_path, caplog) -> None:
    tokenizer = create_tokenizer(settings("RQVAE", tokenizer_epochs=2), embeddings.shape[1])
    tokenizer.progress_file = tmp_path / "progress.pt"
    tokenizer.progress_file.write_bytes(b"half")
    assert tokenizer.fit(embeddings).summary["epochs"] == 2
    assert "progress.pt is damaged" in caplog.text


def test_the_loss_gets_side_embeddings_of_the_same_items(settings, embeddings: Tensor) -> None:
    """A term that is 0 only where the rows of both belong together changes nothing."""

    class Aligned(RQVAE):
        side = ("collaborative",)

        def __init__(self, config, dim):
            super().__init__(config, dim)
            self.seen: list[tuple[int, int]] = []
            self.epoch = -1

        def on_epoch_start(self, epoch):
            self.epoch = epoch

        def loss(self, embeddings, progress, **side):
            self.seen.append((self.epoch, len(embeddings)))
            apart = (side["collaborative"] - 2 * embeddings).abs().sum()
            return super().loss(embeddings, progress) + apart

    config = settings("RQVAE", tokenizer_epochs=3, tokenizer_batch_size=64)
    aligned = Aligned(config, embeddings.shape[1]).fit(embeddings, collaborative=2 * embeddings)
    plain = RQVAE(config, embeddings.shape[1]).fit(embeddings)
    assert torch.equal(aligned.encode(embeddings), plain.encode(embeddings))
    assert aligned.summary == plain.summary
    for epoch in range(3):
        assert sum(size for seen, size in aligned.seen if seen == epoch) == len(embeddings)
