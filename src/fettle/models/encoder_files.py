"""A folder of a sentence encoder (`config.json` + safetensors) to an `Encoder`, and back."""

import json
from pathlib import Path

import torch

from fettle.errors import UnsupportedModel
from fettle.models.encoder import Encoder
from fettle.models.loading import copy_description
from fettle.models.weights import SINGLE, read_json, refuse_misfits, tensors, write_weights
from fettle.types.encoder import ENCODER_FAMILIES, EncoderConfig, encoder_config

#: In the files of a BERT: what belongs to other tasks.
_OTHERS = ("pooler.", "cls.", "classifier.", "dropout.", "embeddings.position_ids")
_OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}


def is_encoder(folder: Path) -> bool:
    """Whether a model folder holds a sentence encoder.

    Raises:
        UnsupportedModel: its `config.json` is absent or unreadable.
    """
    return read_json(folder / "config.json").get("model_type") in ENCODER_FAMILIES


def read_encoder_config(folder: Path) -> EncoderConfig:
    """The architecture that the folder's `config.json` describes.

    Raises:
        UnsupportedModel: it is absent, unreadable or not supported, or the encoder pools otherwise than by the mean.
    """
    pooling = folder / "1_Pooling" / "config.json"
    if pooling.is_file() and not read_json(pooling).get("pooling_mode_mean_tokens"):
        raise UnsupportedModel(f"{pooling} says how vectors are made; only the mean over tokens is supported")
    return encoder_config(read_json(folder / "config.json"))


def load_encoder(folder: Path, *, dtype: torch.dtype = torch.float32) -> Encoder:
    """The encoder of a folder, ready to run, in evaluation mode.

    Raises:
        UnsupportedModel: its files are absent, damaged, or do not fit its `config.json`; all misfits are named.
    """
    with torch.device("meta"):
        encoder = Encoder(read_encoder_config(folder))
    encoder.to_empty(device="cpu").to(dtype)
    _fill(encoder, folder)
    return encoder.eval().requires_grad_(False)


def save_encoder(encoder: Encoder, folder: Path, *, like: Path) -> None:
    """Write the encoder as a folder that `transformers` and Fettle load; config and tokenizer are those of `like`."""
    folder.mkdir(parents=True, exist_ok=True)
    copy_description(like, folder)
    config = read_json(like / "config.json") | {"architectures": ["BertModel"], "torch_dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    # Not bf16, as decoders: an encoder is served in float32, and what was validated shall be what is served.
    write_weights(folder / SINGLE, {name: value.float() for name, value in encoder.named_parameters()})


def _fill(encoder: Encoder, folder: Path) -> None:
    wanted, faults, seen = dict(encoder.named_parameters()), [], set[str]()
    for name, value in tensors(folder):
        target = wanted.get(ours := _our_name(name))
        if target is None:
            faults += [] if ours.startswith(_OTHERS) else [f"{name}: not part of a bert"]
        elif target.shape != value.shape:
            faults.append(f"{name}: shape {tuple(value.shape)}, config.json says {tuple(target.shape)}")
        else:
            target.data.copy_(value)
        seen.add(ours)
    faults += [f"{name}: missing" for name in wanted if name not in seen]
    refuse_misfits(folder, faults)


def _our_name(name: str) -> str:
    name = name.removeprefix("bert.")
    old = next((old for old in _OLD_NAMES if name.endswith(old)), None)
    return name.removesuffix(old) + _OLD_NAMES[old] if old else name
