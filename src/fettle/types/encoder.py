"""The shape of a sentence encoder, read from Hugging Face's `config.json`; and which kind of model a folder holds."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from fettle.errors import UnsupportedModel
from fettle.types.decoder import DECODERS, Activation, DecoderConfig, decoder_config, unsupported
from fettle.types.record import Record

#: Families that read a text as a whole and write none: they give vectors, and with a head, classes.
ENCODER_FAMILIES = ("bert",)
_ACTIVATIONS: dict[str, Activation] = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}
_NEEDED = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")


class EncoderConfig(Record):
    """All that distinguishes one BERT from another."""

    family: str = "bert"
    vocab_size: int = Field(ge=1)
    hidden_size: int = Field(ge=1)
    intermediate_size: int = Field(ge=1)
    num_layers: int = Field(ge=1)
    num_heads: int = Field(ge=1)
    max_positions: int = Field(default=512, ge=1)
    num_token_types: int = Field(default=2, ge=1)
    norm_eps: float = 1e-12
    activation: Activation = "gelu"

    @property
    def num_parameters(self) -> int:
        """Weights of the embeddings and layers; heads of other tasks, which are not read, are not counted."""
        hidden, wide = self.hidden_size, self.intermediate_size
        embeddings = (self.vocab_size + self.max_positions + self.num_token_types + 2) * hidden
        per_layer = 4 * hidden * (hidden + 1) + hidden * (wide + 1) + wide * (hidden + 1) + 4 * hidden
        return embeddings + self.num_layers * per_layer


def encoder_config(hf: Mapping[str, Any]) -> EncoderConfig:
    """Read a `config.json` (as a dict) of a supported encoder.

    Raises:
        UnsupportedModel: it uses what is not supported, or a needed key is missing; all of it is named.
    """
    faults = [f"lacks {key}" for key in _NEEDED if key not in hf]
    positions, activation = hf.get("position_embedding_type", "absolute"), str(hf.get("hidden_act", "gelu"))
    faults += [] if positions == "absolute" else [f"has position embeddings {positions!r}; supported: absolute"]
    if activation not in _ACTIVATIONS:
        faults.append(f"has activation {activation!r}; supported: {', '.join(_ACTIVATIONS)}")
    if faults:
        raise UnsupportedModel("\n".join(f"config.json {fault}" for fault in faults), hint="Take another base model.")
    return EncoderConfig(
        vocab_size=hf["vocab_size"],
        hidden_size=hf["hidden_size"],
        intermediate_size=hf["intermediate_size"],
        num_layers=hf["num_hidden_layers"],
        num_heads=hf["num_attention_heads"],
        max_positions=hf.get("max_position_embeddings", 512),
        num_token_types=hf.get("type_vocab_size", 2),
        norm_eps=hf.get("layer_norm_eps", 1e-12),
        activation=_ACTIVATIONS[activation],
    )


def model_config(hf: Mapping[str, Any]) -> DecoderConfig | EncoderConfig:
    """Read a `config.json` (as a dict) of any supported family.

    Raises:
        UnsupportedModel: the family is not supported, or the file says what cannot be done.
    """
    family = str(hf.get("model_type"))
    if family in ENCODER_FAMILIES:
        return encoder_config(hf)
    if family not in DECODERS:
        raise unsupported(family, (*DECODERS, *ENCODER_FAMILIES))
    return decoder_config(hf)
