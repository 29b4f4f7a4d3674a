"""A folder of a family that only `transformers` has (`config.json` + safetensors) to a `ForeignDecoder`, and back."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fettle.errors import UnsupportedModel
from fettle.models.attention import PackedAttention
from fettle.models.foreign import INTERFACE, ForeignDecoder, attention_interface
from fettle.models.weights import count_weights, refuse_misfits
from fettle.types.decoder import DecoderConfig


def load_foreign(folder: Path, config: DecoderConfig, *, dtype: torch.dtype, device: str = "cpu") -> ForeignDecoder:
    """The model of a folder, ready to run, in evaluation mode; no code of the folder is run, nothing is downloaded.

    Raises:
        UnsupportedModel: `transformers` is not installed, or the files are absent, damaged or do not fit.
    """
    count_weights(folder)
    if (folder / "adapter_config.json").exists():
        # For transformers that file would be a pointer to another model.
        raise UnsupportedModel(f"{folder} holds an adapter besides a model", hint="Take adapter_config.json out of it.")
    with _quiet(_package()) as package:
        model = _read(package, folder, dtype).to(device)
    transposed = _turn(model, package.pytorch_utils.Conv1D)
    decoder = ForeignDecoder(model.eval(), config, transposed).requires_grad_(False)
    _try(decoder, device)
    return decoder


def save_foreign(decoder: ForeignDecoder, folder: Path, *, dtype: torch.dtype) -> None:
    """Write the weights, named and laid as `transformers` has them in files, with its own description."""
    state = decoder.whole.state_dict()
    turned = {f"{name}.weight" for name in decoder.transposed}
    state = {name: (value.T if name in turned else value).to(dtype).contiguous() for name, value in state.items()}
    with _quiet(_package()):
        decoder.whole.save_pretrained(folder, state_dict=state, max_shard_size="1000TB")


def _package() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise UnsupportedModel(
            "a model of this family runs through the package transformers, which is not installed",
            hint="pip install 'fettle-ai[families]'",
        ) from error
    transformers.AttentionInterface.register(INTERFACE, attention_interface)
    return transformers


@contextmanager
def _quiet(package: Any) -> Iterator[Any]:
    """Inside, it draws no progress bars, and leaves it to us to tell what does not fit."""
    logs = package.utils.logging
    verbosity, had_bars = logs.get_verbosity(), logs.is_progress_bar_enabled()
    logs.set_verbosity_error()
    logs.disable_progress_bar()
    try:
        yield package
    finally:
        logs.set_verbosity(verbosity)
        if had_bars:
            logs.enable_progress_bar()


def _read(package: Any, folder: Path, dtype: torch.dtype) -> Any:
    try:
        model, found = package.AutoModelForCausalLM.from_pretrained(
            str(folder),
            dtype=dtype,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            attn_implementation=INTERFACE,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise UnsupportedModel(f"transformers cannot read {folder}: {error}") from error
    _refuse_misfits(folder, found)
    return model


def _refuse_misfits(folder: Path, found: Any) -> None:
    faults = [f"{name}: missing" for name in sorted(found["missing_keys"])]
    faults += [f"{name}: not part of the model" for name in sorted(found["unexpected_keys"])]
    faults += [
        f"{name}: shape {tuple(has)}, config.json says {tuple(needs)}" for name, has, needs in found["mismatched_keys"]
    ]
    refuse_misfits(folder, faults)


def _turn(model: nn.Module, conv: type[nn.Module]) -> frozenset[str]:
    """Put linear layers in the place of GPT-2's, which are the same with a transposed weight; returns their names."""
    names = [name for name, module in model.named_modules() if isinstance(module, conv)]
    for name in names:
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, _linear(model.get_submodule(name)))
    return frozenset(names)


def _linear(conv: Any) -> nn.Linear:
    inputs, outputs = conv.weight.shape
    made = nn.Linear(inputs, outputs, device="meta")
    made.weight, made.bias = nn.Parameter(conv.weight.data.T.contiguous()), conv.bias
    return made


@torch.no_grad()
def _try(decoder: ForeignDecoder, device: str) -> None:
    """Run two tokens, so that what a layer asks for and we do not have is told now."""
    tokens = torch.zeros(2, dtype=torch.long, device=device)
    decoder(tokens, torch.arange(2, device=device), PackedAttention([2], decoder.config.windows, device))
