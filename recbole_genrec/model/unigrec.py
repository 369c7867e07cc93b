"""
UniGRec
################################################

Reference:
    Jialei Li et al. "UniGRec: Unified Generative Recommendation with Soft Identifiers for
    End-to-End Optimization." arXiv 2601.17438.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from logging import getLogger
from typing import Any, NamedTuple

import torch
from recbole.data.interaction import Interaction
from torch import Tensor
from torch.nn import functional as F

from recbole_genrec.loss import LossContext
from recbole_genrec.model.collaborative_distillation import CollaborativeDistillation
from recbole_genrec.model.soft_identifiers import (
    change_rate,
    check_soft_tokenizer,
    collision_rate,
    follow_codes,
    soft_token_embeddings,
)
from recbole_genrec.model.tiger import TIGER
from recbole_genrec.tokenizer.semantic_ids import SemanticIDs

CHUNK = 16384  # items whose assignment probabilities are held at a time


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
        check_soft_tokenizer(config["tokenizer"], config["collision"], config["sid_file"])

    def __init__(self, config, dataset):
        self.check_config(config)
        super().__init__(config, dataset)
        stage = self.tokenizer_stage
        # the stage may be shared with other models: this one trains its own tokenizer
        self.tokenizer_stage = replace(stage, tokenizer=deepcopy(stage.tokenizer))
        self.tokenizer = self.tokenizer_stage.tokenizer
        self.tokenizer.bf16 = False  # at a low temperature, rounding would change the codes
        embeddings = stage.item_embeddings
        if embeddings is None:  # restored from a checkpoint: load_state_dict brings them
            embeddings = torch.zeros(self.n_items, self.tokenizer.dim)
        self.register_buffer("item_embeddings", torch.as_tensor(embeddings, dtype=torch.float32))
        self.register_buffer("target_counts", dataset.target_counts, persistent=False)
        self.register_buffer("pretrained_codes", stage.semantic_ids.codes)  # [n_items, L + 1]
        self.seed = config["seed"]

        self.learning_rates = {
            "recommender": config["learning_rate"],
            "tokenizer": config["joint_tokenizer_learning_rate"],
            "distillation": config["distillation_learning_rate"],
        }
        if not self.learning_rates["tokenizer"]:
            self.freeze_tokenizer()
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
        self.register_load_state_dict_pre_hook(_leave_out_distillation)
        self.register_load_state_dict_post_hook(lambda model, _: model._identifiers_changed())

    # ---- soft identifiers

    def soft_items(self, embeddings: Tensor) -> SoftItems:
        """Soft identifiers of items with these embeddings `[n, d]`, with gradients (Eq. 14, 15)."""
        log_assignments, quantised = self.tokenizer.quantise(self.tokenizer.to_latent(embeddings))
        with torch.autocast(embeddings.device.type, enabled=False):
            tokens = soft_token_embeddings(
                [level.exp() for level in log_assignments], self.t5.embedding.weight
            )
        return SoftItems(tokens.flatten(1), quantised)

    @torch.no_grad()
    def all_soft_items(self) -> Tensor:
        """Soft token embeddings `[n_items, L * d_model]` of all items, kept until a weight changes."""
        sources = [self.item_embeddings, self.t5.embedding.weight, *self.tokenizer.parameters()]
        state = [(source.data_ptr(), source._version) for source in sources]
        if self._soft_items is None or self._soft_items[0] != state:
            chunks = self.item_embeddings.split(CHUNK)
            table = torch.cat([self.soft_items(chunk).embeddings for chunk in chunks])
            self._soft_items = state, table
        return self._soft_items[1]

    def history(self, interaction: Interaction) -> tuple[Tensor, Tensor]:
        items, item_lengths = self.history_items(interaction)
        if self.training:
            items, place = items.unique(return_inverse=True)
            soft = self.soft_items(self.item_embeddings[items]).embeddings
            return self._lay_out(soft, place, item_lengths)
        return self._lay_out(self.all_soft_items(), items, item_lengths)

    def _lay_out(self, soft: Tensor, place: Tensor, item_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Token embeddings `[total_tokens, d_model]` of histories, and their lengths in tokens."""
        tokens = F.embedding(place, soft)  # [total_items, L * d_model]
        levels = len(self.tokenizer.codebook_sizes)
        return tokens.view(-1, self.t5.d_model), item_lengths * levels

    # ---- training

    def calculate_loss(self, interaction: Interaction) -> tuple[Tensor, ...]:
        """The weighted terms of Eq. 22, of which there are fewer while the distillation waits."""
        items, item_lengths = self.history_items(interaction)
        targets = interaction[self.POS_ITEM_ID]
        labels = self.item_tokens[targets]
        distinct, place = torch.cat([items, targets]).unique(return_inverse=True)
        embeddings = self.item_embeddings[distinct]
        soft = self.soft_items(embeddings)
        history, lengths = self._lay_out(soft.embeddings, place[: len(items)], item_lengths)

        encoded = self.t5.encode(history, lengths)
        states = self.t5.decode_states(encoded, F.pad(labels[:, :-1], (1, 0)))  # [batch, L + 1, d]
        losses = [self.loss(self.t5.logits(states), labels)]
        if self.tokenizer_is_trained:
            error = self.tokenizer.squared_error(
                self.tokenizer.from_latent(soft.quantised), embeddings
            )
            losses.append(self.reconstruction_weight * error)
        if self.distillation is not None and self.epoch >= self.distillation_warmup_epochs:
            history_means = mean_per_history(encoded.tokens(), lengths)
            losses += self.distillation(history_means, states[:, 0], targets, self.tokenizer)
        return tuple(losses)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """What is trained at which learning rate, for the optimiser."""
        modules = {
            "recommender": [self.t5, self.loss],
            "tokenizer": [self.tokenizer],
            "distillation": [self.distillation],
        }
        groups = []
        for name, members in modules.items():
            parameters = [
                parameter
                for module in members
                if module is not None
                for parameter in module.parameters()
                if parameter.requires_grad
            ]
            if parameters:
                groups.append({"params": parameters, "lr": self.learning_rates[name]})
        return groups

    @property
    def tokenizer_is_trained(self) -> bool:
        return any(parameter.requires_grad for parameter in self.tokenizer.parameters())

    def freeze_tokenizer(self) -> None:
        self.tokenizer.requires_grad_(False)

    def on_epoch_start(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch_end(self, epoch: int) -> None:
        if self.tokenizer_is_trained:
            self.follow_tokenizer(epoch)

    # ---- hard identifiers

    @torch.no_grad()
    def follow_tokenizer(self, epoch: int) -> None:
        """Take the hard identifiers of all items, hence labels and trie, from the tokenizer as it is."""
        before = self.tokenizer_stage.semantic_ids
        codes = self.tokenizer.encode(self.item_embeddings[1:])
        after = follow_codes(codes, before, self.seed)
        self.item_tokens.copy_(after.tokens)
        self._identifiers_changed()
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

    def _identifiers_changed(self) -> None:
        """Bring all that depends on the semantic IDs in line with `item_tokens`."""
        sizes = self.tokenizer_stage.semantic_ids.codebook_sizes
        starts = torch.tensor([1, *sizes[:-1]], device=self.item_tokens.device).cumsum(0)
        codes = (self.item_tokens - starts).clamp(min=0)
        self.tokenizer_stage.semantic_ids = SemanticIDs(codes, sizes)
        self.set_item_tokens(self.item_tokens)
        if self.tokenizer_stage.item_embeddings is not None:  # otherwise there will be no training
            self.loss.set_context(
                LossContext(self.item_tokens, sizes, self.item_embeddings, self.target_counts)
            )

    def add_items(self, tokens: Tensor, embeddings: Tensor) -> None:
        """Append items with semantic IDs of tokens `[m, L + 1]` and item embeddings `[m, d]`."""
        super().add_items(tokens, embeddings)
        new = embeddings.to(self.item_embeddings)
        self.item_embeddings = torch.cat([self.item_embeddings, new])

    # ---- checkpoints

    def extra_checkpoint(self) -> dict[str, Any]:
        return {**super().extra_checkpoint(), "identifier_history": self.identifier_history}

    def load_extra(self, extra: dict[str, Any]) -> None:
        self.identifier_history = list(extra["identifier_history"])


def mean_per_history(states: Tensor, lengths: Tensor) -> Tensor:
    """Mean `[batch, d]` of the states `[total_tokens, d]` of histories of these lengths `[batch]`."""
    lengths = lengths.to(states.device)
    history = torch.arange(len(lengths), device=states.device).repeat_interleave(
        lengths, output_size=len(states)
    )
    sums = states.new_zeros(len(lengths), states.shape[1]).index_add(0, history, states)
    return sums / lengths.unsqueeze(1)


def _leave_out_distillation(model: UniGRec, state_dict: dict[str, Tensor], *_) -> None:
    """Training alone needs the projections of the distillation, and a teacher with them."""
    if model.distillation is None:
        for name in [name for name in state_dict if name.startswith("distillation.")]:
            del state_dict[name]
