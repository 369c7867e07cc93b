"""The soft quantizer of UniGRec: every item has a probability for every code.

Source: UniGRec (arXiv 2601.17438), Section 3.2, 3.3 and 3.5.1, with its equation numbers.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from recbole_genrec.errors import refuse
from recbole_genrec.tokenizer.base import CHUNK, to_tensor
from recbole_genrec.tokenizer.kmeans import relative_distances
from recbole_genrec.tokenizer.rqvae import RQVAE

# a batch-averaged probability below this counts as this, since 0 log 0 has no gradient
SMALLEST = 1e-12


class SoftRQVAE(RQVAE):
    """RQ-VAE with soft assignments; each level subtracts its probability-weighted codeword.

    `fit` is stage 1 of UniGRec (Eq. 21), the temperature falling linearly (Eq. 16). In stage 2
    the model calls `to_latent`, `soft_quantize`, `from_latent` and `log_assignments`, which have
    gradients in all parameters.

    Attributes:
        temperature: tau of Eq. 14, a tensor of one number that is saved with the weights.
    """

    temperature: Tensor

    @classmethod
    def check_settings(cls, config: Mapping) -> None:
        super().check_settings(config)
        first, last = "tokenizer_temperature_max", "tokenizer_temperature_min"
        if config[last] > config[first]:
            refuse(last, f"at most {first} [{config[first]}]", config[last])

    def _configure(self, config: Mapping) -> None:
        self.uniformity_weight = config["tokenizer_uniformity_weight"]
        self.temperature_max = float(config["tokenizer_temperature_max"])
        self.temperature_min = float(config["tokenizer_temperature_min"])
        self.register_buffer("temperature", torch.tensor(self.temperature_max))

    def assignments(self, embeddings: Tensor) -> list[Tensor]:
        """Probabilities [n, K_l] of the codes of each level, for embeddings [n, dim] (Eq. 14)."""
        return self.soft_quantize(self.to_latent(embeddings))[0]

    def log_assignments(self, embeddings: Tensor, temperature: float | None = None) -> list[Tensor]:
        """Logarithms of `assignments`, exact also where these are too small for a float.

        Args:
            embeddings: `[n, dim]`
            temperature: another tau of Eq. 14 than the tokenizer's own.
        """
        # at a low temperature, rounding would change the codes
        with torch.autocast(embeddings.device.type, enabled=False):
            logits, _, _ = self._soft_quantize(self.to_latent(embeddings.float()), temperature)
        return [level.log_softmax(1) for level in logits]

    def soft_quantize(self, latent: Tensor) -> tuple[list[Tensor], Tensor]:
        """Probabilities [n, K_l] per level, and the sum [n, latent] of the soft codewords."""
        return self._soft_quantize(latent)[1:]

    def _soft_quantize(
        self, latent: Tensor, temperature: float | None = None
    ) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """As `soft_quantize`, preceded by the logits [n, K_l] of the probabilities."""
        tau = self.temperature if temperature is None else temperature
        residual, logits, probabilities = latent, [], []
        with torch.autocast(latent.device.type, enabled=False):  # distances need all their digits
            for codebook in self.codebooks:
                logits.append(-relative_distances(residual, codebook) / tau)
                probabilities.append(logits[-1].softmax(1))
                residual = residual - probabilities[-1] @ codebook
        return logits, probabilities, latent - residual

    def reconstruct(self, embeddings: Tensor) -> Tensor:
        """Embeddings [n, dim] decoded from their soft codewords."""
        return self.from_latent(self.soft_quantize(self.to_latent(embeddings))[1])

    def loss_terms(self, embeddings: Tensor) -> dict[str, Tensor]:
        """The terms of Eq. 21 on embeddings [n, dim]: reconstruction and codeword uniformity."""
        probabilities, quantized = self.soft_quantize(self.to_latent(embeddings))
        reconstruction = self.squared_error(self.from_latent(quantized), embeddings)
        return {"reconstruction": reconstruction, "uniformity": uniformity(probabilities)}

    def loss(self, embeddings: Tensor, progress: float, **side: Tensor) -> Tensor:
        self.temperature.fill_(annealed(progress, self.temperature_max, self.temperature_min))
        terms = self.loss_terms(embeddings)
        return terms["reconstruction"] + self.uniformity_weight * terms["uniformity"]

    def _fit(self, embeddings: Tensor, **side: Tensor) -> None:
        super()._fit(embeddings, **side)
        self.temperature.fill_(self.temperature_min)
        with torch.no_grad():
            levels = self.assignments(to_tensor(embeddings[:CHUNK], self.device))
        # how near to hard codes the soft ones ended, per level
        self.summary["top_probability"] = [round(p.amax(1).mean().item(), 3) for p in levels]

    def _taken_off(self, residual: Tensor, codebook: Tensor) -> Tensor:
        """The probability-weighted codewords, as in training."""
        chunks = residual.split(CHUNK)
        logits = (-relative_distances(chunk, codebook) / self.temperature for chunk in chunks)
        return torch.cat([level.softmax(1) @ codebook for level in logits])

    def _encode(self, embeddings: Tensor) -> Tensor:
        return torch.stack([level.argmax(1) for level in self.assignments(embeddings)], 1)


def uniformity(probabilities: list[Tensor]) -> Tensor:
    """Negative entropy of the batch-averaged assignments [n, K_l], summed over levels (Eq. 17)."""
    loss = probabilities[0].new_zeros(())
    for level in probabilities:
        mean = level.mean(0).clamp_min(SMALLEST)
        loss = loss + (mean * mean.log()).sum()
    return loss


def annealed(progress: float, maximum: float, minimum: float) -> float:
    """Temperature after the share `progress` (0 to 1) of all steps (Eq. 16)."""
    return maximum - progress * (maximum - minimum)
