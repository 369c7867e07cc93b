r"""
DiscRec
################################################

Reference:
    "DiscRec: Disentangled Semantic-Collaborative Modeling for Generative Recommendation."
    arXiv 2506.15576.
"""

from __future__ import annotations

import torch
from recbole.data.interaction import Interaction
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_genrec.decoding.trie import ItemTrie
from recbole_genrec.errors import refuse
from recbole_genrec.model.generative_recommender import TargetView
from recbole_genrec.model.kernels.dropout import dropout
from recbole_genrec.model.t5.generation import evaluating, generate
from recbole_genrec.model.t5.t5 import Encoded
from recbole_genrec.model.tiger import TIGER

EPSILON = 1e-8  # of the layer norms


class DiscRec(TIGER):
    """TIGER that reads each token in two views, of its meaning and of its item.

    Encoder and decoder have an embedding of their own (`TwoViews`) on top of the token embeddings
    that they share. On TIGER's semantic IDs it is the paper's DiscRec-T; with `tokenizer: LETTER`
    DiscRec-L.
    """

    @classmethod
    def check_config(cls, config) -> None:
        super().check_config(config)
        width, heads = config["d_model"], config["item_num_heads"]
        if width % heads:
            refuse("d_model", f"a multiple of item_num_heads [{heads}]", width)

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        sizes = config["d_model"], config["item_num_heads"], config["item_d_ff"]
        levels, rate = self.ids.num_levels, config["dropout_rate"]
        self.history_views = TwoViews(levels, *sizes, rate, causal=False)
        self.target_views = TwoViews(levels, *sizes, rate, causal=True)

    def history(self, interaction: Interaction) -> tuple[Tensor, Tensor]:
        items, lengths = self.history_items(interaction)
        distinct, rows = items.unique(return_inverse=True)  # the views of an item are its own
        views = self.units(self.history_views(self.t5.embedding(self.labels(distinct))))
        history = F.embedding(rows.to(views.device), views.flatten(1)).view(-1, self.t5.d_model)
        return history, lengths * self.tokens_per_item

    def embed_inputs(self, inputs: Tensor) -> Tensor:
        """Embeddings `[n, l, d_model]` of decoder inputs `[n, l]`."""
        return self.target_views(self.t5.embedding(inputs))

    def decode(self, memory: Encoded, inputs: Tensor, view: TargetView) -> Tensor:
        return self.t5.decode(memory, self.embed_inputs(inputs), *self.visible_tokens(view))

    def decode_without_history(self, inputs: Tensor) -> Tensor:
        return super().decode_without_history(self.embed_inputs(inputs))

    def recommend(
        self, interaction: Interaction, k: int, allowed: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        with evaluating(self):
            return super().recommend(interaction, k, allowed)

    def search(
        self, history: Tensor, lengths: Tensor, trie: ItemTrie, beams: int
    ) -> tuple[Tensor, Tensor]:
        return generate(
            self.t5, history, lengths, trie, beams, self.embed_inputs, existing=self.existing
        )


class TwoViews(nn.Module):
    r"""A semantic and a collaborative view of each token, mixed by a learned gate.

    The semantic view of a token is its embedding :math:`e`. The collaborative view comes of the
    tokens of the same item, each at its place l:

    .. math::
        q = \mathrm{LN}(e + p_l), \quad
        h = q + \mathrm{Attention}(q, e + p, e + p), \quad
        c = \mathrm{LN}(h) + \mathrm{FFN}(\mathrm{LN}(h))

    .. math::
        (\alpha_s, \alpha_c) = \mathrm{softmax}(w_s^\top e, w_c^\top c), \qquad
        \alpha_s e + \alpha_c c

    Args:
        levels: most tokens of an item.
        d_model, num_heads, d_ff, dropout_rate: widths, heads and dropout of the collaborative view.
        causal: whether a token sees itself and those before it only.
    """

    def __init__(
        self,
        levels: int,
        d_model: int,
        num_heads: int,
        d_ff: int,
        dropout_rate: float,
        causal: bool,
    ) -> None:
        super().__init__()
        self.num_heads, self.dropout_rate, self.causal = num_heads, dropout_rate, causal
        self.place = nn.Embedding(levels, d_model)
        self.query_norm = nn.LayerNorm(d_model, EPSILON)
        self.ff_norm = nn.LayerNorm(d_model, EPSILON)
        self.q = nn.Linear(d_model, d_model)
        self.kv = nn.Linear(d_model, 2 * d_model)
        self.wi, self.wo = nn.Linear(d_model, d_ff), nn.Linear(d_ff, d_model)
        self.gate = nn.Parameter(torch.randn(2, d_model))  # w_s, w_c
        for weight in (self.place.weight, self.q.weight, self.wi.weight, self.wo.weight):
            nn.init.xavier_normal_(weight)
        for weight in self.kv.weight.chunk(2):
            nn.init.xavier_normal_(weight)

    def forward(self, tokens: Tensor) -> Tensor:
        """Embeddings of the tokens of items `[n, l, d_model]` -> what the T5 reads of them."""
        collaborative = self.collaborative(tokens)
        views = torch.stack([tokens, collaborative], dim=2)  # [n, l, 2, d_model]
        shares = torch.linalg.vecdot(views, self.gate).softmax(-1)  # [n, l, 2]
        return torch.einsum("nlv,nlvd->nld", shares, views)

    def collaborative(self, tokens: Tensor) -> Tensor:
        """The second view `[n, l, d_model]`."""
        placed = tokens + self.place.weight[: tokens.shape[1]]
        query = self.query_norm(placed)
        keys, values = self.kv(placed).chunk(2, dim=-1)
        q, k, v = (self._split(x) for x in (self.q(query), keys, values))
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        normal = self.ff_norm(query + attended.transpose(1, 2).flatten(2))
        inner = dropout(F.relu(self.wi(normal)), self.dropout_rate, self.training)
        return normal + dropout(self.wo(inner), self.dropout_rate, self.training)

    def _split(self, x: Tensor) -> Tensor:
        """`[n, l, d_model]` -> `[n, num_heads, l, d_model / num_heads]`."""
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
