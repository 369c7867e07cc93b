"""Fast generation for our T5: users are encoded once, and beams are queries to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F

from recbole_genrec.decoding.beam_search import beam_search, grown
from recbole_genrec.decoding.existing_codes import ExistingCodes
from recbole_genrec.decoding.trie import ItemTrie
from recbole_genrec.model.kernels.linear import linear, linear_add, linear_relu
from recbole_genrec.model.t5.layers import Block
from recbole_genrec.model.t5.packing import check_lengths
from recbole_genrec.model.t5.t5 import T5

Embed = Callable[[torch.Tensor], torch.Tensor]  # tokens [n, l] -> embeddings [n, l, d_model]
# states [n, d_model] after tokens [n, l] -> logits [n, vocab]
Head = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Step = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # of `beam_search`

BEAMS_AT_ONCE = {"cpu": 960, "cuda": 32_768}  # activations that stay in the cache, or fill the GPU


@torch.no_grad()
def generate(
    t5: T5,
    history: torch.Tensor,
    lengths: torch.Tensor,
    trie: ItemTrie,
    beam_size: int,
    embed: Embed | None = None,
    head: Head | None = None,
    existing: ItemTrie | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The likeliest items of each history, by exact beam search; without dropout.

    Users go sorted by length in chunks, so that hardly a chunk needs padding.

    Args:
        t5: what writes the semantic IDs.
        history, lengths: as in `T5.forward`.
        trie: the items that can be returned.
        beam_size: number of beams and of items returned.
        embed: embeds decoder inputs, each of which may depend on those before it; if not given, the
            embedding table of the T5 does.
        head: gives the logits of the next token, which may depend on all before it; if not given,
            those of the whole vocabulary are products with the embedding table of the T5.
        existing: the items whose codes after the same prefix share the probability; if not given,
            all tokens do.

    Returns:
        (item ids [batch, beam_size], log-probabilities [batch, beam_size]), best first; id 0 and
        -inf where there are fewer items than beams.
    """
    with evaluating(t5):
        return _generate(t5, history, lengths, trie, beam_size, embed, head, existing)


@contextmanager
def evaluating(module: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode inside, and afterwards the mode of before."""
    if not module.training:
        yield
        return
    module.eval()
    try:
        yield
    finally:
        module.train()


def _generate(
    t5: T5,
    history: torch.Tensor,
    lengths: torch.Tensor,
    trie: ItemTrie,
    beam_size: int,
    embed: Embed | None,
    head: Head | None,
    existing: ItemTrie | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    device = history.device
    lengths = lengths.cpu()
    check_lengths(lengths, history)
    first = lengths.cumsum(0) - lengths
    order = lengths.argsort(stable=True)
    users = max(1, BEAMS_AT_ONCE.get(device.type, BEAMS_AT_ONCE["cuda"]) // beam_size)
    decoder = Decoder.of(t5, trie.num_levels)
    found = []
    for chunk in order.split(users):
        sizes = lengths[chunk]
        tokens = torch.arange(int(sizes.sum()))  # of the chunk, then of the history
        tokens += (first[chunk] - sizes.cumsum(0) + sizes).repeat_interleave(sizes)
        states = t5.encode(history[tokens.to(device)], sizes).tokens()
        with torch.autocast(device.type, enabled=False):
            step: Step = BeamStep(decoder, states, sizes, t5.cross_bias, embed, head)
            if existing is not None:
                step = ExistingCodes(step, existing)
            found.append(beam_search(step, trie, beam_size, len(chunk)))
    back = order.argsort().to(device)
    ids, scores = (torch.cat(parts)[back] for parts in zip(*found, strict=True))
    return ids, scores


@dataclass
class Layer:
    """Weights of one decoder layer; each norm's weight is folded into the projection behind it."""

    qkv: torch.Tensor
    o: torch.Tensor
    cross_q: torch.Tensor
    cross_kv: torch.Tensor
    cross_o: torch.Tensor
    wi: torch.Tensor
    wo: torch.Tensor


@dataclass
class Decoder:
    """The decoder of a T5, prepared for generation in one dtype."""

    layers: list[Layer]
    embedding: torch.Tensor  # [vocab, d_model]
    norm: torch.Tensor  # [d_model], the weight of the last norm
    output: torch.Tensor  # [vocab, d_model], the embedding with that weight and scale folded in
    bias: torch.Tensor  # [levels, heads], of a key so many positions back
    num_heads: int
    eps: float

    @classmethod
    def of(cls, t5: T5, levels: int) -> Decoder:
        """In the type that autocast asks for, else in that of the weights."""
        device = t5.embedding.weight.device
        dtype = t5.embedding.weight.dtype
        if torch.is_autocast_enabled(device.type):
            dtype = torch.get_autocast_dtype(device.type)
        layers = []
        for block in cast("Iterable[Block]", t5.decoder):
            own, cross = block.self_attention, block.cross_attention
            cross_q, cross_kv = cross.qkv.weight.split([cross.inner, 2 * cross.inner])
            weights = (
                own.qkv.weight * block.self_norm.weight,
                own.o.weight,
                cross_q * block.cross_norm.weight,
                cross_kv,
                cross.o.weight,
                block.wi.weight * block.ff_norm.weight,
                block.wo.weight,
            )
            layers.append(Layer(*(weight.detach().to(dtype) for weight in weights)))
        embedding, norm = t5.embedding.weight.detach(), t5.decoder_norm.weight.detach()
        output = embedding * norm * t5.d_model**-0.5
        return cls(
            layers,
            embedding.to(dtype),
            norm.to(dtype),
            output.to(dtype),
            t5.relative_bias("decoder", levels).detach()[0, :, -1].t().flip(0).to(dtype),
            t5.options["num_heads"],
            t5.options["layer_norm_epsilon"],
        )


class BeamStep:
    """The step callback of beam_search for one chunk of users.

    Cross-attention keys and values exist once per user, and the user's beams are the queries. The
    keys and values of past tokens are never reordered: each beam keeps the row numbers of its
    ancestors, and reads theirs.

    Args:
        decoder: the prepared weights.
        states: [total_tokens, d_model] encoder states of the users' histories laid end to end.
        lengths: [batch] tokens of each history, on the host.
        cross_bias: `T5.cross_bias`.
        embed, head: as in `generate`.
    """

    def __init__(
        self,
        decoder: Decoder,
        states: torch.Tensor,
        lengths: torch.Tensor,
        cross_bias: Callable,
        embed: Embed | None = None,
        head: Head | None = None,
    ):
        self.decoder, self.embed, self.head = decoder, embed, head
        self.prefixes: torch.Tensor | None = None  # [batch, beams, l], where one of them reads them
        self.batch = len(lengths)
        states = states.to(decoder.output.dtype)
        place = torch.arange(int(lengths.max()))
        distance = lengths.unsqueeze(1) - 1 - place  # [batch, width]
        filled = distance >= 0
        slots = filled.flatten().nonzero().flatten().to(states.device)
        padded = states.new_zeros(filled.numel(), states.shape[-1])
        states = padded.index_copy_(0, slots, states).view(*filled.shape, -1)
        # [batch * heads, 1, width]
        seen = (part.unsqueeze(1).to(states.device) for part in (distance, filled))
        self.bias = cross_bias(*seen).to(states.dtype)
        self.memory = [self._memory(layer, states) for layer in decoder.layers]
        self.past: list[list[torch.Tensor]] = [[] for _ in decoder.layers]
        # per layer and position [rows, 2, heads, d_kv]
        self.ancestors: list[torch.Tensor] = []  # per past position [batch * beams] rows in it

    def __call__(self, tokens: torch.Tensor, parents: torch.Tensor) -> torch.Tensor:
        """tokens, parents [batch, beams] -> logits [batch, beams, vocab]."""
        beams = tokens.shape[1]
        self._follow(parents)
        if self.embed is not None or self.head is not None:
            self.prefixes = grown(self.prefixes, tokens, parents)
        eps = self.decoder.eps
        x = self._embedded(tokens)  # [batch * beams, d_model]
        for layer, memory, past in zip(self.decoder.layers, self.memory, self.past, strict=True):
            x = linear_add(self._self_attention(layer, _norm(x, eps), past), layer.o, x)
            q = linear(_norm(x, eps), layer.cross_q)
            x = linear_add(self._cross_attention(q, *memory), layer.cross_o, x)
            x = linear_add(linear_relu(_norm(x, eps), layer.wi), layer.wo, x)
        return self._logits(_norm(x, eps)).view(self.batch, beams, -1)

    def _logits(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [batch * beams, vocab] of states that the last norm has not yet weighted."""
        if self.head is None or self.prefixes is None:
            return linear(x, self.decoder.output)
        return self.head(x * self.decoder.norm, self.prefixes.flatten(0, 1))

    def _embedded(self, tokens: torch.Tensor) -> torch.Tensor:
        """Embeddings [batch * beams, d_model] of the last tokens."""
        if self.embed is None or self.prefixes is None:
            return self.decoder.embedding[tokens.flatten()]
        embedded = self.embed(self.prefixes.flatten(0, 1))[:, -1]
        return embedded.to(self.decoder.embedding.dtype)

    def _follow(self, parents: torch.Tensor) -> None:
        """Carries the ancestors' row numbers over to the beams of this step."""
        if self.past[0]:
            previous = len(self.past[0][-1]) // self.batch  # beams of the step before
            first = torch.arange(self.batch, device=parents.device).unsqueeze(1) * previous
            parents = (parents + first).flatten()
            self.ancestors = [rows[parents] for rows in self.ancestors] + [parents]

    def _memory(self, layer: Layer, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross-attention keys [batch * heads, d_kv, width] and values [.., width, d_kv]."""
        batch, width, _ = states.shape
        kv = linear(states, layer.cross_kv).view(batch, width, 2, self.decoder.num_heads, -1)
        k, v = kv.unbind(2)
        k = k.permute(0, 2, 3, 1).flatten(0, 1).contiguous()
        return k, v.transpose(1, 2).flatten(0, 1).contiguous()

    def _cross_attention(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        heads = self.decoder.num_heads
        q = q.view(self.batch, -1, heads, v.shape[-1]).transpose(1, 2)
        q = q.flatten(0, 1)  # [batch * heads, beams, d_kv]
        scores = torch.baddbmm(self.bias, q, k)
        out = torch.bmm(scores.softmax(-1), v).unflatten(0, (self.batch, heads))
        return out.transpose(1, 2).reshape(-1, heads * v.shape[-1])

    def _self_attention(self, layer: Layer, x: torch.Tensor, past: list) -> torch.Tensor:
        """Each beam attends to its ancestors, at most one per level, and to itself."""
        heads = self.decoder.num_heads
        qkv = linear(x, layer.qkv).view(len(x), 3, heads, -1)
        q, own = qkv[:, 0], qkv[:, 1:]
        seen = [kv.index_select(0, rows) for kv, rows in zip(past, self.ancestors, strict=True)]
        seen.append(own)  # each [rows, 2, heads, d_kv], the earliest level first
        past.append(own)
        scores = torch.stack([torch.linalg.vecdot(q, kv[:, 0]) for kv in seen], 1)
        scores += self.decoder.bias[: len(seen)].flip(0)  # [rows, levels, heads]
        weights = scores.softmax(1).unsqueeze(-1)
        out = seen[0][:, 1] * weights[:, 0]
        for i, kv in enumerate(seen[1:], 1):
            out.addcmul_(kv[:, 1], weights[:, i])
        return out.flatten(1)


def _norm(x: torch.Tensor, eps: float) -> torch.Tensor:
    return F.rms_norm(x, x.shape[-1:], eps=eps)
