"""Random small T5s and batches of histories, and the padded `transformers` form of them."""

from dataclasses import dataclass

import torch
from hypothesis import strategies as st

from recbole_genrec.model.t5.t5 import T5

VOCAB = 40


@dataclass
class Batch:
    """Histories [total_tokens, 16] with their lengths, one target [L] each."""

    history: torch.Tensor
    lengths: torch.Tensor
    targets: torch.Tensor

    @property
    def inputs(self) -> torch.Tensor:
        return torch.nn.functional.pad(self.targets[:, :-1], (1, 0))

    def padded(self) -> dict:
        """The arguments of `transformers` T5 for the same batch."""
        histories = self.history.split(self.lengths.tolist())
        width = int(self.lengths.max())
        return {
            "inputs_embeds": torch.nn.utils.rnn.pad_sequence(histories, batch_first=True),
            "attention_mask": (torch.arange(width) < self.lengths.unsqueeze(1)).long(),
            "decoder_input_ids": self.inputs,
        }


def make_t5(seed: int = 0, **options) -> T5:
    """A small T5 whose every parameter, norms included, is off its initial value."""
    torch.manual_seed(seed)
    sizes = {"d_model": 16, "d_ff": 24, "num_heads": 2, "d_kv": 6, "dropout_rate": 0.0}
    depth = {"num_layers": 2, "num_decoder_layers": 3}
    t5 = T5(VOCAB, **(sizes | depth | options)).eval()
    with torch.no_grad():
        for parameter in t5.parameters():
            scale = parameter.std().item() or 1.0  # norms and biases start all alike
            parameter += 0.2 * scale * torch.randn_like(parameter)
    return t5


def log_likelihood(t5: T5, history: torch.Tensor, lengths: torch.Tensor, targets: torch.Tensor):
    """Log-probability [batch] of each history's target tokens [batch, L]."""
    inputs = torch.nn.functional.pad(targets[:, :-1], (1, 0))
    log_probs = t5(history, lengths, inputs).log_softmax(-1)
    return log_probs.gather(-1, targets.unsqueeze(-1)).sum((1, 2))


def make_batch(lengths: list[int], levels: int, seed: int = 0) -> Batch:
    torch.manual_seed(seed)
    return Batch(
        torch.randn(sum(lengths), 16),
        torch.tensor(lengths),
        torch.randint(1, VOCAB, (len(lengths), levels)),
    )


@st.composite
def batches(draw) -> Batch:
    """1 to 12 histories of 1 to 20 items, often of one or of all; 1 to 5 levels."""
    levels = draw(st.integers(1, 5))
    items = draw(st.lists(st.sampled_from([1, 1, 2, 3, 5, 9, 19, 20, 20]), min_size=1, max_size=12))
    return make_batch([n * levels for n in items], levels, draw(st.integers(0, 99)))
