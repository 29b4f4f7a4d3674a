"""The shape of a causal language model, and how each family's Hugging Face `config.json` is read into it."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import Field

from fettle.errors import UnsupportedModel
from fettle.types.foreign import FOREIGN, foreign_fields
from fettle.types.record import Record

Activation = Literal["silu", "gelu", "gelu_tanh"]
_ACTIVATIONS: dict[str, Activation] = {
    "silu": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
}


class Rope(Record):
    """Rotary position embedding: `theta` and, for long contexts, how frequencies are stretched."""

    type: Literal["default", "linear", "llama3"] = "default"
    theta: float = 10_000.0
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_positions: int = 8192


class DecoderConfig(Record):
    """All that distinguishes one causal language model's architecture from another's."""

    family: str
    vocab_size: int = Field(ge=1)
    hidden_size: int = Field(ge=1)
    intermediate_size: int = Field(ge=1)
    num_layers: int = Field(ge=1)
    num_heads: int = Field(ge=1)
    num_kv_heads: int = Field(ge=1)
    head_dim: int = Field(ge=1)
    max_positions: int = Field(ge=1)
    norm_eps: float = 1e-6
    activation: Activation = "silu"
    rope: Rope = Rope()
    windows: tuple[int | None, ...] = Field(default=(), description="per layer, how far back a token sees; None is all")
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    tied_head: bool = False
    eos_token_ids: tuple[int, ...] = ()
    num_weights: int | None = Field(default=None, description="counted in the files; None computes it from the rest")

    @property
    def is_foreign(self) -> bool:
        """Whether it runs through `transformers`' modules; activation, rope and biases are then theirs to know."""
        return self.family in FOREIGN

    def window(self, layer: int) -> int | None:
        """How many positions back (itself included) a token of this layer sees; None is no limit."""
        return self.windows[layer] if self.windows else None

    @property
    def num_parameters(self) -> int:
        """Weights of the whole model; a tied head is counted once."""
        if self.num_weights is not None:
            return self.num_weights
        return (
            (2 - self.tied_head) * self.vocab_size * self.hidden_size
            + self.num_layers * self._per_layer
            + self.hidden_size
        )

    @property
    def _per_layer(self) -> int:
        hidden, wide = self.hidden_size, self.intermediate_size
        q, kv = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        weights = hidden * (2 * q + 2 * kv) + 3 * hidden * wide + 2 * hidden
        biases = self.qkv_bias * (q + 2 * kv) + self.output_bias * hidden + self.mlp_bias * (2 * wide + hidden)
        return weights + biases + self.qk_norm * 2 * self.head_dim


def _llama(hf: Mapping[str, Any]) -> dict[str, Any]:
    bias = hf.get("attention_bias", False)
    return {"qkv_bias": bias, "output_bias": bias, "mlp_bias": hf.get("mlp_bias", False)}


def _mistral(hf: Mapping[str, Any]) -> dict[str, Any]:
    window = hf.get("sliding_window")
    return {"windows": (window,) * hf["num_hidden_layers"] if window else ()}


def _qwen2(hf: Mapping[str, Any]) -> dict[str, Any]:
    return {"qkv_bias": True, "windows": _qwen_windows(hf)}


def _qwen3(hf: Mapping[str, Any]) -> dict[str, Any]:
    bias = hf.get("attention_bias", False)
    return {"qkv_bias": bias, "output_bias": bias, "qk_norm": True, "windows": _qwen_windows(hf)}


def _qwen_windows(hf: Mapping[str, Any]) -> tuple[int | None, ...]:
    if not hf.get("use_sliding_window") or not hf.get("sliding_window"):
        return ()
    layers, first = hf["num_hidden_layers"], hf.get("max_window_layers", 28)
    kinds = hf.get("layer_types") or ["sliding_attention" if i >= first else "full_attention" for i in range(layers)]
    return tuple(hf["sliding_window"] if kind == "sliding_attention" else None for kind in kinds)


# A family is what its config.json says differently; adding one is a function and a line here, and a parity test.
FAMILIES = {"llama": _llama, "mistral": _mistral, "qwen2": _qwen2, "qwen3": _qwen3}
#: Every family of causal language models, whichever way it runs.
DECODERS = (*FAMILIES, *FOREIGN)
#: Families that are asked for, and why they do not run.
REFUSED = {
    "gpt_oss": "its attention has sinks",
    **dict.fromkeys(("bloom", "falcon", "gptj", "mpt"), "its attention in transformers cannot be replaced"),
}
# The values that transformers uses when the file leaves them out.
_DEFAULT_THETA = {"llama": 10_000.0, "mistral": 10_000.0, "qwen2": 10_000.0, "qwen3": 10_000.0}


def decoder_config(hf: Mapping[str, Any]) -> DecoderConfig:
    """Read a Hugging Face `config.json` (as a dict) of any supported family.

    Raises:
        UnsupportedModel: the family, activation or rotary variant is not supported, or a needed key is missing.
    """
    family = str(hf.get("model_type"))
    if family in FOREIGN:
        return DecoderConfig.checked(foreign_fields(hf) | {"eos_token_ids": _as_tuple(hf.get("eos_token_id"))})
    if family not in FAMILIES:
        raise unsupported(family, DECODERS)
    needed = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    if missing := [key for key in needed if key not in hf]:
        raise UnsupportedModel(f"config.json lacks {', '.join(missing)}", hint="Is the model folder complete?")
    return DecoderConfig.checked(_common(hf, family) | FAMILIES[family](hf))


def unsupported(family: str, known: Iterable[str]) -> UnsupportedModel:
    """The error for a family that Fettle cannot run; `known` are those that it can."""
    reason = f": {REFUSED[family]}" if family in REFUSED else ""
    message = f"model type {family!r} is not supported{reason}"
    return UnsupportedModel(message, hint=f"Supported: {', '.join(known)}.", param="model_type")


def _common(hf: Mapping[str, Any], family: str) -> dict[str, Any]:
    heads = hf["num_attention_heads"]
    return {
        "family": family,
        "vocab_size": hf["vocab_size"],
        "hidden_size": hf["hidden_size"],
        "intermediate_size": hf["intermediate_size"],
        "num_layers": hf["num_hidden_layers"],
        "num_heads": heads,
        "num_kv_heads": hf.get("num_key_value_heads") or heads,
        "head_dim": hf.get("head_dim") or hf["hidden_size"] // heads,
        "max_positions": hf.get("max_position_embeddings", 2048),
        "norm_eps": hf.get("rms_norm_eps", 1e-6),
        "activation": _activation(hf.get("hidden_act", "silu")),
        "rope": _rope(hf, family),
        "tied_head": hf.get("tie_word_embeddings", False),
        "eos_token_ids": _as_tuple(hf.get("eos_token_id")),
    }


def _activation(name: str) -> Activation:
    if name not in _ACTIVATIONS:
        raise UnsupportedModel(f"activation {name!r} is not supported", hint=f"Supported: {', '.join(_ACTIVATIONS)}.")
    return _ACTIVATIONS[name]


def _rope(hf: Mapping[str, Any], family: str) -> Rope:
    # transformers 5 writes `rope_parameters`; earlier versions `rope_theta` and `rope_scaling`.
    given = dict(hf.get("rope_parameters") or hf.get("rope_scaling") or {})
    kind = given.get("rope_type") or given.get("type") or "default"
    if kind not in ("default", "linear", "llama3"):
        raise UnsupportedModel(
            f"rotary embedding {kind!r} is not supported", hint="Supported: default, linear, llama3."
        )
    keys = {"factor": "factor", "low_freq_factor": "low_freq_factor", "high_freq_factor": "high_freq_factor"}
    values = {ours: given[theirs] for ours, theirs in keys.items() if theirs in given}
    theta = given.get("rope_theta") or hf.get("rope_theta") or _DEFAULT_THETA[family]
    original = given.get("original_max_position_embeddings", 8192)
    return Rope.checked({"type": kind, "theta": theta, "original_max_positions": original, **values})


def _as_tuple(value: Any) -> tuple[int, ...]:
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list | tuple) else (value,)
