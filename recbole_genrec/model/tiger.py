"""
TIGER
################################################

Reference:
    Shashank Rajput et al. "Recommender Systems with Generative Retrieval." in NeurIPS 2023.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.utils import InputType
from torch import Tensor

from recbole_genrec.decoding.trie import ItemTrie
from recbole_genrec.errors import InputError
from recbole_genrec.loss import LossContext, build_loss, loss_without_data
from recbole_genrec.model.hooks import ModelHooks
from recbole_genrec.model.t5.t5 import T5, shift_right
from recbole_genrec.tokenizer.semantic_ids import SemanticIDs


class TIGER(ModelHooks, SequentialRecommender):
    r"""A T5 that reads the semantic IDs of a history and generates that of the next item.

    The history of a user is the sequence of the tokens of all its items, oldest first, and
    the model is trained on

    .. math::
        \mathcal{L} = - \sum_{l=1}^{L} \log P(y_l \mid x, y_{<l})

    where y is the semantic ID of the target. Recommendation is a beam search over the trie of all
    semantic IDs, so that only items can be generated.
    """

    input_type = InputType.POINTWISE
    needs_semantic_ids = True
    takes_host_batches = True
    """Training batches stay on the host, where lengths are read without waiting for a GPU."""

    @staticmethod
    def check_config(config) -> None:
        """Raises InputError for settings that cannot work, before any data are read."""
        loss_without_data(config)

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        if dataset.tokenizer_stage is None:
            raise InputError(
                f"{config['model']} needs a data set with semantic IDs: load it with "
                "recbole_genrec.quick_start.prepare_data, or call run_recbole_genrec"
            )
        self.tokenizer_stage = replace(dataset.tokenizer_stage)  # which other models may share
        self.beam_size = config["beam_size"]
        self.history_attention = config["history_attention"]

        semantic_ids = self.tokenizer_stage.semantic_ids
        self.register_buffer("item_tokens", semantic_ids.tokens.clone())  # [n_items, L]
        self.register_buffer("target_counts", dataset.target_counts, persistent=False)  # [n_items]
        self.t5 = T5(
            vocab_size=semantic_ids.vocab_size,
            d_model=config["d_model"],
            d_ff=config["d_ff"],
            num_heads=config["num_heads"],
            d_kv=config["d_kv"],
            num_layers=config["num_layers"],
            num_decoder_layers=config["num_decoder_layers"],
            dropout_rate=config["dropout_rate"],
            history_attention=config["history_attention"],
            tokens_per_item=self.tokens_per_item,
        )
        self.loss = build_loss(config, self._loss_context())
        self._objective_weights: dict[int, dict[str, float]] = {}  # per epoch, of losses that mix
        self._trie: ItemTrie | None = None
        self.register_load_state_dict_post_hook(TIGER._follow_item_tokens)

    def _loss_context(self) -> LossContext:
        stage = self.tokenizer_stage
        return LossContext(
            tokens=self.item_tokens,
            codebook_sizes=stage.semantic_ids.codebook_sizes,
            item_embeddings=stage.item_embeddings,
            target_counts=self.target_counts,
        )

    def _follow_item_tokens(self, _incompatible_keys) -> None:
        """After weights were loaded: the semantic IDs are those of their item_tokens."""
        self._trie = None
        sizes = self.tokenizer_stage.semantic_ids.codebook_sizes
        loaded = SemanticIDs.from_tokens(self.item_tokens.cpu(), sizes)
        if not torch.equal(loaded.codes, self.tokenizer_stage.semantic_ids.codes.cpu()):
            self.set_semantic_ids(loaded)

    @property
    def tokens_per_item(self) -> int:
        """Number of tokens of an item in the history."""
        return self.tokenizer_stage.semantic_ids.num_levels

    @property
    def trie(self) -> ItemTrie:
        """The trie of all semantic IDs, on the model's device; built when first asked for."""
        if self._trie is None or self._trie.item.device != self.item_tokens.device:
            self._trie = ItemTrie(self.item_tokens)
        return self._trie

    def history_items(self, interaction: Interaction) -> tuple[Tensor, Tensor]:
        """The items of all histories end to end `[total_items]`, and their number `[batch]`."""
        item_seq = interaction[self.ITEM_SEQ]  # [batch, length]
        item_seq_len = interaction[self.ITEM_SEQ_LEN]
        position = torch.arange(item_seq.shape[1], device=item_seq.device)
        return item_seq[position < item_seq_len.unsqueeze(1)], item_seq_len

    def history(self, interaction: Interaction) -> tuple[Tensor, Tensor]:
        """Token embeddings of all histories, laid end to end without padding.

        Returns:
            embeddings `[total_tokens, d_model]` and the number of tokens of each user `[batch]`.
        """
        items, lengths = self.history_items(interaction)
        tokens = self.item_tokens[items.to(self.item_tokens.device)].flatten()  # [total_items * L]
        return self.t5.embedding(tokens), lengths * self.tokens_per_item

    def targets(self, interaction: Interaction) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """The items to generate and what each sees of its history.

        With bidirectional attention that is the next item after the whole history; with causal
        attention one pass over the history also serves each of its items after the first.

        Returns:
            items `[n_targets]`; number of their history in the batch `[n_targets]`; how many of its
            first tokens they see `[n_targets]`. The last two are None for one target a history.
        """
        next_item = interaction[self.POS_ITEM_ID]
        if self.history_attention == "bidirectional":
            return next_item, None, None
        items, lengths = self.history_items(interaction)
        ends = lengths.cumsum(0)
        targets = items.roll(-1)
        targets[ends - 1] = next_item
        sequence = torch.arange(len(lengths), device=items.device).repeat_interleave(lengths)
        position = torch.arange(len(items), device=items.device) - (ends - lengths)[sequence]
        return targets, sequence, (position + 1) * self.tokens_per_item

    def num_targets(self, interaction: Interaction) -> int | Tensor:
        """Number of `targets`, over which the loss is averaged."""
        if self.history_attention == "bidirectional":
            return len(interaction)
        return interaction[self.ITEM_SEQ_LEN].sum()

    def num_tokens(self, interaction: Interaction) -> int | Tensor:
        """Number of semantic-ID codes that are read and written for a training batch."""
        read = interaction[self.ITEM_SEQ_LEN].sum() * self.tokens_per_item
        return read + self.num_targets(interaction) * self.item_tokens.shape[1]

    def calculate_loss(self, interaction: Interaction) -> Tensor:
        history, lengths = self.history(interaction)
        targets, sequence, visible = self.targets(interaction)
        labels = self.item_tokens[targets.to(self.item_tokens.device)]  # [n_targets, L]
        logits = self.t5(history, lengths, shift_right(labels), sequence, visible)
        return self.loss(logits, labels, self.logits_without_history(labels))

    def logits_without_history(self, labels: Tensor) -> Tensor | None:
        """Logits `[n_targets, L, vocab_size]` after a lone padding token, if the loss asks."""
        if not self.loss.needs_history_free:
            return None
        nothing = self.t5.embedding.weight[:1]
        sequence = torch.zeros(len(labels), dtype=torch.long)
        return self.t5(nothing, torch.ones(1, dtype=torch.long), shift_right(labels), sequence)

    def predict(self, interaction: Interaction) -> Tensor:
        """Exact log-likelihood of each given item after its history, `[batch]`."""
        history, lengths = self.history(interaction)
        return self.t5.log_likelihood(history, lengths, self.item_tokens[interaction[self.ITEM_ID]])

    def recommend(
        self, interaction: Interaction, k: int, trie: ItemTrie | None = None
    ) -> tuple[Tensor, Tensor]:
        """The k most likely items of the beam, best first; the cost does not grow with n_items.

        Args:
            interaction: a batch of histories.
            k: number of items; where it exceeds `beam_size` the beam is as wide.
            trie: the items to choose from, all by default.

        Returns:
            item ids `[batch, k]` and their log-likelihoods `[batch, k]`; id 0 and -inf where there
            are fewer items than k.
        """
        history, lengths = self.history(interaction)
        beams = max(k, self.beam_size)
        items, scores = self.t5.generate(history, lengths, trie or self.trie, beams)
        return items[:, :k], scores[:, :k]

    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """Log-likelihoods `[batch, n_items]`; items outside the beam have -inf."""
        items, scores = self.recommend(interaction, self.beam_size)
        all_scores = scores.new_full((len(items), self.n_items), -torch.inf)
        return all_scores.scatter_(1, items, scores)

    def set_semantic_ids(self, semantic_ids: SemanticIDs) -> None:
        """Give the items other semantic IDs of the same codebook sizes."""
        self.tokenizer_stage.semantic_ids = semantic_ids
        self.item_tokens.copy_(semantic_ids.tokens)
        self.loss.set_context(self._loss_context())
        self._trie = None

    def add_items(self, tokens: Tensor, embeddings: Tensor) -> None:
        """Append items to recommend: tokens `[m, L]` of their IDs, item embeddings `[m, d]`."""
        self.item_tokens = torch.cat([self.item_tokens, tokens.to(self.item_tokens.device)])
        self.n_items = len(self.item_tokens)
        self._trie = None

    def compile_layers(self) -> None:
        self.t5.compile_layers()

    def on_step_end(self) -> None:
        self.loss.on_step_end()

    def on_epoch_end(self, epoch: int) -> None:
        """Note the shares of the objectives where the loss mixes several."""
        weights = self.loss.objective_weights()
        if weights:
            self._objective_weights[epoch] = weights
            shares = ", ".join(f"{name} {share:.4f}" for name, share in weights.items())
            self.logger.info(f"Objectives after epoch {epoch}: {shares}")

    def objective_weights(self) -> Mapping[int, Mapping[str, float]]:
        return self._objective_weights

    def extra_checkpoint(self) -> dict[str, Any]:
        """What the checkpoint needs beside the weights to answer for raw item tokens."""
        return {
            "tokenizer_stage": self.tokenizer_stage.state(),
            "objective_weights": self._objective_weights,
        }

    def load_extra(self, extra: dict[str, Any]) -> None:
        """Take over what `extra_checkpoint` has noted of training."""
        self._objective_weights = dict(extra["objective_weights"])
