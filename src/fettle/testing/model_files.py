"""Model folders that look right and hold next to nothing; for tests of what reads models without running them."""

import json
from pathlib import Path
from typing import Any

CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 16,
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
}


def write_model_files(folder: Path, *, num_shards: int = 1, weights_bytes: int = 64, **config: Any) -> Path:
    """A folder with config.json, tokenizer.json and valid safetensors files; `config` replaces fields of `CONFIG`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG | config))
    (folder / "tokenizer.json").write_text("{}")
    shards = [f"model-{number + 1:05}-of-{num_shards:05}.safetensors" for number in range(num_shards)]
    names = shards if num_shards > 1 else ["model.safetensors"]
    for name in names:
        (folder / name).write_bytes(safetensors_of(name, weights_bytes))
    if num_shards > 1:
        weight_map = {f"weight.{name}": name for name in names}
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def safetensors_of(name: str, size_bytes: int) -> bytes:
    """A safetensors file with one tensor of that many bytes."""
    tensor = {"dtype": "U8", "shape": [size_bytes], "data_offsets": [0, size_bytes]}
    header = json.dumps({f"weight.{name}": tensor}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(index % 251 for index in range(size_bytes))
