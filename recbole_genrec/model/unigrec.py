"""
UniGRec
################################################

Reference:
    Jialei Li et al. "UniGRec: Unified Generative Recommendation with Soft Identifiers for
    End-to-End Optimization." arXiv 2601.17438.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from logging import getLogger
from typing import NamedTuple, cast

import torch
from recbole.data.interaction import Interaction
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_genrec.errors import InputError
from recbole_genrec.items.needs import COLLABORATIVE, Embeddings, Need
from recbole_genrec.model.collaborative_distillation import CHUNK, CollaborativeDistillation
from recbole_genrec.model.generative_recommender import shift_right
from recbole_genrec.model.hooks import RECOMMENDER
from recbole_genrec.model.joint_recommender import TOKENIZER, JointRecommender, history_means
from recbole_genrec.model.phases import LearningRate, Phase
from recbole_genrec.model.soft_identifiers import soft_token_embeddings
from recbole_genrec.tokenizer.soft_rqvae import SoftRQVAE

DISTILLATION = "distillation"  # the part beside RECOMMENDER and TOKENIZER


class SoftItems(NamedTuple):
    """Soft identifiers of some items."""

    embeddings: Tensor
    """What the encoder reads of them, `[n, tokens_per_item * d_model]`: their L soft tokens."""
    quantized: Tensor
    """Sums of their soft codewords `[n, code_dim]`."""


class UniGRec(JointRecommender):
    r"""TIGER whose tokenizer is trained with it: the encoder reads soft identifiers.

    .. math::
        \mathcal{L} = \mathcal{L}_{Rec} + \lambda_{Recon} \mathcal{L}_{Recon}
            + \lambda_{CD}^T \mathcal{L}_{CD}^T + \lambda_{CD}^R \mathcal{L}_{CD}^R

    (Eq. 22). An item of the history enters the encoder as L soft tokens: token embeddings weighted
    by the assignment probabilities of the tokenizer (Eq. 14, 15), without the dedicated token that
    tells items with the same codes apart. What the decoder learns to write is the hard identifier,
    the likeliest code of each level and the dedicated token; it follows the tokenizer after every
    epoch. The tokenizer comes from its own stage (Eq. 21), its temperature stays at the minimum.
    """

    training_only = ("distillation",)

    @classmethod
    def check_config(cls, config) -> None:
        super().check_config(config)
        if config["tokenizer"] != "SoftRQVAE":
            raise InputError(f"tokenizer: UniGRec needs SoftRQVAE, found {config['tokenizer']}")
        SoftRQVAE.check_settings(config)
        if _has_weight(config) and not _sets_in(config):
            getLogger().warning(
                f"No teacher: distillation_warmup_epochs [{config['distillation_warmup_epochs']}] "
                f"do not end before joint training, after {config['epochs']} epochs"
            )

    @classmethod
    def needs(cls, config) -> Sequence[Need]:
        teacher = _has_weight(config) and _sets_in(config)
        return (*super().needs(config), *([Embeddings(COLLABORATIVE)] if teacher else []))

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.reconstruction_weight = config["reconstruction_weight"]
        self.distillation_epochs = range(config["distillation_warmup_epochs"], config["epochs"])
        self.distillation = None
        teacher = self.items.embeddings.get(COLLABORATIVE)
        if teacher is not None and teacher.vectors is not None:
            self.distillation = CollaborativeDistillation(
                teacher.vectors, self.item_embeddings, self.t5.d_model, config
            )
        self.epoch = 0
        self._soft_items: Tensor | None = None
        self.register_load_state_dict_pre_hook(UniGRec._forget_soft_items)

    # ---- soft identifiers

    def soft_items(self, embeddings: Tensor) -> SoftItems:
        """Soft identifiers of items with these embeddings `[n, d]`, with gradients (Eq. 14, 15)."""
        # at a low temperature, rounding would change the codes
        with torch.autocast(embeddings.device.type, enabled=False):
            latent = self.tokenizer.to_latent(embeddings)
            assignments, quantized = self.tokenizer.soft_quantize(latent)
            tokens = soft_token_embeddings(assignments, self.t5.embedding.weight)
        return SoftItems(self.units(tokens).flatten(1), quantized)

    @torch.no_grad()
    def all_soft_items(self) -> Tensor:
        """What the encoder reads `[n_items, tokens_per_item * d_model]`, kept until weights may
        change."""
        if self._soft_items is None or self._soft_items.device != self.item_embeddings.device:
            chunks = self.item_embeddings.split(CHUNK)
            self._soft_items = torch.cat([self.soft_items(chunk).embeddings for chunk in chunks])
        return self._soft_items

    def train(self, mode: bool = True) -> UniGRec:
        self._soft_items = None
        return super().train(mode)

    @property
    def tokens_per_item(self) -> int:
        return 1 if self.reads_whole_items else self.ids.num_levels - 1  # without the dedicated one

    def history(self, interaction: Interaction) -> tuple[Tensor, Tensor]:
        items, item_lengths = self.history_items(interaction)
        if self.training:
            distinct, items = items.unique(return_inverse=True)
            table = self.soft_items(self.item_embeddings[distinct]).embeddings
        else:
            table = self.all_soft_items()
        return self._lay_out(table, items, item_lengths)

    def _lay_out(self, table: Tensor, rows: Tensor, item_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The result of `history`, from the rows of its items in a table of soft items."""
        tokens = F.embedding(rows, table).view(-1, self.t5.d_model)
        return tokens, item_lengths * self.tokens_per_item

    # ---- training

    def calculate_loss(self, interaction: Interaction) -> tuple[Tensor, ...]:
        """The weighted terms of Eq. 22 in its order.

        Those of a distillation that waits or has no weight, and the reconstruction of a frozen
        tokenizer, are left out.
        """
        items, item_lengths = self.history_items(interaction)
        view = self.targets(interaction)
        targets = cast(Tensor, view.items)
        distinct, rows = torch.cat([items, targets]).unique(return_inverse=True)
        device = self.item_embeddings.device
        distinct, rows, targets = (x.to(device) for x in (distinct, rows, targets))
        labels = self.ids.tokens[targets]  # [n_targets, L + 1]
        embeddings = self.item_embeddings[distinct]
        soft = self.soft_items(embeddings)
        history, lengths = self._lay_out(soft.embeddings, rows[: len(items)], item_lengths)

        encoded = self.t5.encode(history, lengths)
        seen = self.visible_tokens(view)
        states = self.t5.decode_states(encoded, shift_right(labels), *seen)
        logits = self.t5.logits(states)
        losses = [self.token_loss(logits, labels)]
        if self.tokenizer_is_trained:
            reconstruction = self.tokenizer.from_latent(soft.quantized)
            error = self.tokenizer.squared_error(reconstruction, embeddings)
            losses.append(self.reconstruction_weight * error)
        if self.distillation is not None and self.epoch in self.distillation_epochs:
            means = history_means(encoded.tokens(), lengths, *seen)
            losses += self.distillation(means, states[:, 0], targets, self.tokenizer)
        return tuple(losses)

    def parts(self) -> dict[str, list[nn.Parameter]]:
        distillation = [] if self.distillation is None else self.distillation.parameters()
        return {**super().parts(), DISTILLATION: list(distillation)}

    def phases(self, config) -> list[Phase]:
        """Joint training, and fine-tuning with a frozen tokenizer as in the released code."""
        rate = partial(
            LearningRate,
            schedule=config["lr_scheduler"],
            warmup_ratio=config["warmup_ratio"] or 0.0,
        )
        joint = {
            RECOMMENDER: rate(config["learning_rate"]),
            TOKENIZER: rate(config["joint_tokenizer_learning_rate"]),
            DISTILLATION: rate(config["distillation_learning_rate"]),
        }
        if not config["joint_tokenizer_learning_rate"]:
            del joint[TOKENIZER]
        first = Phase("joint training", config["epochs"], config["stopping_step"], [joint])
        return [first, *self.fine_tuning(config)]

    def on_epoch_start(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch_end(self, epoch: int) -> None:
        super().on_epoch_end(epoch)
        if self.distillation is not None:
            self.distillation.report(epoch, self.tokenizer)

    def _forget_soft_items(self, *_) -> None:
        self._soft_items = None

    def add_items(
        self, tokens: Sequence[str], titles: Sequence[str], embeddings: Mapping[str, Tensor]
    ) -> None:
        super().add_items(tokens, titles, embeddings)
        self._soft_items = None


def _has_weight(config) -> bool:
    weights = ("tokenizer_distillation_weight", "recommender_distillation_weight")
    return any(config[weight] for weight in weights)


def _sets_in(config) -> bool:
    return config["distillation_warmup_epochs"] < config["epochs"]
