"""Our packed transformer against GPT-2 of `transformers`, one history at a time."""

import torch
from transformers import GPT2Config, GPT2Model

from recbole_genrec.model.causal_transformer import Block, CausalTransformer

D, HEADS, INNER, LAYERS, LENGTH = 12, 3, 20, 2, 7


def gpt2_of(ours: CausalTransformer) -> GPT2Model:
    """GPT-2 with the weights of ours."""
    config = GPT2Config(
        vocab_size=1,
        n_positions=LENGTH,
        n_embd=D,
        n_layer=LAYERS,
        n_head=HEADS,
        n_inner=INNER,
        activation_function="gelu_new",
    )
    state = {"wpe.weight": ours.position.weight}
    state |= {f"ln_f.{name}": value for name, value in ours.norm.named_parameters()}
    for number, block in enumerate(ours.blocks):
        layers = {
            "ln_1": block.attention_norm,
            "attn.c_attn": block.qkv,
            "attn.c_proj": block.o,
            "ln_2": block.ff_norm,
            "mlp.c_fc": block.wi,
            "mlp.c_proj": block.wo,
        }
        for name, layer in layers.items():  # its linear layers are transposed
            state[f"h.{number}.{name}.weight"] = layer.weight.t()
            state[f"h.{number}.{name}.bias"] = layer.bias
    gpt2 = GPT2Model(config).eval()
    missing, unexpected = gpt2.load_state_dict(state, strict=False)
    assert missing == ["wte.weight"] and not unexpected
    return gpt2


def test_states_are_those_of_gpt2():
    ours = CausalTransformer(D, LAYERS, HEADS, INNER, LENGTH)
    for parameter in ours.parameters():  # biases too, which start at 0
        torch.nn.init.normal_(parameter, std=0.5)
    lengths = torch.tensor([3, 7, 1, 2, 5])
    vectors = torch.randn(int(lengths.sum()), D)
    with torch.no_grad():
        states = ours(vectors, lengths)
        gpt2 = gpt2_of(ours)
        expected = [
            gpt2(inputs_embeds=history.unsqueeze(0)).last_hidden_state[0]
            for history in vectors.split(lengths.tolist())
        ]
    torch.testing.assert_close(states, torch.cat(expected), atol=2e-5, rtol=1e-5)


def test_dropout_is_for_training_only():
    ours = CausalTransformer(D, LAYERS, HEADS, INNER, LENGTH, 0.5, 0.5, 0.5)
    vectors, lengths = torch.randn(4, D), torch.tensor([3, 1])
    assert not torch.equal(ours(vectors, lengths), ours(vectors, lengths))
    ours.eval()
    assert torch.equal(ours(vectors, lengths), ours(vectors, lengths))


@torch.no_grad()
def test_gates_let_all_half_or_nothing_through():
    """What a sub-layer adds is times a sigmoid: 1 and 0 at the ends, a half as it begins."""
    gated = CausalTransformer(D, LAYERS, HEADS, INNER, LENGTH, gated=True)
    plain = CausalTransformer(D, LAYERS, HEADS, INNER, LENGTH)
    plain.load_state_dict(gated.state_dict(), strict=False)
    vectors, lengths = torch.randn(9, D), torch.tensor([4, 5])
    gates = [gate for block in gated.blocks for gate in block.gates]
    assert len(gates) == 2 * LAYERS
    for bias, share in ((40.0, 1.0), (0.0, 0.5), (-40.0, 0.0)):
        for gate in gates:
            gate.bias.fill_(bias)
        for ours, theirs in zip(gated.blocks, plain.blocks, strict=True):
            for name in ("o", "wo"):
                whole, part = getattr(ours, name), getattr(theirs, name)
                part.weight.copy_(share * whole.weight)
                part.bias.copy_(share * whole.bias)
        expected = plain(vectors, lengths)
        torch.testing.assert_close(gated(vectors, lengths), expected, atol=1e-5, rtol=1e-5)
    gates[0].weight.normal_()
    gates[0].bias.zero_()
    x, bias = torch.randn(1, 3, D), torch.zeros(HEADS, 3, 3)
    block = gated.blocks[0]
    whole = Block(D, HEADS, INNER, 0.0, 0.0, gated=False)
    whole.load_state_dict(block.state_dict(), strict=False)
    block.gates[1].bias.fill_(-40.0)
    whole.wo.weight.zero_()
    whole.wo.bias.zero_()
    share = torch.sigmoid(gates[0](block.attention_norm(x)))
    torch.testing.assert_close(block(x, bias) - x, share * (whole(x, bias) - x))


@torch.no_grad()
def test_a_filter_of_what_has_been_so_far():
    """Beside the attention, by hand over the items of two histories in one row."""
    x, bias = torch.randn(1, 5, D), torch.full((5, 5), -30_000.0)
    for first, end in ((0, 3), (3, 5)):
        bias[first:end, first:end] = torch.full((end - first, end - first), -30_000.0).triu(1)
    block = Block(D, HEADS, INNER, 0.0, 0.0, gated=False, filter_weight=0.3)
    block.wo.weight.zero_(), block.wo.bias.zero_()
    normed, filtered = block.attention_norm(x)[0], []
    for item, first in enumerate([0, 0, 0, 3, 3]):
        mean = sum(normed[first : item + 1]) / (item + 1 - first)
        filtered.append(mean + block.filter.beta**2 * (normed[item] - mean))
    mixed = block(x, bias.expand(HEADS, -1, -1)) - x
    block.filter = None
    attended = block(x, bias.expand(HEADS, -1, -1)) - x
    expected = 0.7 * attended + 0.3 * torch.stack(filtered)
    torch.testing.assert_close(mixed, expected, atol=1e-5, rtol=1e-5)
