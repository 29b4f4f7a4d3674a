"""Tiny random models and adapters as folders, made on the spot."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fettle.adapters.bank import AdapterBank
from fettle.adapters.files import save_adapter
from fettle.adapters.inject import inject
from fettle.adapters.kinds import KINDS
from fettle.adapters.start import start
from fettle.models.decoder import Decoder
from fettle.models.loading import load_decoder
from fettle.models.tokenizer import Tokenizer
from fettle.models.weights import SINGLE, write_weights
from fettle.testing.tokenizers import END, END_OF_TEXT, tiny_tokenizer
from fettle.types.decoder import decoder_config

ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-6,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
}


def tiny_model(folder: Path, family: str = "llama", *, seed: int = 0, **sizes: Any) -> Path:
    """Write a random model with a byte-level tokenizer, as `transformers` and Fettle load it, and return its folder.

    Args:
        folder: is made if it is not there.
        family: one of `ARCHITECTURES`.
        seed: of the weights.
        **sizes: fields of `config.json` that differ from `SIZES`.
    """
    tiny_tokenizer(folder)
    ids = {token["content"]: token["id"] for token in _tokenizer_json(folder)["added_tokens"]}
    hf = {"model_type": family, "architectures": [ARCHITECTURES[family]], "torch_dtype": "float32"} | SIZES
    hf |= {"vocab_size": vocab_size(folder), "eos_token_id": ids[END], "bos_token_id": ids[END_OF_TEXT]} | sizes
    # Families differ in what they assume when it is left out.
    hf.setdefault("head_dim", hf["hidden_size"] // hf["num_attention_heads"])
    (folder / "config.json").write_text(json.dumps(hf, indent=2) + "\n", encoding="utf-8")
    write_weights(folder / SINGLE, _random_weights(hf, seed))
    return folder


def tiny_adapter(folder: Path, kind: str, base: Path, seed: int, **settings: Any) -> Path:
    """Write an adapter for the model in `base` that changes what it says, as `fettle tune` would; returns its folder.

    Args:
        folder: is made if it is not there.
        kind: one of `KINDS`.
        base: a model folder, e.g. of `tiny_model`.
        seed: of the parameters.
        **settings: of the kind, e.g. `rank`.
    """
    decoder = load_decoder(base)
    inject(decoder, AdapterBank())
    adapter = start(decoder, kind, KINDS[kind].config(**settings), encode=Tokenizer.load(base).encode, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for value in adapter.named_parameters().values():
        value.data += 0.3 * torch.randn(value.shape, generator=generator)
    save_adapter(folder, adapter)
    (folder / "fettle.json").write_text(json.dumps({"prompt_format": "prompt"}), encoding="utf-8")
    return folder


def _random_weights(hf: dict[str, Any], seed: int) -> dict[str, torch.Tensor]:
    """Weights that keep the size of what flows through, so that the next token depends on all before it."""
    with torch.device("meta"):
        decoder = Decoder(decoder_config(hf))
    generator = torch.Generator().manual_seed(seed)
    return {
        name: _random(name, value, generator)
        for name, value in decoder.named_parameters()
        if not (name == "lm_head.weight" and hf["tie_word_embeddings"])
    }


def _random(name: str, like: nn.Parameter, generator: torch.Generator) -> torch.Tensor:
    noise = torch.randn(like.shape, generator=generator)
    if "norm" in name:
        return 1 + 0.1 * noise
    if like.dim() == 1:
        return 0.1 * noise
    return noise if "embed" in name else noise * (1.5 / like.shape[1] ** 0.5)


def vocab_size(folder: Path) -> int:
    """Of the tokenizer in a folder."""
    described = _tokenizer_json(folder)
    ids = [*described["model"]["vocab"].values(), *(token["id"] for token in described["added_tokens"])]
    return int(max(ids)) + 1


def _tokenizer_json(folder: Path) -> dict[str, Any]:
    described: dict[str, Any] = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    return described
