"""The base of models that train the item tokenizer together with the recommender."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_genrec.errors import InputError
from recbole_genrec.model.hooks import RECOMMENDER
from recbole_genrec.model.phases import LearningRate, Phase
from recbole_genrec.model.soft_identifiers import change_rate, follow_codes
from recbole_genrec.model.tiger import TIGER
from recbole_genrec.tokenizer.prefixes import collision_rate

TOKENIZER = "tokenizer"  # the part beside RECOMMENDER


class JointRecommender(TIGER):
    """TIGER with a tokenizer of its own, whose codes the semantic IDs follow.

    The tokenizer starts as its stage has left it. After every epoch in which it was trained the
    items take their codes from it; a dedicated last token tells items with the same codes apart
    (collision: append). Which part is trained in which epoch is for `phases` to say.

    Attributes:
        tokenizer: maps item embeddings to codes.
        item_embeddings: what it reads of all items `[n_items, d]`; saved with the weights.
        pretrained_codes: the IDs `[n_items, L]` before joint training.
        identifier_history: per epoch the collision rate of the codes, and the share of items whose
            code changed at each level, the dedicated one last.
    """

    item_embeddings: Tensor
    pretrained_codes: Tensor

    @classmethod
    def check_config(cls, config) -> None:
        super().check_config(config)
        if config["sid_file"]:
            raise InputError(
                f"sid_file: {cls.__name__} trains the tokenizer and cannot use given semantic IDs "
                f"({config['sid_file']})"
            )
        if config["collision"] != "append":
            raise InputError(
                f"collision: {cls.__name__} tells items apart by a dedicated token, which needs "
                f"append, found {config['collision']}"
            )

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.tokenizer = deepcopy(self.items.tokenizers[""])  # which other models may share
        self.items.tokenizers[""] = self.tokenizer
        given = self.items.embeddings[self.source].vectors
        if given is None:  # restored from a checkpoint, which will bring them
            vectors = torch.zeros(self.n_items, self.tokenizer.dim)
        else:  # a copy: loading weights must not write into the file behind it
            vectors = given.to(torch.float32, copy=True)
        self.register_buffer("item_embeddings", vectors)
        self.register_buffer("pretrained_codes", self.ids.codes.clone())
        self.seed = config["seed"]
        self.identifier_history: list[dict[str, Any]] = []

    @property
    def source(self) -> str:
        """Name of the embeddings that the tokenizer reads."""
        return self._sources[""]

    def parts(self) -> dict[str, list[nn.Parameter]]:
        return {
            RECOMMENDER: [*self.t5.parameters(), *self.loss.parameters()],
            TOKENIZER: list(self.tokenizer.parameters()),
        }

    @property
    def tokenizer_is_trained(self) -> bool:
        return any(parameter.requires_grad for parameter in self.tokenizer.parameters())

    @staticmethod
    def fine_tuning(config, schedule: str | None = None) -> list[Phase]:
        """A phase of the recommender alone, from the best epoch on, if `finetune_epochs` asks."""
        if not config["finetune_epochs"]:
            return []
        epochs, stopping_step = config["finetune_epochs"], config["finetune_stopping_step"]
        rates = {RECOMMENDER: LearningRate(config["finetune_learning_rate"], schedule)}
        return [Phase("fine-tuning", epochs, stopping_step, [rates], from_best=True)]

    def on_epoch_end(self, epoch: int) -> None:
        super().on_epoch_end(epoch)
        if self.tokenizer_is_trained:
            self.follow_tokenizer(epoch)

    def item_codes(self) -> Tensor:
        """Codes `[n_items - 1, L]` that the tokenizer gives to the items, with collisions."""
        return self.tokenizer.encode(self.item_embeddings[1:])

    @torch.no_grad()
    def follow_tokenizer(self, epoch: int) -> None:
        """Take the semantic IDs of all items, hence labels and trie, from the tokenizer."""
        before = self.ids.semantic_ids
        codes = self.item_codes()
        after = follow_codes(codes, before, self.seed)
        self.ids.replace(after)
        record: dict[str, Any] = {
            "epoch": epoch,
            "collision_rate": collision_rate(codes),
            "change_rate": change_rate(before.codes[1:].to(codes.device), after.codes[1:]),
        }
        self.identifier_history.append(record)
        changes = ", ".join(f"{rate:.2%}" for rate in record["change_rate"])
        self.logger.info(
            f"Hard identifiers after epoch {epoch}: {record['collision_rate']:.2%} collisions, "
            f"changed at each level: {changes}"
        )

    def add_items(
        self, tokens: Sequence[str], titles: Sequence[str], embeddings: Mapping[str, Tensor]
    ) -> None:
        super().add_items(tokens, titles, embeddings)
        new = embeddings[self.source].to(self.item_embeddings)
        self.item_embeddings = torch.cat([self.item_embeddings, new])

    def extra_checkpoint(self) -> dict[str, Any]:
        return {**super().extra_checkpoint(), "identifier_history": self.identifier_history}

    def load_extra(self, extra: Mapping[str, Any]) -> None:
        super().load_extra(extra)
        self.identifier_history = list(extra["identifier_history"])

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *arguments: Any
    ) -> None:
        """Take over the embeddings of all items of the checkpoint, also where it has others."""
        loaded = state_dict.get(f"{prefix}item_embeddings")
        if loaded is not None and loaded.shape[1:] == self.item_embeddings.shape[1:]:
            self.item_embeddings = self.item_embeddings.new_zeros(loaded.shape)
        super()._load_from_state_dict(state_dict, prefix, *arguments)


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
        sequence: number of the history of each target `[n_targets]`; None for one each.
        visible: how many of the first tokens of its history each target sees `[n_targets]`; None
            for all.
    """
    start = lengths.cumsum(0) - lengths
    if sequence is not None:
        start, lengths = start[sequence], lengths[sequence]
    if visible is not None:
        lengths = visible
    start, lengths = start.to(states.device), lengths.to(states.device)
    sums = F.pad(states.double().cumsum(0), (0, 0, 1, 0))  # differences need the digits
    means = (sums[start + lengths] - sums[start]) / lengths.unsqueeze(1)
    return means.to(states.dtype)
