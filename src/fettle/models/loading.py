"""A model folder (Hugging Face `config.json` + safetensors) to a `Decoder`, and back."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import torch

from fettle.errors import UnsupportedModel
from fettle.models.decoder import Decoder
from fettle.models.weights import SINGLE, read_json, tensors, write_weights
from fettle.types.decoder import DecoderConfig, decoder_config

_HEAD, _EMBEDDINGS = "lm_head.weight", "model.embed_tokens.weight"


def read_config(folder: Path) -> DecoderConfig:
    """The architecture that a model folder's `config.json` describes.

    Raises:
        UnsupportedModel: it is absent, unreadable or of no supported family.
    """
    return decoder_config(read_json(folder / "config.json"))


def load_decoder(folder: Path, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Decoder:
    """The model of a folder, ready to run, in evaluation mode.

    Raises:
        UnsupportedModel: its files are absent, damaged, or do not fit its `config.json`; all misfits are named.
    """
    config = read_config(folder)
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


def refuse_misfits(folder: Path, faults: Iterable[str]) -> None:
    """Raise if there are faults.

    Raises:
        UnsupportedModel: there are; the first ten are named.
    """
    listed = list(faults)
    if listed:
        shown = "\n".join(f"  {fault}" for fault in listed[:10])
        more = f"\n  ... and {len(listed) - 10} more" if len(listed) > 10 else ""
        raise UnsupportedModel(f"the weights in {folder} do not fit its config.json:\n{shown}{more}")


def save_decoder(decoder: Decoder, folder: Path, *, like: Path, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write the model as a folder that `transformers` and Fettle load; config and tokenizer are those of `like`."""
    folder.mkdir(parents=True, exist_ok=True)
    copy_description(like, folder)
    config = read_json(like / "config.json") | {"torch_dtype": str(dtype).removeprefix("torch.")}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    state = {name: value.to(dtype) for name, value in decoder.named_parameters()}
    write_weights(folder / SINGLE, state)


def copy_description(source: Path, target: Path) -> None:
    """Copy everything of a model folder but its weights: tokenizer, template, generation settings, licence."""
    for path in sorted(source.iterdir()):
        if path.is_file() and (path.suffix in {".json", ".jinja", ".txt", ".model"}) and "safetensors" not in path.name:
            shutil.copyfile(path, target / path.name)
