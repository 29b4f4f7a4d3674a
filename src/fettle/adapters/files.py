"""Adapters as files in PEFT's format: what is trained here loads in `peft`, and the other way round.

Bottleneck adapters are written in the same way, but `peft` has no such type.

A folder holds adapter_config.json and adapter_model.safetensors.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from fettle.adapters.adapter import Adapter, Params
from fettle.adapters.inject import layer_list, layer_number
from fettle.adapters.kinds import KINDS
from fettle.adapters.kinds.base import SiteConfig
from fettle.adapters.kinds.bottleneck import BottleneckConfig
from fettle.adapters.kinds.ia3 import IA3Config
from fettle.adapters.kinds.lora import LoRAConfig
from fettle.adapters.virtual_files import PREFIX, PROMPT, VirtualFormat
from fettle.errors import InvalidInput, UnsupportedModel

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."


@dataclass(frozen=True)
class Format:
    """How a kind with sites is written, as PEFT does where it knows it.

    Attributes:
        peft_type: its name there.
        suffixes: our parameter name -> end of the tensor's name.
        settings_to: our settings -> the fields of adapter_config.json.
        settings_from: the fields and the tensors' sites -> our settings.
        layers: the adapter -> the fields that say which layers it is on.
        refused: fields that change what is computed and are not supported, with the value that is fine.
    """

    peft_type: str
    suffixes: dict[str, str]
    settings_to: Callable[[Any], dict[str, Any]]
    settings_from: Callable[[dict[str, Any], tuple[str, ...]], dict[str, Any]]
    layers: Callable[[Adapter], dict[str, Any]]
    refused: dict[str, Any]

    def written(self, adapter: Adapter) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The fields of adapter_config.json, and the tensors."""
        assert isinstance(adapter.config, SiteConfig), "a kind with sites"
        fields = {"target_modules": list(adapter.config.target_modules), **self.settings_to(adapter.config)}
        return fields | self.layers(adapter), _to_peft(adapter, self.suffixes)

    def read(self, kind: str, fields: dict[str, Any], tensors: dict[str, Tensor], path: Path) -> Adapter:
        """The adapter; `path` is that of the tensors, for errors.

        Raises:
            InvalidInput: the fields are no settings of the kind.
            UnsupportedModel: a tensor is not understood.
        """
        raw = _from_peft(tensors, self.suffixes, path)
        leaves = tuple(sorted({site.rsplit(".", 1)[-1] for site in raw}))
        config = KINDS[kind].config.checked(self.settings_from(fields, leaves))
        return Adapter(kind, config, {site: _named(kind, config, site, params) for site, params in raw.items()})


def _write_lora(config: LoRAConfig) -> dict[str, Any]:
    return {
        "r": config.rank,
        "lora_alpha": config.alpha,
        "lora_dropout": config.dropout,
        "use_rslora": config.rank_stabilized,
        "use_dora": config.dora,
        "bias": "none",
        "fan_in_fan_out": False,
    }


def _layers(adapter: Adapter) -> dict[str, Any]:
    layers = sorted({number for site in adapter.sites if (number := layer_number(site)) is not None})
    if not layers:
        return {}
    return {"layers_to_transform": layers, "layers_pattern": layer_list(next(iter(adapter.sites)))}


def _read_lora(fields: dict[str, Any], leaves: tuple[str, ...]) -> dict[str, Any]:
    return {
        "rank": fields.get("r"),
        "alpha": fields.get("lora_alpha"),
        "dropout": fields.get("lora_dropout", 0.0),
        "rank_stabilized": fields.get("use_rslora", False),
        "dora": fields.get("use_dora", False),
        "target_modules": leaves,
    }


def _write_ia3(config: IA3Config) -> dict[str, Any]:
    return {"feedforward_modules": list(config.feedforward_modules), "fan_in_fan_out": False}


def _ia3_layers(adapter: Adapter) -> dict[str, Any]:
    """PEFT has no layer range for IA3, but it takes whole module names."""
    inputs = [site for site, params in adapter.sites.items() if "l_in" in params]
    return {"target_modules": list(adapter.sites), "feedforward_modules": inputs}


def _read_ia3(fields: dict[str, Any], leaves: tuple[str, ...]) -> dict[str, Any]:
    given = fields.get("feedforward_modules") or []
    # PEFT allows module paths here; what decides is the last name.
    inputs = {name.rsplit(".", 1)[-1] for name in ([given] if isinstance(given, str) else given)}
    return {"target_modules": leaves, "feedforward_modules": tuple(leaf for leaf in leaves if leaf in inputs)}


def _write_bottleneck(config: BottleneckConfig) -> dict[str, Any]:
    return {"size": config.size, "activation": config.activation}


def _read_bottleneck(fields: dict[str, Any], leaves: tuple[str, ...]) -> dict[str, Any]:
    return {"size": fields.get("size"), "activation": fields.get("activation"), "target_modules": leaves}


# Not fan_in_fan_out: it says how the frozen weight lies, and the adapter's own tensors lie the same way in both cases.
_LORA_REFUSED: dict[str, Any] = {
    "bias": "none",
    "rank_pattern": {},
    "alpha_pattern": {},
    "modules_to_save": None,
    "lora_bias": False,
    "trainable_token_indices": None,
}
_IA3_REFUSED: dict[str, Any] = {"modules_to_save": None}
_LORA_NAMES = {"a": "lora_A.weight", "b": "lora_B.weight", "m": "lora_magnitude_vector"}
_IA3_NAMES = {"l_in": "ia3_l", "l_out": "ia3_l"}
_BOTTLENECK_NAMES = {
    "down": "bottleneck_down.weight",
    "down_bias": "bottleneck_down.bias",
    "up": "bottleneck_up.weight",
    "up_bias": "bottleneck_up.bias",
}
FORMATS: dict[str, Format | VirtualFormat] = {
    "lora": Format("LORA", _LORA_NAMES, _write_lora, _read_lora, _layers, _LORA_REFUSED),
    "ia3": Format("IA3", _IA3_NAMES, _write_ia3, _read_ia3, _ia3_layers, _IA3_REFUSED),
    "bottleneck": Format("BOTTLENECK", _BOTTLENECK_NAMES, _write_bottleneck, _read_bottleneck, _layers, {}),
    "prompt": PROMPT,
    "prefix": PREFIX,
}


def save_adapter(folder: Path, adapter: Adapter, *, base: str = "") -> None:
    """Write an adapter; `base` is the base model's name for the record."""
    folder.mkdir(parents=True, exist_ok=True)
    form = FORMATS[adapter.kind]
    own, tensors = form.written(adapter)
    fields = {
        "peft_type": form.peft_type,
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "inference_mode": True,
        "modules_to_save": None,
        **own,
    }
    (folder / CONFIG).write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def load_adapter(folder: Path) -> Adapter:
    """Read an adapter that Fettle or `peft` has written.

    Raises:
        UnsupportedModel: a file is absent or damaged, or the adapter uses what is not supported; all of it is named.
    """
    fields, tensors = _read_files(folder)
    kinds = {form.peft_type: kind for kind, form in FORMATS.items()}
    kind = kinds.get(str(fields.get("peft_type")))
    if kind is None:
        raise UnsupportedModel(
            f"adapter type {fields.get('peft_type')!r} is not supported", hint=f"Supported: {', '.join(kinds)}."
        )
    form = FORMATS[kind]
    if wrong := [
        f"{key}={fields[key]!r}" for key, fine in form.refused.items() if fields.get(key) not in (None, fine, [])
    ]:
        raise UnsupportedModel(f"the adapter in {folder} uses what is not supported: {', '.join(wrong)}")
    try:
        return form.read(kind, fields, tensors, folder / WEIGHTS)
    except InvalidInput as error:
        raise UnsupportedModel(f"the settings in {folder / CONFIG} cannot be used: {error.message}") from error


def _read_files(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        return json.loads((folder / CONFIG).read_text(encoding="utf-8")), load_file(folder / WEIGHTS)
    except FileNotFoundError as error:
        hint = "An adapter folder holds adapter_config.json and adapter_model.safetensors."
        raise UnsupportedModel(f"{error.filename or folder} does not exist", hint=hint) from None
    except (ValueError, OSError, SafetensorError) as error:
        raise UnsupportedModel(f"the adapter in {folder} cannot be read: {error}") from error


def _to_peft(adapter: Adapter, suffixes: dict[str, str]) -> dict[str, Tensor]:
    return {
        f"{_PREFIX}{site}.{suffixes[name]}": _vector_to_peft(name, value.detach()).contiguous()
        for site, params in adapter.sites.items()
        for name, value in params.items()
    }


def _vector_to_peft(name: str, value: Tensor) -> Tensor:
    """PEFT keeps IA3's vectors as a row where they multiply inputs and as a column where they multiply outputs."""
    shapes = {"l_in": (1, -1), "l_out": (-1, 1)}
    return value.reshape(shapes[name]) if name in shapes else value


def _from_peft(tensors: dict[str, Tensor], suffixes: dict[str, str], path: Path) -> dict[str, Params]:
    sites: dict[str, Params] = {}
    names = {theirs: ours for ours, theirs in suffixes.items()}
    strays = []
    for key, value in tensors.items():
        suffix = next((s for s in names if key.endswith("." + s)), None)
        if suffix is None or not key.startswith(_PREFIX):
            strays.append(key)
            continue
        site = key.removeprefix(_PREFIX).removesuffix("." + suffix)
        sites.setdefault(site, {})[names[suffix]] = value
    if strays or not sites:
        raise UnsupportedModel(f"{path} holds tensors that are not understood: {', '.join(strays[:5]) or 'none'}")
    return sites


def _named(kind: str, config: Any, site: str, params: Params) -> Params:
    if kind != "ia3":
        return params
    name = "l_in" if site.rsplit(".", 1)[-1] in config.feedforward_modules else "l_out"
    (vector,) = params.values()
    return {name: vector.flatten()}
