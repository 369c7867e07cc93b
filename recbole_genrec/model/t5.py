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

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from recbole_genrec.decoding.trie import ItemTrie
from recbole_genrec.model.dropout import dropout
from recbole_genrec.model.generation import generate
from recbole_genrec.model.linear import Linear, linear
from recbole_genrec.model.packing import MASKED, Packing, pack, place_targets

HISTORY_ATTENTION = ("bidirectional", "causal")
SHARED_OPTIONS = (  # what a T5Config of `transformers` has too
    "vocab_size",
    "d_model",
    "d_ff",
    "num_heads",
    "d_kv",
    "num_layers",
    "num_decoder_layers",
    "dropout_rate",
    "relative_attention_num_buckets",
    "relative_attention_max_distance",
    "layer_norm_epsilon",
)


@dataclass
class Encoded:
    """Encoder states [rows, width, d_model] of packed histories."""

    states: torch.Tensor
    packing: Packing  # on the states' device
    host_packing: Packing  # the same on the host, where targets are placed

    def tokens(self) -> torch.Tensor:
        """[total_tokens, d_model] in the order of the histories given to the encoder."""
        return self.packing.gather(self.states)


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
        self.options = {name: given[name] for name in SHARED_OPTIONS}  # named as in `transformers`
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
            lengths: [batch] tokens of each history; on the host it costs no synchronisation.
            decoder_input_ids: [n_targets, L]; one target per history unless `sequence` says else.
            sequence: [n_targets] the history of each target.
            visible: [n_targets] how many of the first tokens of its history a target sees; all by
                default. A target's logits equal those of the history cut there only if the model's
                history_attention is "causal".

        Returns:
            [n_targets, L, vocab_size].

        Raises:
            ValueError: a history is empty, or the lengths do not add up to the history's tokens.
        """
        return self.decode(self.encode(history, lengths), decoder_input_ids, sequence, visible)

    def encode(self, history: torch.Tensor, lengths: torch.Tensor) -> Encoded:
        """Encoder states of packed histories; arguments as in `forward`."""
        host = pack(lengths)
        if len(host.slot) != len(history):
            raise ValueError(
                f"the lengths of the histories add up to {len(host.slot)} tokens, but "
                f"{len(history)} token embeddings were given"
            )
        packing = host.to(history.device)
        x = self._dropout(packing.spread(history))  # [rows, width, d_model]
        bias = self.relative_bias("encoder", x.shape[1])
        bias = bias.masked_fill(~packing.self_mask(self.tokens_per_item).unsqueeze(1), MASKED)
        bias = bias.flatten(0, 1)  # [rows * heads, width, width]
        for block in self.encoder:
            x = block(x, bias)
        return Encoded(self._dropout(self.encoder_norm(x)), packing, host)

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
        host = encoded.host_packing
        sequence = torch.arange(len(host.row)) if sequence is None else sequence.cpu()
        if len(sequence) != len(decoder_input_ids):
            raise ValueError(f"{len(decoder_input_ids)} targets for {len(sequence)} histories")
        visible = torch.full_like(sequence, host.history.shape[1]) if visible is None else visible
        targets = place_targets(host, sequence, visible.cpu()).to(encoded.states.device)
        length = decoder_input_ids.shape[1]
        x = self._dropout(self.embedding(decoder_input_ids))  # [n_targets, L, d_model]
        bias = self.relative_bias("decoder", length)
        future = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        bias = bias.masked_fill(future, MASKED).expand(len(x), -1, -1, -1).flatten(0, 1)
        cross_mask = targets.mask.repeat_interleave(length, 1)
        cross_bias = x.new_zeros(cross_mask.shape).masked_fill_(~cross_mask, MASKED)
        cross_bias = cross_bias.repeat_interleave(self.options["num_heads"], 0)
        for block in self.decoder:
            x = block(x, bias, (encoded.states, cross_bias, targets))
        return self._dropout(self.decoder_norm(x))

    def log_likelihood(
        self, history: torch.Tensor, lengths: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        """Log-probability [batch] of each history's target tokens [batch, L]."""
        inputs = F.pad(targets[:, :-1], (1, 0))
        log_probs = self(history, lengths, inputs).float().log_softmax(-1)
        return log_probs.gather(-1, targets.unsqueeze(-1)).sum((1, 2))

    @torch.no_grad()
    def generate(
        self,
        history: torch.Tensor,
        lengths: torch.Tensor,
        trie: ItemTrie,
        beam_size: int,
        allowed: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The likeliest items of each history, by exact beam search; without dropout.

        Args:
            history, lengths: as in `forward`.
            trie: the items that can be returned.
            beam_size: number of beams and of items returned.
            allowed: [n] ids of the items to choose from, all of the trie by default.

        Returns:
            (item ids [batch, beam_size], log-probabilities [batch, beam_size]), best first; id -1
            and -inf where there are fewer items than beams.
        """
        trie = trie if allowed is None else trie.restrict(allowed)
        training = self.training
        try:
            return generate(self.eval(), history, lengths, trie, beam_size)
        finally:
            self.train(training)

    @classmethod
    def from_transformers(cls, hf_model: nn.Module, **options) -> T5:
        """A T5 with the weights of a `transformers.T5ForConditionalGeneration`.

        Args:
            hf_model: with ReLU feed-forward and tied, scaled embeddings (T5 v1.0).
            options: history_attention and tokens_per_item, which `transformers` does not know.

        Raises:
            ValueError: hf_model is another kind of T5.
        """
        config = hf_model.config
        if config.feed_forward_proj != "relu" or not config.scale_decoder_outputs:
            raise ValueError(
                "only T5 v1.0 (feed_forward_proj 'relu', tied embeddings) can be converted, got "
                f"{config.feed_forward_proj!r}, tied and scaled: {config.scale_decoder_outputs}"
            )
        t5 = cls(**{name: getattr(config, name) for name in SHARED_OPTIONS}, **options)
        theirs = hf_model.state_dict()
        ours = {
            name: torch.cat([theirs[source] for source in sources])
            for name, sources in t5._transformers_names().items()
        }
        t5.load_state_dict(ours)
        return t5

    def to_transformers(self) -> nn.Module:
        """A `transformers.T5ForConditionalGeneration` with these weights.

        It computes the same logits for history_attention "bidirectional"; it knows no other.
        """
        from transformers import T5Config, T5ForConditionalGeneration

        hf_model = T5ForConditionalGeneration(
            T5Config(
                **self.options,
                feed_forward_proj="relu",
                pad_token_id=0,
                decoder_start_token_id=0,
                eos_token_id=None,
            )
        )
        ours, theirs = self.state_dict(), hf_model.state_dict()
        for name, targets in self._transformers_names().items():
            for target, part in zip(targets, ours[name].chunk(len(targets)), strict=True):
                theirs[target].copy_(part)
        return hf_model.eval()

    def _transformers_names(self) -> dict[str, list[str]]:
        """Our parameter -> the parameters of `transformers` that it stacks."""
        names = {"embedding.weight": ["shared.weight"]}
        for stack in ("encoder", "decoder"):
            cross = stack == "decoder"
            relative = "block.0.layer.0.SelfAttention.relative_attention_bias"
            names[f"{stack}_bias.weight"] = [f"{stack}.{relative}.weight"]
            names[f"{stack}_norm.weight"] = [f"{stack}.final_layer_norm.weight"]
            for i in range(len(getattr(self, stack))):
                sublayers = [("self_attention", "self_norm", "layer.0", "SelfAttention")]
                if cross:
                    sublayers.append(("cross_attention", "cross_norm", "layer.1", "EncDecAttention"))
                mine, hf = f"{stack}.{i}", f"{stack}.block.{i}"
                for attention, norm, layer, theirs in sublayers:
                    path = f"{hf}.{layer}.{theirs}"
                    names[f"{mine}.{norm}.weight"] = [f"{hf}.{layer}.layer_norm.weight"]
                    names[f"{mine}.{attention}.qkv.weight"] = [f"{path}.{p}.weight" for p in "qkv"]
                    names[f"{mine}.{attention}.o.weight"] = [f"{path}.o.weight"]
                layer = f"{hf}.layer.{len(sublayers)}"
                names[f"{mine}.ff_norm.weight"] = [f"{layer}.layer_norm.weight"]
                for linear in ("wi", "wo"):
                    names[f"{mine}.{linear}.weight"] = [f"{layer}.DenseReluDense.{linear}.weight"]
        return names

    def relative_bias(self, stack: str, length: int) -> torch.Tensor:
        """Relative attention bias [1, num_heads, length, length] of the "encoder" or "decoder"."""
        table = self.encoder_bias if stack == "encoder" else self.decoder_bias
        place = torch.arange(length, device=table.weight.device)
        distance = place - place.unsqueeze(1)  # of the key (dim 1) from the query (dim 0)
        buckets = relative_bucket(distance, stack == "encoder", *self.buckets)
        return table(buckets).permute(2, 0, 1).unsqueeze(0)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [..., vocab_size] of decoder states [..., d_model]."""
        return linear(x * self.d_model**-0.5, self.embedding.weight)

    def _dropout(self, x: torch.Tensor) -> torch.Tensor:
        return dropout(x, self.dropout_rate, self.training)


class Block(nn.Module):
    """Self-attention, cross-attention in the decoder, and feed-forward, each with its residual."""

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        num_heads: int,
        d_kv: int,
        dropout_rate: float,
        eps: float,
        cross: bool,
    ):
        super().__init__()
        self.dropout_rate = dropout_rate
        self.self_norm = nn.RMSNorm(d_model, eps)
        self.self_attention = Attention(d_model, num_heads, d_kv, dropout_rate)
        if cross:
            self.cross_norm = nn.RMSNorm(d_model, eps)
            self.cross_attention = Attention(d_model, num_heads, d_kv, dropout_rate)
        self.ff_norm = nn.RMSNorm(d_model, eps)
        self.wi = Linear(d_model, d_ff, std=d_model**-0.5)
        self.wo = Linear(d_ff, d_model, std=d_ff**-0.5)

    def forward(self, x: torch.Tensor, bias: torch.Tensor, memory: tuple | None = None):
        """x [n, length, d_model]; memory = (states, cross bias, targets) in the decoder."""
        x = x + self._dropout(self.self_attention(self.self_norm(x), bias))
        if memory is not None:
            x = x + self._dropout(self.cross_attention.cross(self.cross_norm(x), *memory))
        hidden = self._dropout(F.relu(self.wi(self.ff_norm(x))))
        return x + self._dropout(self.wo(hidden))

    def _dropout(self, x: torch.Tensor) -> torch.Tensor:
        return dropout(x, self.dropout_rate, self.training)


class Attention(nn.Module):
    """Multi-head attention as in T5: scores are not scaled, the bias is given from outside."""

    def __init__(self, d_model: int, num_heads: int, d_kv: int, dropout_rate: float):
        super().__init__()
        self.num_heads, self.d_kv, self.dropout_rate = num_heads, d_kv, dropout_rate
        self.inner = num_heads * d_kv
        self.qkv = Linear(d_model, 3 * self.inner, std=d_model**-0.5)
        self.o = Linear(self.inner, d_model, std=self.inner**-0.5)
        with torch.no_grad():
            self.qkv.weight[: self.inner] *= d_kv**-0.5

    def forward(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """x [n, length, d_model], bias [n or 1, heads, length, length]."""
        q, k, v = self.qkv(x).split(self.inner, -1)
        return self.o(self._attend(q, k, v, bias))

    def cross(self, x: torch.Tensor, states: torch.Tensor, bias: torch.Tensor, targets):
        """x [n_targets, L, d_model] attends to the packed states of its history."""
        w_q, w_kv = self.qkv.weight.split([self.inner, 2 * self.inner])
        k, v = linear(states, w_kv).split(self.inner, -1)  # [rows, width, inner]
        q = targets.spread(linear(x, w_q))  # [rows, per_row * L, inner]
        return self.o(targets.gather(self._attend(q, k, v, bias), x.shape[1]))

    def _attend(self, q, k, v, bias: torch.Tensor) -> torch.Tensor:
        n = len(q)
        q, k, v = (self._split_heads(t) for t in (q, k, v))  # [n * heads, length, d_kv]
        weights = torch.baddbmm(bias, q, k.transpose(1, 2)).softmax(-1)
        weights = dropout(weights, self.dropout_rate, self.training)
        out = torch.bmm(weights, v).unflatten(0, (n, self.num_heads))
        return out.transpose(1, 2).flatten(2)  # [n, queries, inner]

    def _split_heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (self.num_heads, self.d_kv)).transpose(1, 2).flatten(0, 1)


def relative_bucket(
    distance: torch.Tensor, bidirectional: bool, num_buckets: int, max_distance: int
) -> torch.Tensor:
    """T5's bucket of each distance (key position - query position): exact near, logarithmic far."""
    offset = torch.zeros_like(distance)
    if bidirectional:
        num_buckets //= 2
        offset = (distance > 0).long() * num_buckets
        distance = distance.abs()
    else:
        distance = (-distance).clamp(min=0)
    exact = num_buckets // 2
    # the order of the operations decides the rounding at the edges of the buckets: as in HF
    far = torch.log(distance.clamp(min=1).float() / exact) / math.log(max_distance / exact)
    far = exact + (far * (num_buckets - exact)).long()
    return offset + torch.where(distance < exact, distance, far.clamp(max=num_buckets - 1))
