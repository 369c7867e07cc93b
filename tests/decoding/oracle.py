"""Slow and plain counterparts of the decoder, and random catalogues to compare on."""

import itertools

import torch
from hypothesis import strategies as st


def random_tokens(num_items: int, sizes: list[int], seed: int) -> torch.Tensor:
    """[n_items + 1, levels] distinct random tokens with per-level offsets; row 0 is padding."""
    codes = list(itertools.product(*(range(size) for size in sizes)))
    chosen = torch.randperm(len(codes), generator=torch.Generator().manual_seed(seed))[:num_items]
    offsets = torch.tensor([0, *sizes[:-1]]).cumsum(0) + 1
    tokens = torch.tensor(codes)[chosen] + offsets
    return torch.cat([torch.zeros(1, len(sizes), dtype=torch.long), tokens])


@st.composite
def catalogues(draw) -> torch.Tensor:
    """Tokens of random catalogues: 1 to 5 levels, chains and single items among them."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    most = torch.tensor(sizes).prod().item()
    return random_tokens(draw(st.integers(1, min(most, 60))), sizes, draw(st.integers(0, 99)))


class PrefixModel:
    """Random logits that depend on the user and on every token of the prefix."""

    def __init__(self, num_users: int, vocab_size: int, seed: int, levels: int = 0):
        """With levels > 0 logits take only so many values: many exact ties."""
        generator = torch.Generator().manual_seed(seed)
        self.table = torch.randn(1009, vocab_size, generator=generator) * 2
        if levels:
            self.table = (self.table * 0).add_(
                torch.randint(levels, (1009, 1), generator=generator)
            )
        self.num_users = num_users

    def logits(self, user: torch.Tensor, prefix: torch.Tensor) -> torch.Tensor:
        """user [...], prefix [..., l] -> [..., vocab]."""
        row = user * 31 + 7
        for token in prefix.unbind(-1):
            row = (row * 37 + token + 1) % 1009
        return self.table[row]

    def step(self):
        """The callback of beam_search: it follows the beams' prefixes."""
        prefix = torch.zeros(self.num_users, 1, 0, dtype=torch.long)

        def step(tokens: torch.Tensor, parents: torch.Tensor) -> torch.Tensor:
            nonlocal prefix
            kept = prefix.gather(1, parents.unsqueeze(-1).expand(-1, -1, prefix.shape[-1]))
            prefix = torch.cat([kept, tokens.unsqueeze(-1)], -1)
            users = torch.arange(self.num_users).unsqueeze(1).expand(tokens.shape)
            return self.logits(users, prefix[..., 1:])

        return step

    def score(self, user: int, tokens: torch.Tensor) -> float:
        """Log-likelihood of a whole or partial semantic ID; float32, so that ties stay ties."""
        total = torch.zeros(())
        for level in range(len(tokens)):
            logits = self.logits(torch.tensor(user), tokens[:level])
            total = total + logits.log_softmax(-1)[tokens[level]]
        return float(total)


def slow_beam_search(score, tokens: torch.Tensor, beam_size: int) -> list[tuple[int, float]]:
    """(item, score) of one user, best first: beams as Python tuples, one prefix at a time.

    `score(prefix)` is the log-likelihood of a prefix; equal ones go in the order of the prefix.
    """
    item_of = {tuple(row): item for item, row in enumerate(tokens.tolist()) if item}
    beams = [()]
    for level in range(tokens.shape[1]):
        prefixes = {row[: level + 1] for row in item_of}
        candidates = sorted(prefix for prefix in prefixes if prefix[:-1] in beams)
        beams = sorted(candidates, key=lambda prefix: -score(prefix))[:beam_size]
    return [(item_of[beam], score(beam)) for beam in beams]
