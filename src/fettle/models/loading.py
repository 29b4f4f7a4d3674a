"""A model folder (Hugging Face `config.json` + safetensors) to a `Decoder`, and back."""

import json
import shutil
from pathlib import Path

import torch

from fettle.models.decoder import Decoder
from fettle.models.foreign import ForeignDecoder
from fettle.models.foreign_files import load_foreign, save_foreign
from fettle.models.weights import SINGLE, count_weights, read_json, refuse_misfits, tensors, write_weights
from fettle.types.decoder import DecoderConfig, decoder_config

_HEAD, _EMBEDDINGS = "lm_head.weight", "model.embed_tokens.weight"


def read_config(folder: Path) -> DecoderConfig:
    """The architecture that a model folder's `config.json` describes.

    Raises:
        UnsupportedModel: it is absent, unreadable or of no supported family.
    """
    config = decoder_config(read_json(folder / "config.json"))
    return config.model_copy(update={"num_weights": count_weights(folder)}) if config.is_foreign else config


def load_decoder(folder: Path, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Decoder:
    """The model of a folder, ready to run, in evaluation mode.

    Raises:
        UnsupportedModel: its files are absent, damaged, or do not fit its `config.json`; all misfits are named.
    """
    config = read_config(folder)
    if config.is_foreign:
        return load_foreign(folder, config, dtype=dtype, device=device)
    with torch.device("meta"):
        decoder = Decoder(config)
    decoder.to_empty(device=device).to(dtype)
    decoder.tie()
    # The angles are no weights: to_empty() has wiped them and a low-precision copy would be wrong.
    decoder.model.inverse_frequencies = Decoder(_tiny(config)).model.inverse_frequencies.to(device)
    _fill(decoder, folder)
    return decoder.eval().requires_grad_(False)


def _tiny(config: DecoderConfig) -> DecoderConfig:
    return config.model_copy(update={"vocab_size": 1, "num_layers": 1, "intermediate_size": 1, "windows": ()})


def _fill(decoder: Decoder, folder: Path) -> None:
    wanted = dict(decoder.named_parameters())
    faults, seen = [], set()
    for name, value in tensors(folder):
        if name == _HEAD and decoder.config.tied_head:
            continue
        target = wanted.get(name)
        if target is None:
            faults += [] if name.endswith("rotary_emb.inv_freq") else [f"{name}: not part of a {decoder.config.family}"]
        elif target.shape != value.shape:
            faults.append(f"{name}: shape {tuple(value.shape)}, config.json says {tuple(target.shape)}")
        else:
            target.data.copy_(value)
            seen.add(name)
    faults += [f"{name}: missing" for name in wanted if name not in seen and not any(name in f for f in faults)]
    refuse_misfits(folder, faults)


def save_decoder(decoder: Decoder, folder: Path, *, like: Path, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write the model as a folder that `transformers` and Fettle load; config and tokenizer are those of `like`."""
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(decoder, ForeignDecoder):
        save_foreign(decoder, folder, dtype=dtype)
    else:
        write_weights(folder / SINGLE, {name: value.to(dtype) for name, value in decoder.named_parameters()})
    copy_description(like, folder)
    config = read_json(like / "config.json") | {"torch_dtype": str(dtype).removeprefix("torch.")}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def copy_description(source: Path, target: Path) -> None:
    """Copy everything of a model folder but its weights: tokenizer, template, generation settings, licence."""
    for path in sorted(source.iterdir()):
        if path.is_file() and (path.suffix in {".json", ".jinja", ".txt", ".model"}) and "safetensors" not in path.name:
            shutil.copyfile(path, target / path.name)
