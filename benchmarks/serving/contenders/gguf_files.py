"""A Llama and its LoRA adapters from Hugging Face's files to GGUF, as llama.cpp's own converters write them.

Shapes: O outputs, I inputs, D size of a head.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, TokenType
from gguf.quants import quantize
from safetensors.numpy import load_file

TYPES = {"float32": GGMLQuantizationType.F32, "bfloat16": GGMLQuantizationType.BF16}
#: Hugging Face's name of a layer's part -> llama.cpp's.
PARTS = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
WHOLE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
#: Heads of the parts whose outputs are turned by the position, by their name in config.json.
TURNED = {"attn_q": "num_attention_heads", "attn_k": "num_key_value_heads"}


def write_model(folder: Path, path: Path, dtype: str) -> Path:
    """Write the model in a folder as one file; its tokens get made-up names, as prompts come as ids."""
    config = _config(folder)
    writer = GGUFWriter(path, "llama")
    _write_shape(writer, config)
    _write_tokens(writer, config["vocab_size"])
    for name, value in load_file(folder / "model.safetensors").items():
        own = _own_name(name.removesuffix(".weight"))
        _add(writer, f"{own}.weight", _reordered(own, value, config), dtype)
    return _closed(writer, path)


def write_adapter(base: Path, folder: Path, path: Path, dtype: str) -> Path:
    """Write the LoRA adapter in a folder, made for the model in `base`, as one file."""
    config, settings = _config(base), json.loads((folder / "adapter_config.json").read_text())
    writer = GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(settings["lora_alpha"]))
    for name, value in load_file(folder / "adapter_model.safetensors").items():
        site, factor = name.removeprefix("base_model.model.").removesuffix(".weight").rsplit(".lora_", 1)
        own = _own_name(site)
        _add(
            writer,
            f"{own}.weight.lora_{factor.lower()}",
            value if factor == "A" else _reordered(own, value, config),
            dtype,
        )
    return _closed(writer, path)


def _config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return config


def _own_name(name: str) -> str:
    if name in WHOLE:
        return WHOLE[name]
    layer, part = name.removeprefix("model.layers.").split(".", 1)
    return f"blk.{layer}.{PARTS[part]}"


def _reordered(own: str, value_OI: np.ndarray, config: dict[str, Any]) -> np.ndarray:
    """The rows of each head as llama.cpp turns them: neighbours in pairs, not halves."""
    heads = TURNED.get(own.rsplit(".", 1)[-1])
    if heads is None:
        return value_OI
    halves_HDI = value_OI.reshape(config[heads], 2, -1, value_OI.shape[1])
    return np.ascontiguousarray(halves_HDI.swapaxes(1, 2)).reshape(value_OI.shape)


def _write_shape(writer: GGUFWriter, config: dict[str, Any]) -> None:
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config.get("rope_theta", 10000.0))
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_vocab_size(config["vocab_size"])


def _write_tokens(writer: GGUFWriter, count: int) -> None:
    control, bytes_ = ["<unk>", "<s>", "</s>"], [f"<0x{byte:02X}>" for byte in range(256)]
    words = [f"t{number}" for number in range(count - len(control) - len(bytes_))]
    kinds = [TokenType.CONTROL] * len(control) + [TokenType.BYTE] * len(bytes_) + [TokenType.NORMAL] * len(words)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([*control, *bytes_, *words])
    writer.add_token_scores([0.0] * count)
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


def _add(writer: GGUFWriter, name: str, value: np.ndarray, dtype: str) -> None:
    kind = TYPES[dtype if value.ndim > 1 else "float32"]
    writer.add_tensor(name, quantize(value.astype(np.float32), kind), raw_dtype=kind)


def _closed(writer: GGUFWriter, path: Path) -> Path:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
