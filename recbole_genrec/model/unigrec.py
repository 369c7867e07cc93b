"""
UniGRec
################################################

Reference:
    Jialei Li et al. "UniGRec: Unified Generative Recommendation with Soft Identifiers for
    End-to-End Optimization." arXiv 2601.17438.
"""

from __future__ import annotations

from copy import deepcopy
from functools import partial
from logging import getLogger
from typing import Any, NamedTuple

import torch
from recbole.data.interaction import Interaction
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_genrec.model.collaborative_distillation import CollaborativeDistillation
from recbole_genrec.model.hooks import RECOMMENDER
from recbole_genrec.model.phases import LearningRate, Phase
from recbole_genrec.model.soft_identifiers import (
    change_rate,
    follow_codes,
    soft_token_embeddings,
)
from recbole_genrec.model.t5.t5 import shift_right
from recbole_genrec.model.tiger import TIGER
from recbole_genrec.model.unigrec_checks import check_unigrec
from recbole_genrec.tokenizer.prefixes import collision_rate

CHUNK = 16384  # items whose assignment probabilities are held at a time
TOKENIZER, DISTILLATION = "tokenizer", "distillation"  # the parts beside RECOMMENDER


class SoftItems(NamedTuple):
    """Soft identifiers of some items."""

    embeddings: Tensor
    """Of their L soft tokens, `[n, L * d_model]`."""
    quantised: Tensor
    """Sums of their soft codewords `[n, code_dim]`."""


class UniGRec(TIGER):
    r"""TIGER whose tokenizer is trained with it: the encoder reads soft identifiers.

    .. math::
        \mathcal{L} = \mathcal{L}_{Rec} + \lambda_{Recon} \mathcal{L}_{Recon}
            + \lambda_{CD}^T \mathcal{L}_{CD}^T + \lambda_{CD}^R \mathcal{L}_{CD}^R

    (Eq. 22). An item of the history enters the encoder as L soft tokens: token embeddings weighted
    by the assignment probabilities of the tokenizer (Eq. 14, 15), without the dedicated token that
    tells items with the same codes apart. What the decoder learns to write is the hard identifier,
    the likeliest code of each level and the dedicated token; it follows the tokenizer after every
    epoch. The tokenizer comes from its own stage (Eq. 21), its temperature stays at the minimum.

    Attributes:
        identifier_history: per epoch the collision rate of the codes, and the share of items whose
            code changed at each level, the dedicated one last.
    """

    needs_teacher = True

    @staticmethod
    def check_config(config) -> None:
        """Raises InputError for settings that cannot work, before any data are read."""
        TIGER.check_config(config)
        check_unigrec(config)

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        stage = self.tokenizer_stage
        stage.tokenizer = deepcopy(stage.tokenizer)  # which other models may share
        self.tokenizer = stage.tokenizer
        embeddings = stage.item_embeddings
        if embeddings is None:  # restored from a checkpoint, which will bring them
            embeddings = torch.zeros(self.n_items, self.tokenizer.dim)
        # copies: loading weights must not write into the stage or the file behind it
        self.register_buffer("item_embeddings", embeddings.to(torch.float32, copy=True))
        self.register_buffer("pretrained_codes", stage.semantic_ids.codes.clone())
        self.seed = config["seed"]

        self.reconstruction_weight = config["reconstruction_weight"]
        self.distillation_warmup_epochs = config["distillation_warmup_epochs"]
        self.distillation = None
        teacher = getattr(dataset, "teacher_embeddings", None)
        if teacher is not None:
            self.distillation = CollaborativeDistillation(
                teacher, self.t5.d_model, self.tokenizer.dim, config
            )
        self.epoch = 0
        self.identifier_history: list[dict[str, Any]] = []
        self._soft_items: tuple[list, Tensor] | None = None
        self.register_load_state_dict_pre_hook(UniGRec._leave_out_distillation)

    # ---- soft identifiers

    def soft_items(self, embeddings: Tensor) -> SoftItems:
        """Soft identifiers of items with these embeddings `[n, d]`, with gradients (Eq. 14, 15)."""
        # at a low temperature, rounding would change the codes
        with torch.autocast(embeddings.device.type, enabled=False):
            assignments, quantised = self.tokenizer.quantise(self.tokenizer.to_latent(embeddings))
            tokens = soft_token_embeddings(assignments, self.t5.embedding.weight)
        return SoftItems(tokens.flatten(1), quantised)

    @torch.no_grad()
    def all_soft_items(self) -> Tensor:
        """Soft token embeddings `[n_items, L * d_model]`, kept until a weight changes."""
        sources = [self.item_embeddings, self.t5.embedding.weight, *self.tokenizer.parameters()]
        sources += self.tokenizer.buffers()
        state = [(source.data_ptr(), source._version) for source in sources]
        if self._soft_items is None or self._soft_items[0] != state:
            chunks = self.item_embeddings.split(CHUNK)
            table = torch.cat([self.soft_items(chunk).embeddings for chunk in chunks])
            self._soft_items = state, table
        return self._soft_items[1]

    @property
    def tokens_per_item(self) -> int:
        return self.tokenizer_stage.semantic_ids.num_levels - 1  # without the dedicated token

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
        self._soft_items = None  # fused optimisers change weights without counting a version
        items, item_lengths = self.history_items(interaction)
        targets, sequence, visible = self.targets(interaction)
        distinct, rows = torch.cat([items, targets]).unique(return_inverse=True)
        distinct, rows, targets = (x.to(self.item_tokens.device) for x in (distinct, rows, targets))
        labels = self.item_tokens[targets]  # [n_targets, L + 1]
        embeddings = self.item_embeddings[distinct]
        soft = self.soft_items(embeddings)
        history, lengths = self._lay_out(soft.embeddings, rows[: len(items)], item_lengths)

        encoded = self.t5.encode(history, lengths)
        states = self.t5.decode_states(encoded, shift_right(labels), sequence, visible)
        logits = self.t5.logits(states)
        losses = [self.loss(logits, labels, self.logits_without_history(labels))]
        if self.tokenizer_is_trained:
            reconstruction = self.tokenizer.from_latent(soft.quantised)
            error = self.tokenizer.squared_error(reconstruction, embeddings)
            losses.append(self.reconstruction_weight * error)
        if self.distillation is not None and self.epoch >= self.distillation_warmup_epochs:
            means = history_means(encoded.tokens(), lengths, sequence, visible)
            losses += self.distillation(means, states[:, 0], targets, self.tokenizer)
        return tuple(losses)

    def parts(self) -> dict[str, list[nn.Parameter]]:
        distillation = [] if self.distillation is None else self.distillation.parameters()
        return {
            RECOMMENDER: [*self.t5.parameters(), *self.loss.parameters()],
            TOKENIZER: list(self.tokenizer.parameters()),
            DISTILLATION: list(distillation),
        }

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
        fine = {
            RECOMMENDER: LearningRate(config["finetune_learning_rate"]),
            DISTILLATION: LearningRate(config["distillation_learning_rate"]),
        }
        if not config["joint_tokenizer_learning_rate"]:
            del joint[TOKENIZER]
        phases = [Phase("joint training", config["epochs"], config["stopping_step"], [joint])]
        if config["finetune_epochs"]:
            epochs, stopping_step = config["finetune_epochs"], config["finetune_stopping_step"]
            phases.append(Phase("fine-tuning", epochs, stopping_step, [fine], from_best=True))
        return phases

    @property
    def tokenizer_is_trained(self) -> bool:
        return any(parameter.requires_grad for parameter in self.tokenizer.parameters())

    def on_epoch_start(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch_end(self, epoch: int) -> None:
        super().on_epoch_end(epoch)
        if self.tokenizer_is_trained:
            self.follow_tokenizer(epoch)

    # ---- hard identifiers

    @torch.no_grad()
    def follow_tokenizer(self, epoch: int) -> None:
        """Take the hard identifiers of all items, hence labels and trie, from the tokenizer."""
        before = self.tokenizer_stage.semantic_ids
        codes = self.tokenizer.encode(self.item_embeddings[1:])
        after = follow_codes(codes, before, self.seed)
        self.set_semantic_ids(after)
        record = {
            "epoch": epoch,
            "collision_rate": collision_rate(codes),
            "change_rate": change_rate(before.codes[1:].to(codes.device), after.codes[1:]),
        }
        self.identifier_history.append(record)
        changes = ", ".join(f"{rate:.2%}" for rate in record["change_rate"])
        getLogger().info(
            f"Hard identifiers after epoch {epoch}: {record['collision_rate']:.2%} collisions, "
            f"changed at each level: {changes}"
        )

    def add_items(self, tokens: Tensor, embeddings: Tensor) -> None:
        """Append items with semantic IDs of tokens `[m, L + 1]` and item embeddings `[m, d]`."""
        super().add_items(tokens, embeddings)
        new = embeddings.to(self.item_embeddings)
        self.item_embeddings = torch.cat([self.item_embeddings, new])
        self._soft_items = None

    # ---- checkpoints

    def extra_checkpoint(self) -> dict[str, Any]:
        return {**super().extra_checkpoint(), "identifier_history": self.identifier_history}

    def load_extra(self, extra: dict[str, Any]) -> None:
        super().load_extra(extra)
        self.identifier_history = list(extra["identifier_history"])

    def _leave_out_distillation(self, state_dict: dict[str, Tensor], *_) -> None:
        """Before weights are loaded: only training needs the projections of the distillation."""
        if self.distillation is None:
            for name in [name for name in state_dict if name.startswith("distillation.")]:
                del state_dict[name]


def history_means(
    states: Tensor,
    lengths: Tensor,
    sequence: Tensor | None = None,
    visible: Tensor | None = None,
) -> Tensor:
    """Means `[n_targets, d]` of the encoder states that each target sees.

    Args:
        states: of all histories end to end `[total_tokens, d]`.
        lengths: number of tokens of each history `[batch]`.
        sequence, visible: see `TIGER.targets`.
    """
    start = lengths.cumsum(0) - lengths
    if sequence is not None:
        start, lengths = start[sequence], visible
    start, lengths = start.to(states.device), lengths.to(states.device)
    sums = F.pad(states.double().cumsum(0), (0, 0, 1, 0))  # differences need the digits
    means = (sums[start + lengths] - sums[start]) / lengths.unsqueeze(1)
    return means.to(states.dtype)
