"""
ETEGRec
################################################

Reference:
    Enze Liu et al. "Generative Recommender with End-to-End Learnable Item Tokenization." in SIGIR
    2025. arXiv 2409.05546.

Reference code:
    https://github.com/RUCAIBox/ETEGRec
"""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
from recbole.data.interaction import Interaction
from torch import Tensor, nn

from recbole_genrec.errors import refuse
from recbole_genrec.loss.distillation import first_occurrences
from recbole_genrec.model.etegrec_alignment import Alignment, TokenizedItems
from recbole_genrec.model.generative_recommender import TargetView, shift_right
from recbole_genrec.model.hooks import RECOMMENDER
from recbole_genrec.model.joint_recommender import TOKENIZER, JointRecommender, history_means
from recbole_genrec.model.phases import LearningRate, Phase
from recbole_genrec.model.t5.generation import evaluating
from recbole_genrec.model.t5.t5 import Encoded
from recbole_genrec.tokenizer.prefixes import group_rows

ALIGNMENT = "alignment"  # the part beside RECOMMENDER and TOKENIZER: the adapters


class ETEGRec(JointRecommender):
    r"""TIGER and its tokenizer, trained in turn, each on losses that tie it to the other.

    .. math::
        \mathcal{L}_T = \mathcal{L}_{SQ} + \mu \mathcal{L}_{SIA} + \lambda \mathcal{L}_{PSA}, \qquad
        \mathcal{L}_R = \mathcal{L}_{Rec} + \mu \mathcal{L}_{SIA} + \lambda \mathcal{L}_{PSA}

    The tokenizer is an RQ-VAE over the item embeddings of a sequential model. In the first epoch of
    every cycle it learns :math:`\mathcal{L}_T` (its reconstruction and quantization, and both
    alignments) from the target items of the batches, and the items take their codes from it; in
    the others the recommender learns :math:`\mathcal{L}_R`. At last, with the tokenizer frozen, the
    recommender learns :math:`\mathcal{L}_{Rec}` alone.
    """

    @classmethod
    def check_config(cls, config) -> None:
        super().check_config(config)
        if config["tokenizer"] != "RQVAE":
            refuse("tokenizer", "RQVAE, which ETEGRec trains", config["tokenizer"])
        if config["append_size"] is None:
            refuse("append_size", "a number of codes that lasts while groups of items grow", None)

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        if self.items.embeddings[self.source].vectors is not None:
            self.item_codes()  # refuses what does not fit
        self.alignment = Alignment(self.t5.d_model, self.tokenizer, config)
        self.alignment_epochs = range(config["alignment_warmup_epochs"], config["epochs"])
        self.epoch = 0

    # ---- training

    def calculate_loss(self, interaction: Interaction) -> tuple[Tensor, ...]:
        r"""The terms of :math:`\mathcal{L}_T`, :math:`\mathcal{L}_{SQ}` in two, or of
        :math:`\mathcal{L}_R`, as the tokenizer is trained or frozen.

        Alignments that wait or have no weight are left out.
        """
        view = self.targets(interaction)
        if self.tokenizer_is_trained:
            losses = self._tokenizer_losses(interaction, view)
        else:
            losses = self._recommender_losses(interaction, view)
        return tuple(losses)

    def _tokenizer_losses(self, interaction: Interaction, view: TargetView) -> list[Tensor]:
        _, view = first_views(view)
        items = self._on_device(view)
        tokenized = self.tokenize(items)
        losses = [tokenized.reconstruction_loss, tokenized.quantization_loss]
        if self.aligns:
            with torch.no_grad(), evaluating(self.t5):
                history, lengths = self.history(interaction)
                encoded = self.t5.encode(history, lengths)
                start = items.new_zeros(len(items), 1)
                states = self.t5.decode_states(encoded, start, *self.visible_tokens(view))
                histories = self._histories(encoded, lengths, view)
            losses += self._align(histories, states[:, 0], items, tokenized)
        return losses

    def _recommender_losses(self, interaction: Interaction, view: TargetView) -> list[Tensor]:
        labels = self.labels(cast(Tensor, view.items))
        history, lengths = self.history(interaction)
        encoded = self.t5.encode(history, lengths)
        states = self.t5.decode_states(encoded, shift_right(labels), *self.visible_tokens(view))
        logits = self.t5.logits(states)
        losses = [self.token_loss(logits, labels)]
        if self.aligns:
            rows, view = first_views(view)
            histories = self._histories(encoded, lengths, view)
            items = self._on_device(view)
            preferences = states[rows.to(states.device), 0]
            losses += self._align(histories, preferences, items, self.tokenize(items))
        return losses

    @property
    def aligns(self) -> bool:
        """Whether the alignments have set in, and fine-tuning has not."""
        return self.epoch in self.alignment_epochs

    def tokenize(self, items: Tensor) -> TokenizedItems:
        """What the tokenizer makes of items `[n]`, with gradients where it is trained."""
        embeddings, tokenizer = self.item_embeddings[items], self.tokenizer
        with torch.autocast(embeddings.device.type, enabled=False):  # rounding would change codes
            latents = tokenizer.to_latent(embeddings)
            quantized, quantization = tokenizer.quantize(latents)
            straight_through = latents + (quantized - latents).detach()
            reconstructions = tokenizer.from_latent(straight_through)
            error = tokenizer.squared_error(reconstructions, embeddings)
        return TokenizedItems(latents, reconstructions, error, quantization)

    def _histories(self, encoded: Encoded, lengths: Tensor, view: TargetView) -> Tensor:
        """Means `[n_targets, d_model]` of the encoder states that each target sees."""
        return history_means(encoded.tokens(), lengths, *self.visible_tokens(view))

    def _align(
        self, histories: Tensor, preferences: Tensor, items: Tensor, tokenized: TokenizedItems
    ) -> list[Tensor]:
        return self.alignment(histories, preferences, items, tokenized, self.tokenizer.codebooks)

    def _on_device(self, view: TargetView) -> Tensor:
        return cast(Tensor, view.items).to(self.item_embeddings.device)

    def parts(self) -> dict[str, list[nn.Parameter]]:
        return {**super().parts(), ALIGNMENT: list(self.alignment.parameters())}

    def phases(self, config) -> list[Phase]:
        """Cycles of an epoch of the tokenizer and some of the recommender, then fine-tuning."""
        schedule, warmup = config["lr_scheduler"], config["warmup_ratio"] or 0.0
        rate = partial(LearningRate, schedule=schedule, warmup_ratio=warmup)
        of_tokenizer = {TOKENIZER: rate(config["joint_tokenizer_learning_rate"])}
        of_recommender = dict.fromkeys((RECOMMENDER, ALIGNMENT), rate(config["learning_rate"]))
        cycle = [of_tokenizer, *[of_recommender] * (config["cycle_epochs"] - 1)]
        turns = Phase("alternation", config["epochs"], config["stopping_step"], cycle)
        return [turns, *self.fine_tuning(config, schedule)]

    def on_epoch_start(self, epoch: int) -> None:
        self.epoch = epoch

    def item_codes(self) -> Tensor:
        """As in the base class, refused where more items share codes than can be told apart.

        Raises:
            InputError: naming `append_size`.
        """
        codes = super().item_codes()
        largest = int(group_rows(codes).bincount().max())
        if largest > self.ids.sizes[-1]:
            refuse(
                "append_size",
                f"at least {largest}, as so many items have the same codes (more tokenizer_epochs "
                "or codebook_sizes make it fewer)",
                self.ids.sizes[-1],
            )
        return codes


def first_views(view: TargetView) -> tuple[Tensor, TargetView]:
    """The first target of each item: their rows `[m]`, and which histories they see."""
    items = cast(Tensor, view.items)
    rows = first_occurrences(items).nonzero().flatten()
    history = rows if view.history is None else view.history[rows]
    visible = None if view.visible is None else view.visible[rows]
    return rows, TargetView(items[rows], history, visible)
