"""Tiny random sentence encoders as folders, made on the spot."""

import json
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

from fettle.adapters.adapter import fresh
from fettle.adapters.bank import AdapterBank
from fettle.adapters.classifiers import ENCODER_LINEAR
from fettle.adapters.files import save_adapter
from fettle.adapters.inject import choose, inject
from fettle.adapters.kinds import KINDS
from fettle.models.encoder import Encoder
from fettle.models.encoder_files import load_encoder
from fettle.models.head import Head, save_head
from fettle.models.weights import SINGLE, write_weights
from fettle.types.encoder import encoder_config

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
}


def tiny_encoder(folder: Path, *, seed: int = 0, **sizes: Any) -> Path:
    """Write a random BERT that reads letter by letter, as `transformers` and Fettle load it, and return its folder.

    Args:
        folder: is made if it is not there.
        seed: of the weights.
        **sizes: fields of `config.json` that differ from `SIZES`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    vocab = _write_tokenizer(folder)
    hf = {"model_type": "bert", "architectures": ["BertModel"], "vocab_size": len(vocab)} | SIZES | sizes
    (folder / "config.json").write_text(json.dumps(hf, indent=2) + "\n", encoding="utf-8")
    with torch.device("meta"):
        encoder = Encoder(encoder_config(hf))
    generator = torch.Generator().manual_seed(seed)
    write_weights(folder / SINGLE, {n: _random(n, p.shape, generator) for n, p in encoder.named_parameters()})
    return folder


def tiny_classifier(
    folder: Path, base: Path, labels: Sequence[str], *, seed: int, kind: str | None = "lora", **settings: Any
) -> Path:
    """Write a tuned version of the encoder in `base`, as `fettle tune` would: a head, and an adapter; its folder.

    Args:
        folder: is made if it is not there.
        base: of `tiny_encoder`.
        labels: that it tells apart.
        seed: of the parameters.
        kind: one of `KINDS`; None writes a head alone.
        **settings: of the kind, e.g. `rank`.
    """
    encoder, generator = load_encoder(base), torch.Generator().manual_seed(seed)
    head = Head.fresh(encoder.config.hidden_size, labels, seed)
    head.classifier.weight.data.normal_(generator=generator)
    save_head(head, folder)
    if kind:
        config = KINDS[kind].config(**{"target_modules": ENCODER_LINEAR} | settings)
        sites = choose(inject(encoder, AdapterBank()), config.model_dump()["target_modules"])
        adapter = fresh(kind, config, sites, seed=seed)
        for value in adapter.named_parameters().values():
            value.data += 0.3 * torch.randn(value.shape, generator=generator)
        save_adapter(folder, adapter)
    about = {"prompt_format": "prompt", "kind": kind or "head", "labels": list(labels)}
    (folder / "fettle.json").write_text(json.dumps(about), encoding="utf-8")
    return folder


def _random(name: str, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """Weights that keep the size of what flows through, so that a text's vector depends on its words."""
    noise = torch.randn(shape, generator=generator)
    if len(shape) == 1:
        return (1.0 if name.endswith("LayerNorm.weight") else 0.0) + 0.1 * noise
    return noise if "embeddings" in name else noise * (1.5 / shape[1] ** 0.5)


def _write_tokenizer(folder: Path) -> dict[str, int]:
    letters = string.ascii_lowercase + string.digits + "!?.,'[]-"
    pieces = [*SPECIAL_TOKENS, *letters, *(f"##{letter}" for letter in letters)]
    vocab = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token=SPECIAL_TOKENS[1]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])]
    )
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]"}
    config = {"tokenizer_class": "BertTokenizer", "model_max_length": 64, **named, "mask_token": "[MASK]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    return vocab
