"""The way of T5 weights from and to `transformers`."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

SHARED_OPTIONS = (  # of our T5, by the names that a T5Config of `transformers` has for them
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


def options_of(hf_model: Any) -> dict[str, Any]:
    """The options of our T5 for a `transformers` one.

    Raises:
        ValueError: hf_model is not a T5 v1.0 with tied embeddings.
    """
    config = hf_model.config
    scaled = getattr(config, "scale_decoder_outputs", config.tie_word_embeddings)  # newer, older
    if config.feed_forward_proj != "relu" or not scaled:
        raise ValueError(
            "only T5 v1.0 (feed_forward_proj 'relu', tied embeddings) can be converted, got "
            f"{config.feed_forward_proj!r}, tied and scaled: {scaled}"
        )
    return {name: getattr(config, name) for name in SHARED_OPTIONS}


def stacked(hf_model: nn.Module, t5: nn.Module) -> dict[str, torch.Tensor]:
    """The state dict of our T5 with the weights of a `transformers` one."""
    theirs = hf_model.state_dict()
    return {
        name: torch.cat([theirs[source] for source in sources])
        for name, sources in names(t5).items()
    }


def to_transformers(t5: Any) -> nn.Module:
    """A `transformers.T5ForConditionalGeneration` in evaluation mode with the weights of ours."""
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        **t5.options,
        feed_forward_proj="relu",
        pad_token_id=0,
        decoder_start_token_id=0,
        eos_token_id=None,
    )
    hf_model = T5ForConditionalGeneration(config)
    ours, theirs = t5.state_dict(), hf_model.state_dict()
    for name, targets in names(t5).items():
        for target, part in zip(targets, ours[name].chunk(len(targets)), strict=True):
            theirs[target].copy_(part)
    return hf_model.eval().to(t5.embedding.weight.device)


def names(t5: nn.Module) -> dict[str, list[str]]:
    """Our parameter -> the parameters of `transformers` that it stacks."""
    found = {"embedding.weight": ["shared.weight"]}
    for stack in ("encoder", "decoder"):
        found[f"{stack}_norm.weight"] = [f"{stack}.final_layer_norm.weight"]
        relative = "block.0.layer.0.SelfAttention.relative_attention_bias"
        found[f"{stack}_bias.weight"] = [f"{stack}.{relative}.weight"]
        for i in range(len(getattr(t5, stack))):
            block = _block_names(cross=stack == "decoder")
            for name, sources in block.items():
                hf_names = [f"{stack}.block.{i}.layer.{source}.weight" for source in sources]
                found[f"{stack}.{i}.{name}.weight"] = hf_names
    return found


def _block_names(cross: bool) -> dict[str, list[str]]:
    attentions = [("self", "SelfAttention")] + [("cross", "EncDecAttention")] * cross
    found = {}
    for layer, (kind, theirs) in enumerate(attentions):
        found[f"{kind}_norm"] = [f"{layer}.layer_norm"]
        found[f"{kind}_attention.qkv"] = [f"{layer}.{theirs}.{part}" for part in "qkv"]
        found[f"{kind}_attention.o"] = [f"{layer}.{theirs}.o"]
    layer = len(attentions)
    found["ff_norm"] = [f"{layer}.layer_norm"]
    found["wi"] = [f"{layer}.DenseReluDense.wi"]
    found["wo"] = [f"{layer}.DenseReluDense.wo"]
    return found
