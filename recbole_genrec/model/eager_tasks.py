"""What EAGER learns beside the codes: the global contrast and the semantic-guided transfer."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_genrec.loss.contrast import sampled_info_nce
from recbole_genrec.model.causal_transformer import STD
from recbole_genrec.model.code_tree import CodeTree


class GlobalContrast(nn.Module):
    r"""The state of a summary token after the codes of an item finds the vector of that item.

    .. math::
        - \log \frac{\exp(\cos(W s, z_i) / \tau)}
            {\sum_{j \in N \cup \{i\}} \exp(\cos(W s, z_j) / \tau)}

    where z are the embeddings that the codes were made from, and N are random items.

    Args:
        d_model: width of the states.
        embeddings: z of all items `[n_items, d]`, row 0 is padding.
        negatives: number of random items.
        temperature: tau.
    """

    embeddings: Tensor

    def __init__(
        self, d_model: int, embeddings: Tensor, negatives: int, temperature: float
    ) -> None:
        super().__init__()
        self.negatives, self.temperature = negatives, temperature
        unit = F.normalize(embeddings.float(), dim=-1)
        self.register_buffer("embeddings", unit, persistent=False)
        self.token = nn.Parameter(STD * torch.randn(d_model))
        self.projection = nn.Linear(d_model, embeddings.shape[1])

    def forward(self, projected: Tensor, items: Tensor) -> Tensor:
        """The loss of projected states `[n, d]` of items `[n]`."""
        order = torch.randperm(len(self.embeddings) - 1, device=projected.device)
        negatives = order[: self.negatives] + 1
        return sampled_info_nce(projected, items, self.embeddings, negatives, self.temperature)


class SemanticTransfer(nn.Module):
    r"""Codes of behavior, restored and recognized by a decoder that the text stream guides.

    One layer reads :math:`(p_0, e_{v_1} + p_1, \dots, e_{v_L} + p_L)` and looks at the guide, the
    projected summary of the text stream, which it does not train.

    reconstruction  one code is masked; the state in its place picks it among its siblings.
    recognition     from the state of the first place: are the codes those of the item, or is one of
                    them another one?

    Args:
        tree: of the codes of behavior.
        d_model, num_heads: of the layer and the vectors of the nodes.
        guide_dim: width of the guide.
    """

    def __init__(self, tree: CodeTree, d_model: int, num_heads: int, guide_dim: int) -> None:
        super().__init__()
        levels = tree.num_levels
        self.guide = nn.Linear(guide_dim, d_model)
        self.place = nn.Parameter(STD * torch.randn(levels + 1, d_model))
        self.mask = nn.Parameter(torch.zeros(d_model))
        self.layer = nn.TransformerDecoderLayer(
            d_model, num_heads, 2 * d_model, dropout=0.0, batch_first=True
        )
        self.recognized = nn.Linear(d_model, 1)

    def states(self, codes: Tensor, guide: Tensor) -> Tensor:
        """States `[n, L + 1, d_model]` of vectors of codes `[n, L, d_model]`."""
        memory = self.guide(guide.detach()).unsqueeze(1)
        return self.layer(F.pad(codes, (0, 0, 1, 0)) + self.place, memory)

    def reconstruction(
        self, tree: CodeTree, vectors: Tensor, nodes: Tensor, guide: Tensor, masked: Tensor
    ) -> Tensor:
        """The loss of the masked codes; the vectors that are picked from are not trained by it.

        Args:
            tree: the nodes.
            vectors: of all nodes `[n_nodes, d_model]`.
            nodes: path of each item `[n, L + 1]`.
            guide: `[n, guide_dim]`.
            masked: the level of the masked code of each item, from 0 `[n]`.
        """
        rows = torch.arange(len(nodes), device=nodes.device)
        codes = F.embedding(nodes[:, 1:], vectors)
        place = torch.arange(codes.shape[1], device=nodes.device)
        hidden = (place == masked.unsqueeze(1)).unsqueeze(-1)
        states = self.states(torch.where(hidden, self.mask.to(codes), codes), guide)
        parents, own = nodes[rows, masked], nodes[rows, masked + 1]
        logits = tree.logits(states[rows, masked + 1], parents, vectors.detach())
        return F.cross_entropy(logits.float(), own - tree.first[parents])

    def recognition(self, vectors: Tensor, nodes: Tensor, false: Tensor, guide: Tensor) -> Tensor:
        """The loss of telling the paths of items `[n, L + 1]` from `false` ones, as many."""
        found = []
        for path in (nodes, false):
            codes = F.embedding(path[:, 1:], vectors)
            found.append(self.recognized(self.states(codes, guide)[:, 0]).squeeze(-1).float())
        true, other = found
        return (F.softplus(-true).mean() + F.softplus(other).mean()) / 2


def corrupted(tree: CodeTree, nodes: Tensor, level: Tensor) -> Tensor:
    """Paths `[n, L + 1]` with another random node of the same level in place of one.

    Args:
        tree: the nodes.
        nodes: `[n, L + 1]`.
        level: of the node that is replaced, from 0 for the first code `[n]`.
    """
    place = level + 1
    start, others = tree.level_start[place], tree.level_size[place] - 1
    own = nodes.gather(1, place.unsqueeze(1)).squeeze(1) - start
    other = (torch.rand(len(nodes), device=nodes.device) * others).long().clamp_max(others - 1)
    other = (other + (other >= own)).clamp(0).minimum(others)  # passes over the own node
    return nodes.scatter(1, place.unsqueeze(1), (start + other).unsqueeze(1))
