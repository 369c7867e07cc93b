"""A minimal T5: the encoder-decoder behind the generative recommenders.

Reference:
    Colin Raffel et al. "Exploring the Limits of Transfer Learning with a Unified Text-to-Text
    Transformer." JMLR 2020.

The architecture is T5 v1.0 as `transformers.T5ForConditionalGeneration` builds it (ReLU, tied
embeddings, relative attention bias, RMS norm before each sub-layer, no biases), with the same
initialisation and interchangeable weights. Unlike there, training packs histories into full rows
instead of padding each, and generation encodes a user once for all beams.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from recbole_genrec.model.kernels.dropout import dropout
from recbole_genrec.model.kernels.linear import linear
from recbole_genrec.model.t5 import weights as t5_weights
from recbole_genrec.model.t5.layers import Block, relative_bucket
from recbole_genrec.model.t5.packing import MASKED, Packing, check_lengths, pack, place_targets

HISTORY_ATTENTION = ("bidirectional", "causal")


@dataclass
class Encoded:
    """Encoder states [rows, width, d_model] of packed histories."""

    states: torch.Tensor
    packing: Packing  # on the host, where targets are placed

    def tokens(self) -> torch.Tensor:
        """[total_tokens, d_model] in the order of the histories given to the encoder."""
        return self.states.flatten(0, 1).index_select(0, self.packing.slot.to(self.states.device))


class T5(nn.Module):
    """T5 encoder-decoder over token embeddings of unpadded histories.

    Args:
        vocab_size: number of tokens; token 0 starts the decoder.
        d_model, d_ff, num_heads, d_kv: widths, named as in `transformers`.
        num_layers, num_decoder_layers: depth of encoder and decoder.
        dropout_rate: at the places where `transformers` has it.
        history_attention: "bidirectional", or "causal": history items attend to themselves and
            earlier items only, so that one encoder pass serves a target after every item.
        tokens_per_item: history tokens of one item; needed by "causal" alone.
        relative_attention_num_buckets, relative_attention_max_distance: of the position bias.
        layer_norm_epsilon: of the RMS norms.
    """

    def __init__(
        self,
        vocab_size: int,
        d_model: int = 128,
        d_ff: int = 1024,
        num_heads: int = 6,
        d_kv: int = 64,
        num_layers: int = 4,
        num_decoder_layers: int = 4,
        dropout_rate: float = 0.1,
        history_attention: str = "bidirectional",
        tokens_per_item: int | None = None,
        relative_attention_num_buckets: int = 32,
        relative_attention_max_distance: int = 128,
        layer_norm_epsilon: float = 1e-6,
    ):
        super().__init__()
        if history_attention not in HISTORY_ATTENTION:
            raise ValueError(
                f"history_attention must be one of {HISTORY_ATTENTION}, got {history_attention!r}"
            )
        if history_attention == "causal" and tokens_per_item is None:
            raise ValueError("history_attention 'causal' needs tokens_per_item")
        given = locals()
        self.options = {name: given[name] for name in t5_weights.SHARED_OPTIONS}
        self.d_model, self.dropout_rate = d_model, dropout_rate
        self.tokens_per_item = tokens_per_item if history_attention == "causal" else None
        self.buckets = (relative_attention_num_buckets, relative_attention_max_distance)

        self.embedding = nn.Embedding(vocab_size, d_model)
        sizes = (d_model, d_ff, num_heads, d_kv, dropout_rate, layer_norm_epsilon)
        self.encoder = nn.ModuleList(Block(*sizes, cross=False) for _ in range(num_layers))
        self.decoder = nn.ModuleList(Block(*sizes, cross=True) for _ in range(num_decoder_layers))
        self.encoder_bias = nn.Embedding(relative_attention_num_buckets, num_heads)
        self.decoder_bias = nn.Embedding(relative_attention_num_buckets, num_heads)
        self.encoder_norm = nn.RMSNorm(d_model, layer_norm_epsilon)
        self.decoder_norm = nn.RMSNorm(d_model, layer_norm_epsilon)
        nn.init.normal_(self.embedding.weight, std=1.0)
        nn.init.normal_(self.encoder_bias.weight, std=d_model**-0.5)
        nn.init.normal_(self.decoder_bias.weight, std=d_model**-0.5)
        if self.tokens_per_item is not None:
            self.recency_bias = nn.Embedding(relative_attention_num_buckets, num_heads)
            nn.init.zeros_(self.recency_bias.weight)

    @classmethod
    def of(cls, config: Mapping[str, Any], vocab_size: int, tokens_per_item: int) -> T5:
        """The one whose sizes are the settings of `TIGER.yaml`."""
        names = ("d_model", "d_ff", "num_heads", "d_kv", "num_layers", "num_decoder_layers")
        sizes = {name: config[name] for name in (*names, "dropout_rate", "history_attention")}
        return cls(vocab_size, tokens_per_item=tokens_per_item, **sizes)

    def forward(
        self,
        history: torch.Tensor,
        lengths: torch.Tensor,
        decoder_input_ids: torch.Tensor,
        sequence: torch.Tensor | None = None,
        visible: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Logits of the next token after each decoder input.

        Args:
            history: [total_tokens, d_model] token embeddings of all histories laid end to end.
            lengths: [batch] tokens of each history; on the host it costs no synchronization.
            decoder_input_ids: [n_targets, L] tokens, or their embeddings [n_targets, L, d_model];
                one target per history unless `sequence` says else.
            sequence: [n_targets] the history of each target.
            visible: [n_targets] how many of the first tokens of its history a target sees; all by
                default. A target's logits equal those of the history cut there only if the model's
                history_attention is "causal", which takes whole items.

        Returns:
            [n_targets, L, vocab_size].

        Raises:
            ValueError: a history is empty, the lengths do not add up to the history's tokens, there
                is not one sequence per target, or a target sees nothing.
        """
        return self.decode(self.encode(history, lengths), decoder_input_ids, sequence, visible)

    def encode(self, history: torch.Tensor, lengths: torch.Tensor) -> Encoded:
        """Encoder states of packed histories; arguments as in `forward`."""
        lengths = lengths.cpu()
        check_lengths(lengths, history)
        packing = pack(lengths)
        there = packing.to(history.device)
        x = self._dropout(there.spread(history))  # [rows, width, d_model]
        mask = there.self_mask(self.tokens_per_item).unsqueeze(1)
        bias = self.relative_bias("encoder", x.shape[1]).masked_fill(~mask, MASKED)
        bias = self._for_products(bias.flatten(0, 1))  # [rows * heads, width, width]
        for block in self.encoder:
            x = block(x, bias)
        return Encoded(self._dropout(self.encoder_norm(x)), packing)

    def decode(
        self,
        encoded: Encoded,
        decoder_input_ids: torch.Tensor,
        sequence: torch.Tensor | None = None,
        visible: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Logits [n_targets, L, vocab_size]; arguments as in `forward`."""
        return self.logits(self.decode_states(encoded, decoder_input_ids, sequence, visible))

    def decode_states(
        self,
        encoded: Encoded,
        decoder_input_ids: torch.Tensor,
        sequence: torch.Tensor | None = None,
        visible: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Decoder states [n_targets, L, d_model]; arguments as in `forward`."""
        packing, device = encoded.packing, encoded.states.device
        sequence = torch.arange(len(packing.row)) if sequence is None else sequence.cpu()
        if len(sequence) != len(decoder_input_ids):
            raise ValueError(f"{len(decoder_input_ids)} targets for {len(sequence)} histories")
        lengths = packing.lengths[sequence]
        visible = lengths if visible is None else torch.minimum(visible.cpu(), lengths)
        targets = place_targets(packing, sequence, visible).to(device)
        length = decoder_input_ids.shape[1]
        embedded = decoder_input_ids.is_floating_point()
        x = decoder_input_ids if embedded else self.embedding(decoder_input_ids)
        x = self._dropout(x)  # [n_targets, L, d_model]
        future = torch.ones(length, length, dtype=torch.bool, device=device).triu(1)
        bias = self.relative_bias("decoder", length).masked_fill(future, MASKED)
        bias = self._for_products(bias.expand(len(x), -1, -1, -1).flatten(0, 1))
        cross_bias = self.cross_bias(targets.distance, targets.mask)
        cross_bias = cross_bias.repeat_interleave(length, 1)  # [rows * heads, per_row * L, width]
        memory = (encoded.states, self._for_products(cross_bias), targets)
        for block in self.decoder:
            x = block(x, bias, memory)
        return self._dropout(self.decoder_norm(x))

    def share_encoder(self, other: T5) -> None:
        """Read histories with the encoder of another T5 from now on, and train it with this one."""
        self.encoder, self.encoder_bias = other.encoder, other.encoder_bias
        self.encoder_norm = other.encoder_norm

    @classmethod
    def from_transformers(cls, hf_model: nn.Module, **options) -> T5:
        """A T5 with the weights of a `transformers.T5ForConditionalGeneration`.

        Args:
            hf_model: with ReLU feed-forward and tied, scaled embeddings (T5 v1.0).
            options: history_attention and tokens_per_item, which `transformers` does not know.

        Raises:
            ValueError: hf_model is another kind of T5.
        """
        t5 = cls(**t5_weights.options_of(hf_model), **options)
        t5.load_state_dict({**t5.state_dict(), **t5_weights.stacked(hf_model, t5)})
        return t5

    def to_transformers(self) -> nn.Module:
        """A `transformers.T5ForConditionalGeneration` with these weights.

        It computes the same logits for history_attention "bidirectional"; it knows no other.
        """
        return t5_weights.to_transformers(self)

    def compile_layers(self, backend: str = "inductor") -> None:
        """Compile the layers for batches of any shape when they first run (`torch.compile`)."""
        for block in (*self.encoder, *self.decoder):
            block.compile(backend=backend, dynamic=True)

    def relative_bias(self, stack: str, length: int) -> torch.Tensor:
        """Relative attention bias [1, num_heads, length, length] of the "encoder" or "decoder"."""
        table = self.encoder_bias if stack == "encoder" else self.decoder_bias
        distance = torch.arange(1 - length, length, device=table.weight.device)
        values = table(relative_bucket(distance, stack == "encoder", *self.buckets)).t()
        return values.unfold(1, length, 1).flip(1).unsqueeze(0)  # key minus query: a band matrix

    def cross_bias(self, distance: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """Bias of the decoder's look at the history.

        T5 has none but the mask: its encoder knows where the history ends. A causal encoder does
        not know which item will be the last that a target sees, so there the decoder is told how
        many items back a token lies, by a learned bias per head that starts at zero.

        Args:
            distance: [n, targets, width] tokens between a history token and the last visible one.
            seen: [n, targets, width] whether the target sees the token.

        Returns:
            [n * num_heads, targets, width].
        """
        heads, weight = self.options["num_heads"], self.embedding.weight
        if self.tokens_per_item is None:
            bias = torch.zeros(seen.shape, dtype=weight.dtype, device=weight.device)
            return bias.masked_fill_(~seen, MASKED).repeat_interleave(heads, 0)
        # histories start at a multiple of tokens_per_item: the first token speaks for its item
        width = seen.shape[-1]
        distance, seen = (part[..., :: self.tokens_per_item] for part in (distance, seen))
        items_back = distance.clamp(min=0) // self.tokens_per_item
        buckets = relative_bucket(-items_back, False, *self.buckets)
        bias = self.recency_bias(buckets).movedim(-1, 1)  # [n, heads, targets, items]
        bias = bias.masked_fill(~seen.unsqueeze(1), MASKED)
        return bias.flatten(0, 1).repeat_interleave(self.tokens_per_item, -1)[..., :width]

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [..., vocab_size] of decoder states [..., d_model]."""
        return linear(x * self.d_model**-0.5, self.embedding.weight)

    def _for_products(self, bias: torch.Tensor) -> torch.Tensor:
        """The bias in the type that autocast multiplies in: converted once, not in every layer."""
        device = bias.device.type
        if torch.is_autocast_enabled(device):
            return bias.to(torch.get_autocast_dtype(device))
        return bias

    def _dropout(self, x: torch.Tensor) -> torch.Tensor:
        return dropout(x, self.dropout_rate, self.training)
