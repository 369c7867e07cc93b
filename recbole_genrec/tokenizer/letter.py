"""LETTER's tokenizer: RQ-VAE whose codes follow collaborative embeddings and are used evenly.

Source: Wang et al., "Learnable Item Tokenization for Generative Recommendation", CIKM 2024;
settings and details of its released code, https://github.com/HonghuiBao2000/LETTER.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_genrec.errors import InputError, check_number, refuse
from recbole_genrec.tokenizer.kmeans import (
    kmeans,
    limited_codes,
    relative_distances,
    squared_distances,
)
from recbole_genrec.tokenizer.rqvae import RQVAE

CLUSTER_ITERATIONS = 10  # of the k-means over codewords
START_SHARE, START_LEAST = 2, 50  # a codeword starts from n / (2 K) items or more, but no more
START_MOST = 4  # than four times as many


class LETTER(RQVAE):
    r"""Residual-quantized autoencoder with collaborative alignment and diversity of the codes.

    .. math::
        \mathcal{L} = \mathcal{L}_{Recon} + \mathcal{L}_{Quant} + \alpha \mathcal{L}_{CF},
        \qquad
        \mathcal{L}_{Quant} = \frac{1}{L} \sum_l \left( \mathcal{L}_{RQ}^{(l)}
            + \beta \mathcal{L}_{Div}^{(l)} \right)

    `fit` reads the collaborative embeddings of the same items; `encode` does not. They are as wide
    as the codewords, or a linear map brings them there, which is learned with the rest.
    """

    side = ("collaborative",)

    @classmethod
    def check_settings(cls, config: Mapping) -> None:
        super().check_settings(config)
        for key in ("alignment_weight", "diversity_weight", "sinkhorn_epsilon"):
            check_number(f"tokenizer_{key}", config[f"tokenizer_{key}"], low=0)
        clusters, sizes = config["tokenizer_clusters"], config["tokenizer_cluster_sizes"]
        for level in config["codebook_sizes"] if config["tokenizer_diversity_weight"] else ():
            if not clusters * sizes[0] <= level <= clusters * sizes[1]:
                refuse(
                    "tokenizer_cluster_sizes",
                    f"the least and the most codewords of a cluster, so that {clusters} clusters "
                    f"(tokenizer_clusters) can hold {level} codewords",
                    sizes,
                )
        given = config["teacher_embedding_file"] or config["teacher_checkpoint"]
        width, latent = config["teacher_hidden_size"], config["tokenizer_code_dim"]
        if width != latent and not given and not config["tokenizer_alignment_map"]:
            expected = f"tokenizer_code_dim [{latent}], unless tokenizer_alignment_map is True"
            refuse("teacher_hidden_size", expected, width)

    def _configure(self, config: Mapping) -> None:
        super()._configure(config)
        self.alignment_weight = config["tokenizer_alignment_weight"]
        self.has_map = config["tokenizer_alignment_map"]
        self.alignment_map: nn.Module = nn.Identity()  # of the collaborative embeddings
        self.diversity_weight = config["tokenizer_diversity_weight"]
        self.num_clusters = config["tokenizer_clusters"]
        self.cluster_sizes = tuple(config["tokenizer_cluster_sizes"])
        self.sinkhorn_epsilon = config["tokenizer_sinkhorn_epsilon"]
        self.sinkhorn_iterations = config["tokenizer_sinkhorn_iterations"]

    @torch.no_grad()
    def on_epoch_start(self, epoch: int) -> None:
        """Divide the codewords of each level into clusters of limited sizes."""
        self.draws = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        self.clusters: list[Tensor] = []  # of each codeword of a level [K_l]
        if not self.diversity_weight:
            return
        for codebook in self.codebooks:
            centroids, _ = kmeans(
                codebook, self.num_clusters, CLUSTER_ITERATIONS, self.draws, self.cluster_sizes
            )
            self.clusters.append(limited_codes(codebook, centroids, *self.cluster_sizes))

    def loss(self, embeddings: Tensor, progress: float, **side: Tensor) -> Tensor:
        terms = self.terms(embeddings, **side)
        alignment = self.alignment_weight * terms["alignment"]
        return terms["reconstruction"] + terms["quantization"] + alignment

    def terms(self, embeddings: Tensor, collaborative: Tensor) -> dict[str, Tensor]:
        """The terms of the loss on embeddings [n, dim] and collaborative ones [n, width]."""
        latent = self.to_latent(embeddings)  # [n, code_dim]
        quantized, quantization = self.quantize(latent)
        straight_through = latent + (quantized - latent).detach()
        reconstruction = self.squared_error(self.from_latent(straight_through), embeddings)
        return {
            "reconstruction": reconstruction,
            "quantization": quantization,
            "alignment": alignment(straight_through, self.alignment_map(collaborative)),
        }

    def quantize(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Sum of the chosen codewords [n, code_dim], and the quantization loss with diversity."""
        residual, loss = latent, latent.new_zeros(())
        with torch.autocast(latent.device.type, enabled=False):  # distances need all their digits
            for level, codebook in enumerate(self.codebooks):
                codes = self._choose(residual.detach(), level)
                codeword = codebook[codes]
                loss = loss + self.squared_error(residual.detach(), codeword)
                loss = loss + self.commitment_weight * self.squared_error(
                    residual, codeword.detach()
                )
                if self.diversity_weight:
                    positives = other_members(codes, self.clusters[level], self.draws)
                    loss = loss + self.diversity_weight * diversity(codebook, codes, positives)
                residual = residual - codeword
        return latent - residual, loss / len(self.codebooks) if self.averages_levels else loss

    @torch.no_grad()
    def _choose(self, residual: Tensor, level: int) -> Tensor:
        """Codes [n] in training: at the last level by optimal transport, else the nearest."""
        codebook = self.codebooks[level]
        if level < len(self.codebooks) - 1 or not self.sinkhorn_epsilon:
            return relative_distances(residual, codebook).argmin(1)
        distances = squared_distances(residual, codebook)
        return sinkhorn(distances, self.sinkhorn_epsilon, self.sinkhorn_iterations).argmax(1)

    def _fit(self, embeddings: Tensor, **side: Tensor) -> None:
        width, latent = side["collaborative"].shape[1], self.codebooks[0].shape[1]
        if self.has_map:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed)
                self.alignment_map = nn.Linear(width, latent, bias=False).to(self.device)
        elif width != latent:
            raise InputError(
                f"tokenizer_code_dim [{latent}] should be the width of the collaborative "
                f"embeddings (teacher_hidden_size), found {width}: LETTER multiplies one by the "
                "other, or set tokenizer_alignment_map: True"
            )
        super()._fit(embeddings, **side)
        self.alignment_map = nn.Identity()  # of use in training alone

    def _start_limits(self, n: int, k: int) -> tuple[int, int]:
        least = min(n // (START_SHARE * k), START_LEAST)
        return least, max(START_MOST * least, -(-n // k))


def alignment(quantized: Tensor, collaborative: Tensor) -> Tensor:
    """L_CF: each quantized latent [n, d] picks its own collaborative embedding [n, d] of the batch,
    by the dot product."""
    own = torch.arange(len(quantized), device=quantized.device)
    return F.cross_entropy(quantized @ collaborative.T, own)


def other_members(codes: Tensor, clusters: Tensor, generator: torch.Generator) -> Tensor:
    """For each code [n] a random other one of its cluster [n]; -1 where it is the only member.

    Args:
        clusters: cluster of each codeword [K].
        generator: CPU generator.
    """
    members = clusters.argsort(stable=True)  # cluster by cluster
    size = clusters.bincount()
    first = size.cumsum(0) - size
    place = torch.empty_like(members)
    place[members] = torch.arange(len(members), device=members.device) - first[clusters[members]]
    own = clusters[codes]
    others = size[own] - 1
    draw = torch.rand(len(codes), generator=generator).to(codes.device)
    chosen = (draw * others).long().clamp_max(others - 1)
    chosen = chosen + (chosen >= place[codes]).long()  # passes over the code itself
    return torch.where(others > 0, members[(first[own] + chosen).clamp_max(len(members) - 1)], -1)


def diversity(codebook: Tensor, codes: Tensor, positives: Tensor) -> Tensor:
    """L_Div: each codeword that was chosen picks another one of its cluster out of all others.

    Args:
        codebook: [K, d].
        codes: of the items of a batch [n].
        positives: see `other_members` [n]; items without one are left out.
    """
    logits = codebook[codes] @ codebook.T  # [n, K]
    logits = logits.scatter(1, codes.unsqueeze(1), -torch.inf)
    if not (positives >= 0).any():
        return logits.new_zeros(())
    return F.cross_entropy(logits, positives, ignore_index=-1)


def sinkhorn(distances: Tensor, epsilon: float, iterations: int) -> Tensor:
    """Transport plan [n, K] that sends n rows to K codewords evenly, at little distance.

    The distances are brought to the range from -1 to 1 first, as in the released code.
    """
    distances = distances.double()  # exp of up to 1 / epsilon
    high, low = distances.max(), distances.min()
    middle, half = (high + low) / 2, (high - low) / 2 + 1e-5
    plan = torch.exp(-(distances - middle) / half / epsilon)
    n, k = plan.shape
    row, column = plan.new_ones(n), plan.new_ones(k)  # what rows and columns are multiplied by
    for _ in range(iterations):
        row = 1 / (n * (plan @ column))
        column = 1 / (k * (row @ plan))
    return n * row.unsqueeze(1) * plan * column
