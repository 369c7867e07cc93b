"""RQ-VAE: an autoencoder whose latent vector is quantized residually.

Source: Rajput et al., "Recommender Systems with Generative Retrieval" (TIGER), NeurIPS 2023; the
equation numbers are those of UniGRec (arXiv 2601.17438), Section 2.1.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from tqdm import tqdm

from recbole_genrec.errors import InputError
from recbole_genrec.tokenizer.base import to_tensor
from recbole_genrec.tokenizer.kmeans import kmeans, nearest
from recbole_genrec.tokenizer.progress import Numbers, Progress
from recbole_genrec.tokenizer.residual import ResidualTokenizer

INIT_ROWS = 16384  # items whose latents the codebooks are initialised on
CONVERGED = 1e-3  # relative fall of the loss that counts as progress


class Rows(NamedTuple):
    """What `fit` learns from, on the device of the tokenizer."""

    embeddings: Tensor
    """`[n, dim]`"""
    side: Mapping[str, Tensor]
    """Further embeddings `[n, d]` of the same items."""


class RQVAE(ResidualTokenizer):
    """Residual-quantized autoencoder with hard codes (Eq. 2-7).

    `fit` keeps the items on the device of the tokenizer, starts the codebooks from k-means on the
    latent vectors and, if `tokenizer_revive_every` says so, moves codewords that no item uses to
    random residuals now and then.
    """

    def __init__(self, config: Mapping, dim: int):
        latent_dim = config["tokenizer_code_dim"]
        super().__init__(config, dim, latent_dim)
        self.codebooks.requires_grad_(True)
        widths = [dim, *config["tokenizer_hidden_sizes"], latent_dim]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.encoder = mlp(widths)
            self.decoder = mlp(widths[::-1])
        self.epochs = config["tokenizer_epochs"]
        self.batch_size = config["tokenizer_batch_size"]
        self.learning_rate = config["tokenizer_learning_rate"]
        self.weight_decay = config["tokenizer_weight_decay"]
        self.lr_scheduler = config["tokenizer_lr_scheduler"]
        self.warmup_ratio = config["tokenizer_warmup_ratio"]
        self.clip_grad_norm = config["tokenizer_clip_grad_norm"]
        self.revive_every = config["tokenizer_revive_every"]
        self.stopping_step = config["tokenizer_stopping_step"]
        self.bf16 = config["tokenizer_bf16"]
        self.reduction = config["tokenizer_loss_reduction"]
        self._configure(config)

    @classmethod
    def check_settings(cls, config: Mapping) -> None:
        super().check_settings(config)
        epochs, reduction = config["tokenizer_epochs"], config["tokenizer_loss_reduction"]
        if epochs < 1:
            raise InputError(f"tokenizer_epochs must be at least 1, got {epochs}")
        if reduction not in ("sum", "mean"):
            raise InputError(f"tokenizer_loss_reduction must be 'sum' or 'mean', got {reduction!r}")

    def _configure(self, config: Mapping) -> None:
        self.commitment_weight = config["tokenizer_commitment_weight"]
        self.averages_levels = config["tokenizer_level_reduction"] == "mean"

    def to_latent(self, embeddings: Tensor) -> Tensor:
        """Eq. 2."""
        return self.encoder(embeddings).to(self.codebooks[0].dtype)  # full precision under autocast

    def from_latent(self, latent: Tensor) -> Tensor:
        """Eq. 6."""
        return self.decoder(latent).to(self.codebooks[0].dtype)

    def loss_terms(self, embeddings: Tensor) -> dict[str, Tensor]:
        """The two terms of Eq. 7 on embeddings [n, dim], averaged over the items."""
        latent = self.to_latent(embeddings)  # [n, latent]
        quantized, quantization = self.quantize(latent)
        straight_through = latent + (quantized - latent).detach()
        reconstruction = self.squared_error(self.from_latent(straight_through), embeddings)
        return {"reconstruction": reconstruction, "quantization": quantization}

    def quantize(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Sum of the nearest codewords [n, latent] (Eq. 3-5) and the quantization loss (Eq. 7)."""
        residual, loss = latent, latent.new_zeros(())
        with torch.autocast(latent.device.type, enabled=False):  # distances need all their digits
            for codebook in self.codebooks:
                codeword = codebook[nearest(residual.detach(), codebook.detach())]
                loss = loss + self.squared_error(residual.detach(), codeword)
                loss = loss + self.commitment_weight * self.squared_error(
                    residual, codeword.detach()
                )
                residual = residual - codeword
        return latent - residual, loss / len(self.codebooks) if self.averages_levels else loss

    def loss(self, embeddings: Tensor, progress: float, **side: Tensor) -> Tensor:
        """What `fit` minimises.

        Args:
            embeddings: those of a batch of items `[n, dim]`.
            progress: the share of all training steps taken, 0 to 1.
            side: further embeddings `[n, d]` of the same items, see `side`.
        """
        terms = self.loss_terms(embeddings)
        return terms["reconstruction"] + terms["quantization"]

    def squared_error(self, output: Tensor, target: Tensor) -> Tensor:
        """Mean over the items [n, d] of the sum (or mean) over d of the squared errors."""
        error = (output - target).square().mean()
        return error * target.shape[1] if self.reduction == "sum" else error

    def on_epoch_start(self, epoch: int) -> None:
        """Called before each epoch of `fit`, also when it goes on after an interruption."""

    def _fit(self, embeddings: Tensor, **side: Tensor) -> None:
        rows = Rows(
            to_tensor(embeddings, self.device),
            {name: to_tensor(others, self.device) for name, others in side.items()},
        )
        generator = torch.Generator().manual_seed(self.seed)
        optimizer = torch.optim.AdamW(
            self.parameters(), self.learning_rate, weight_decay=self.weight_decay, fused=True
        )
        scheduler = self._scheduler(
            optimizer, self.epochs * -(-len(rows.embeddings) // self.batch_size)
        )
        progress = Progress(self.progress_file, self, optimizer, scheduler, generator)
        if not progress.restore():
            self._start_codebooks(rows.embeddings, generator)
        so_far = progress.numbers
        with tqdm(
            desc=f"Train {type(self).__name__}",
            total=self.epochs,
            initial=so_far.epochs,
            unit="epoch",
            disable=None,
        ) as bar:
            while so_far.epochs < self.epochs and not self._has_converged(so_far):
                self._one_more_epoch(so_far, rows, optimizer, scheduler, generator)
                bar.set_postfix(loss=f"{so_far.loss:.5f}", revived=so_far.revived, refresh=False)
                bar.update()
                progress.save()
        self.summary = {
            "epochs": so_far.epochs,
            "loss": so_far.loss,
            "revived_codewords": so_far.revived,
        }

    def _has_converged(self, so_far: Numbers) -> bool:
        epochs_since = so_far.epochs - 1 - so_far.best_epoch
        return bool(self.stopping_step) and epochs_since >= self.stopping_step

    def _one_more_epoch(
        self,
        so_far: Numbers,
        rows: Rows,
        optimizer: torch.optim.Optimizer,
        scheduler: LRScheduler,
        generator: torch.Generator,
    ) -> None:
        epoch = so_far.epochs
        self.on_epoch_start(epoch)
        if epoch and self.revive_every and epoch % self.revive_every == 0:
            so_far.revived += self._revive(rows.embeddings, generator)
        so_far.loss = self._train_epoch(rows, optimizer, scheduler, epoch, generator)
        if epoch == 0 or so_far.best - so_far.loss > CONVERGED * abs(so_far.best):
            so_far.best, so_far.best_epoch = so_far.loss, epoch
        so_far.epochs += 1

    def _scheduler(self, optimizer: torch.optim.Optimizer, steps: int) -> LRScheduler:
        """The learning rate over all steps, counted from the first one."""
        warmup = int(self.warmup_ratio * steps)
        if self.lr_scheduler == "constant":
            return LambdaLR(optimizer, lambda step: step / warmup if step < warmup else 1.0)
        from transformers import get_scheduler

        return get_scheduler(self.lr_scheduler, optimizer, warmup, steps)

    def _train_epoch(
        self,
        rows: Rows,
        optimizer: torch.optim.Optimizer,
        scheduler: LRScheduler,
        epoch: int,
        generator: torch.Generator,
    ) -> float:
        num_items, device = len(rows.embeddings), rows.embeddings.device
        order = torch.randperm(num_items, generator=generator).to(device)
        batches = order.split(self.batch_size)
        total = torch.zeros((), device=device)
        for step, batch in enumerate(batches):
            progress = (epoch + step / len(batches)) / self.epochs
            side = {name: others[batch] for name, others in rows.side.items()}
            with torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
                loss = self.loss(rows.embeddings[batch], progress, **side)
            optimizer.zero_grad()
            loss.backward()
            if self.clip_grad_norm is not None:
                nn.utils.clip_grad_norm_(self.parameters(), self.clip_grad_norm)
            optimizer.step()
            scheduler.step()
            total += loss.detach() * len(batch)
        mean = (total / num_items).item()  # the only synchronization of the epoch
        if mean != mean:
            raise InputError(
                f"the loss of {type(self).__name__} became NaN in epoch {epoch + 1}: "
                f"lower tokenizer_learning_rate ({self.learning_rate})"
            )
        return mean

    @torch.no_grad()
    def _start_codebooks(self, rows: Tensor, generator: torch.Generator) -> None:
        """K-means on the latents of a sample of the items, level by level."""
        sample = torch.randperm(len(rows), generator=generator)[:INIT_ROWS].to(rows.device)
        residual = self.to_latent(rows[sample])
        for codebook in self.codebooks:
            limits = self._start_limits(len(residual), len(codebook))
            codebook.copy_(kmeans(residual, len(codebook), 10, generator, limits)[0])
            residual = residual - self._taken_off(residual, codebook)

    def _start_limits(self, n: int, k: int) -> tuple[int, int] | None:
        """Least and most of n items that one of k codewords starts from; None for any number."""
        return None

    @torch.no_grad()
    def _revive(self, rows: Tensor, generator: torch.Generator) -> int:
        """Moves unused codewords to residuals of random items; returns how many there were."""
        latent = torch.cat([self.to_latent(chunk) for chunk in rows.split(INIT_ROWS)])
        revived = 0
        for codebook in self.codebooks:
            codes = nearest(latent, codebook)
            dead = torch.bincount(codes, minlength=len(codebook)) == 0
            count = int(dead.sum())
            items = torch.randperm(len(rows), generator=generator)[:count].to(rows.device)
            latent_before = latent
            latent = latent - self._taken_off(latent, codebook)
            codebook[dead] = latent_before[items]
            revived += count
        return revived

    def _taken_off(self, residual: Tensor, codebook: Tensor) -> Tensor:
        """What a level takes off residuals [n, latent] (Eq. 4)."""
        return codebook[nearest(residual, codebook)]


def mlp(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers of the given widths with ReLU between them."""
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise(widths):
        linear = nn.Linear(width_in, width_out)
        nn.init.xavier_normal_(linear.weight)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])
