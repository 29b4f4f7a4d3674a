"""Tiny random models of the families that run through `transformers`, written by itself; and adapters for them."""

from pathlib import Path
from typing import Any

import torch

from fettle.adapters.foreign_methods import TARGETS
from fettle.models.loading import read_config
from fettle.testing.models import tiny_adapter, vocab_size
from fettle.testing.tokenizers import tiny_tokenizer
from fettle.types.foreign import FOREIGN

SIZES: dict[str, Any] = {
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": None,
    "eos_token_id": 1,
    "pad_token_id": None,
}
_GPT2 = {"n_embd": 48, "n_layer": 4, "n_head": 4, "n_positions": 256, "eos_token_id": 1}
_EXPERTS = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
_HEADS = {"head_dim": 16}
# Windows are shorter than the tests' texts; scales and caps are far from 1.
_WINDOW = {"sliding_window": 5}
_MIXED = {"layer_types": ["sliding_attention", "full_attention"] * 2}
#: By family, what its `config.json` has besides the sizes.
VARIANTS: dict[str, dict[str, Any]] = {
    "apertus": {"rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0}},
    "arcee": {},
    "cohere": {"logit_scale": 0.5},
    "cohere2": _WINDOW | {"logit_scale": 0.5},
    "ernie4_5": _HEADS,
    "ernie4_5_moe": _HEADS | {"moe_num_experts": 4, "moe_k": 2},
    "exaone4": _WINDOW | _MIXED,
    "flex_olmo": _EXPERTS,
    "gemma": _HEADS,
    "gemma2": _HEADS | _WINDOW | {"attn_logit_softcapping": None, "final_logit_softcapping": 3.0},
    "gemma3_text": _HEADS | _WINDOW | _MIXED | {"query_pre_attn_scalar": 9},
    "glm": _HEADS,
    "glm4": _HEADS,
    "glm4_moe": _HEADS | _EXPERTS | {"n_routed_experts": 4, "first_k_dense_replace": 1},
    "gpt2": _GPT2,
    "gpt_bigcode": _GPT2,
    "gpt_neox": {},
    "granite": {"attention_multiplier": 0.2, "logits_scaling": 3.0, "embedding_multiplier": 2.0},
    "granitemoe": _EXPERTS | {"attention_multiplier": 0.2, "logits_scaling": 3.0},
    "granitemoeshared": _EXPERTS,
    "hunyuan_v1_dense": _HEADS,
    "hunyuan_v1_moe": _HEADS | _EXPERTS,
    "minimax_m2": _HEADS | _EXPERTS,
    "ministral": _HEADS | _WINDOW | _MIXED,
    "mixtral": _EXPERTS | _WINDOW,
    "nanochat": {},
    "nemotron": {},
    "olmo": {},
    "olmo2": {},
    "olmo3": _WINDOW,
    "olmoe": _EXPERTS,
    "opt": {"ffn_dim": 80, "word_embed_proj_dim": 48},
    "persimmon": {},
    "phi": {"hidden_size": 64},
    "phi3": _WINDOW,
    "phimoe": _EXPERTS | _WINDOW,
    "qwen2_moe": _EXPERTS | {"shared_expert_intermediate_size": 40},
    "qwen3_moe": _EXPERTS,
    "seed_oss": _HEADS,
    "smollm3": {},
    "stablelm": {"hidden_size": 64},
    "starcoder2": _WINDOW,
}


def foreign_model(folder: Path, family: str, *, seed: int = 0, **changes: Any) -> Path:
    """Write a random model of a family in `VARIANTS` with a byte-level tokenizer, and return its folder.

    Args:
        folder: is made if it is not there.
        family: the `model_type`.
        seed: of the weights.
        **changes: fields of `config.json` that differ.
    """
    import transformers

    tiny_tokenizer(folder)
    sizes = {} if "n_embd" in VARIANTS[family] else SIZES
    fields = sizes | {"vocab_size": vocab_size(folder)} | VARIANTS[family] | changes
    config = transformers.AutoConfig.for_model(family, **fields)
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():  # norms and biases start as ones and zeros, which would hide mistakes
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    return folder


def foreign_adapter(folder: Path, kind: str, base: Path, seed: int) -> Path:
    """As `tiny_adapter`, at the layers that the family's methods adapt."""
    family, settings = FOREIGN[read_config(base).family], {}
    if kind in TARGETS:
        settings = TARGETS[kind](family, {})
    return tiny_adapter(folder, kind, base, seed, **settings)
