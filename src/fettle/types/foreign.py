"""The families that run through `transformers`' modules: how their `config.json` is read, and their linear layers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fettle.errors import UnsupportedModel

Windows = tuple[int | None, ...]
HF = Mapping[str, Any]


def _none(_: HF) -> Windows:
    return ()


@dataclass(frozen=True)
class Foreign:
    """What distinguishes a family from others that run this way.

    Attributes:
        linear: the last names of the linear layers inside its layers.
        ia3: those whose outputs IA3 multiplies, and, in the feed-forward part, `inputs`.
        inputs: of `ia3`, those whose inputs are multiplied.
        behind: those that a bottleneck adapter is put behind.
        windows: by layer, how far back a token sees; empty is without limit.
    """

    linear: tuple[str, ...]
    ia3: tuple[str, ...]
    inputs: tuple[str, ...]
    behind: tuple[str, ...]
    windows: Callable[[HF], Windows] = _none


def _everywhere(hf: HF) -> Windows:
    window = hf.get("sliding_window")
    return (window,) * hf["num_hidden_layers"] if window else ()


def _if_used(hf: HF) -> Windows:
    return _by_type(hf) if hf.get("use_sliding_window") else ()


def _by_type(hf: HF, full_every: int | None = None) -> Windows:
    """As `layer_types` says; where an older file has none, every so many layers see everything, or all do not."""
    window = hf.get("sliding_window")
    kinds = hf.get("layer_types") or _pattern(hf, full_every)
    return tuple(window if kind == "sliding_attention" else None for kind in kinds) if window else ()


def _pattern(hf: HF, full_every: int | None) -> list[str]:
    given = hf.get("sliding_window_pattern") or full_every
    # Some write the period out, e.g. 'LLLG'.
    every = len(given) if isinstance(given, str) else given
    numbers = range(1, hf["num_hidden_layers"] + 1)
    return ["sliding_attention" if not every or number % every else "full_attention" for number in numbers]


def _every(count: int) -> Callable[[HF], Windows]:
    return lambda hf: _by_type(hf, count)


_QKV = ("q_proj", "k_proj", "v_proj")
_LLAMA = Foreign((*_QKV, "o_proj", "gate_proj", "up_proj", "down_proj"), ("k_proj", "v_proj", "down_proj"),
                 ("down_proj",), ("o_proj", "down_proj"))  # fmt: skip


def _llama(windows: Callable[[HF], Windows]) -> Foreign:
    return Foreign(_LLAMA.linear, _LLAMA.ia3, _LLAMA.inputs, _LLAMA.behind, windows)


def _experts(windows: Callable[[HF], Windows] = _none) -> Foreign:
    """The experts are no linear layers but one tensor, so what is adapted is the attention."""
    return Foreign((*_QKV, "o_proj"), ("k_proj", "v_proj"), (), ("o_proj",), windows)


_GPT_NEOX = Foreign(("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"),
                    ("query_key_value", "dense_4h_to_h"), ("dense_4h_to_h",), ("dense_4h_to_h",))  # fmt: skip
_GPT2 = Foreign(("c_attn", "c_fc", "c_proj"), ("c_attn", "c_proj"), ("c_proj",), ("c_proj",))
_OPT = Foreign((*_QKV, "out_proj", "fc1", "fc2"), ("k_proj", "v_proj", "fc2"), ("fc2",), ("out_proj", "fc2"))
_PHI = Foreign((*_QKV, "dense", "fc1", "fc2"), ("k_proj", "v_proj", "fc2"), ("fc2",), ("dense", "fc2"))
_PHI3 = Foreign(("qkv_proj", "o_proj", "gate_up_proj", "down_proj"), ("qkv_proj", "down_proj"), ("down_proj",),
                ("o_proj", "down_proj"), _everywhere)  # fmt: skip
_STARCODER2 = Foreign((*_QKV, "o_proj", "c_fc", "c_proj"), ("k_proj", "v_proj", "c_proj"), ("c_proj",),
                      ("o_proj", "c_proj"), _everywhere)  # fmt: skip
_NEMOTRON = Foreign((*_QKV, "o_proj", "up_proj", "down_proj"), _LLAMA.ia3, _LLAMA.inputs, _LLAMA.behind)
_GLM = Foreign((*_QKV, "o_proj", "gate_up_proj", "down_proj"), _LLAMA.ia3, _LLAMA.inputs, _LLAMA.behind)

#: Adding a family is a line here and one in the parity test, which decides whether it holds.
FOREIGN: dict[str, Foreign] = {
    "apertus": _NEMOTRON,
    "arcee": _NEMOTRON,
    "cohere": _LLAMA,
    "cohere2": _llama(_every(4)),
    "ernie4_5": _LLAMA,
    "ernie4_5_moe": _experts(),
    "exaone4": _llama(_by_type),
    "flex_olmo": _experts(),
    "gemma": _LLAMA,
    "gemma2": _llama(_every(2)),
    "gemma3_text": _llama(_every(6)),
    "glm": _GLM,
    "glm4": _GLM,
    "glm4_moe": _experts(),
    "gpt2": _GPT2,
    "gpt_bigcode": _GPT2,
    "gpt_neox": _GPT_NEOX,
    "granite": _LLAMA,
    "granitemoe": _experts(),
    "granitemoeshared": _experts(),
    "hunyuan_v1_dense": _LLAMA,
    "hunyuan_v1_moe": _experts(),
    "minimax_m2": _experts(),
    "ministral": _llama(_by_type),
    "mixtral": _experts(_everywhere),
    "nanochat": Foreign((*_QKV, "o_proj", "fc1", "fc2"), ("k_proj", "v_proj", "fc2"), ("fc2",), ("o_proj", "fc2")),
    "nemotron": _NEMOTRON,
    "olmo": _LLAMA,
    "olmo2": _LLAMA,
    "olmo3": _llama(_every(4)),
    "olmoe": _experts(),
    "opt": _OPT,
    "persimmon": _GPT_NEOX,
    "phi": _PHI,
    "phi3": _PHI3,
    "phimoe": _experts(_everywhere),
    "qwen2_moe": _experts(_if_used),
    "qwen3_moe": _experts(lambda hf: _everywhere(hf) if hf.get("use_sliding_window") else ()),
    "seed_oss": _LLAMA,
    "smollm3": _llama(_if_used),
    "stablelm": _LLAMA,
    "starcoder2": _STARCODER2,
}

# The names that files of these families have for it, the usual one first.
_NAMES = {
    "vocab_size": ("vocab_size",),
    "hidden_size": ("hidden_size", "n_embd"),
    "num_layers": ("num_hidden_layers", "n_layer"),
    "num_heads": ("num_attention_heads", "n_head"),
    "max_positions": ("max_position_embeddings", "n_positions"),
}
_WIDE = ("intermediate_size", "ffn_dim", "n_inner")


def foreign_fields(hf: HF) -> dict[str, Any]:
    """The fields of a `DecoderConfig` from the `config.json` (as a dict) of a family in `FOREIGN`.

    Raises:
        UnsupportedModel: a needed key is missing, or it uses what neither way has; all of it is named.
    """
    found: dict[str, Any] = {
        ours: next((hf[name] for name in names if name in hf), None) for ours, names in _NAMES.items()
    }
    missing = [" or ".join(_NAMES[ours]) for ours, value in found.items() if value is None]
    if faults := [*(f"lacks {name}" for name in missing), *_faults(hf)]:
        raise UnsupportedModel("\n".join(f"config.json {fault}" for fault in faults), hint="Take another base model.")
    hidden, heads = found["hidden_size"], found["num_heads"]
    wide = next((hf[name] for name in _WIDE if hf.get(name)), 4 * hidden)
    return found | {
        "family": hf["model_type"],
        "intermediate_size": wide,
        "num_kv_heads": _num_kv_heads(hf, heads),
        "head_dim": hf.get("head_dim") or hidden // heads,
        "max_positions": min([found["max_positions"], *_steady_lengths(hf)]),
        "windows": FOREIGN[hf["model_type"]].windows({**hf, "num_hidden_layers": found["num_layers"]}),
        "tied_head": hf.get("tie_word_embeddings", False),
    }


def _num_kv_heads(hf: HF, heads: int) -> int:
    if hf["model_type"] == "gpt_bigcode":
        return 1 if hf.get("multi_query", True) else heads
    if hf["model_type"] in ("gpt2", "gpt_neox", "opt", "persimmon"):
        return heads
    return int(hf.get("num_key_value_heads") or heads)


def _faults(hf: HF) -> list[str]:
    faults = []
    if hf.get("attn_logit_softcapping", 50.0 if hf["model_type"] == "gemma2" else None):
        faults.append("caps the scores of attention (attn_logit_softcapping), which Fettle's attention does not")
    if hf.get("use_bidirectional_attention"):
        faults.append("lets tokens see later ones (use_bidirectional_attention), so it writes no text")
    if hf.get("word_embed_proj_dim") not in (None, hf.get("hidden_size")):
        faults.append("has embeddings of another width than its layers (word_embed_proj_dim)")
    if _is_long(hf) and not _steady_lengths(hf):
        faults.append("has rotary embeddings 'longrope' without original_max_position_embeddings")
    if hf.get("quantization_config"):
        faults.append("describes quantized weights (quantization_config); take the model in bf16 or float32")
    return faults


def _steady_lengths(hf: HF) -> list[int]:
    """Up to where positions mean the same in any batch.

    `longrope` turns all sequences of a batch otherwise as soon as one of them is longer.
    """
    name, ropes = "original_max_position_embeddings", _ropes(hf)
    return [int(given[name]) for given in (hf, *ropes) if given.get(name)] if _is_long(hf) else []


def _is_long(hf: HF) -> bool:
    return any((rope.get("rope_type") or rope.get("type")) in ("longrope", "su") for rope in _ropes(hf))


def _ropes(hf: HF) -> list[HF]:
    """What is said of rotary embeddings: once, or, in some families, for each type of layer."""
    given = hf.get("rope_parameters") or hf.get("rope_scaling") or {}
    return [part for part in given.values() if isinstance(part, Mapping)] or [given]
