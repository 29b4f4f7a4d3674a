"""The decoder computes what `transformers` computes, on tiny random models of every family."""

import json
from pathlib import Path

import pytest
import torch
import transformers

from fettle.errors import UnsupportedModel
from fettle.models.attention import PackedAttention
from fettle.models.decoder import Decoder
from fettle.models.loading import load_decoder, save_decoder
from fettle.types.decoder import FAMILIES

SIZES = {
    "vocab_size": 101,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
    "rope_theta": 500.0,
}
LINEAR = {"rope_type": "linear", "factor": 4.0, "rope_theta": 10_000.0}
VARIANTS = {
    "llama": ("Llama", {}),
    "llama tied, biased": ("Llama", {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True}),
    "llama with stretched rotary": ("Llama", {"rope_parameters": LLAMA3}),
    "llama with linear rotary": ("Llama", {"rope_parameters": LINEAR}),
    "llama with wide heads": ("Llama", {"head_dim": 20}),
    "mistral": ("Mistral", {"sliding_window": None}),
    "mistral with a window": ("Mistral", {"sliding_window": 5}),
    "qwen2": ("Qwen2", {}),
    "qwen2 with windows on top": ("Qwen2", {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1}),
    "qwen3": ("Qwen3", {"head_dim": 16}),
    "qwen3 tied": ("Qwen3", {"head_dim": 16, "tie_word_embeddings": True}),
}


def theirs(folder: Path, variant: str, **save: object) -> transformers.PreTrainedModel:
    name, extra = VARIANTS[variant]
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**SIZES | extra)
    model = getattr(transformers, f"{name}ForCausalLM")(config).eval()
    for parameter in model.parameters():  # norms and biases start as ones and zeros, which would hide mistakes
        parameter.data += 0.3 * torch.randn_like(parameter)
    model.save_pretrained(folder, **save)
    return model


def documents(*lengths: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(0, SIZES["vocab_size"], (length,), generator=generator) for length in lengths]


@torch.no_grad()
def ours(decoder: Decoder, rows: list[torch.Tensor], **kwargs: object) -> torch.Tensor:
    lengths = [len(row) for row in rows]
    positions = torch.cat([torch.arange(length) for length in lengths])
    return decoder(torch.cat(rows), positions, PackedAttention(lengths, decoder.config.windows), **kwargs)


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_equal_those_of_transformers_for_packed_rows(variant, tmp_path):
    model = theirs(tmp_path, variant)
    rows = documents(20, 7, 19, 1, 12)

    logits = ours(load_decoder(tmp_path), rows)

    with torch.no_grad():
        expected = torch.cat([model(input_ids=row[None]).logits[0] for row in rows])
    assert (logits - expected).abs().max() < 1e-4


def test_every_family_has_a_variant():
    assert {variant.split()[0] for variant in VARIANTS} == set(FAMILIES)


def test_sharded_weights_are_read(tmp_path):
    theirs(tmp_path / "whole", "llama")
    theirs(tmp_path / "shards", "llama", max_shard_size="60KB")
    rows = documents(9)

    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    assert torch.equal(ours(load_decoder(tmp_path / "shards"), rows), ours(load_decoder(tmp_path / "whole"), rows))


def test_the_head_runs_only_where_it_is_asked(tmp_path):
    theirs(tmp_path, "llama")
    decoder, rows = load_decoder(tmp_path), documents(5, 6)
    at = torch.tensor([4, 10])

    torch.testing.assert_close(ours(decoder, rows, at_N=at), ours(decoder, rows)[at])


def test_a_document_does_not_see_its_neighbours(tmp_path):
    theirs(tmp_path, "mistral with a window")
    decoder = load_decoder(tmp_path)
    first, second, other = documents(8, 11, 8)

    together = ours(decoder, [first, second])[8:]

    torch.testing.assert_close(together, ours(decoder, [other, second])[8:], rtol=0, atol=1e-6)


@pytest.mark.parametrize("variant", ["llama tied, biased", "qwen3"])
def test_a_saved_model_loads_in_transformers(variant, tmp_path):
    theirs(tmp_path / "theirs", variant)
    decoder = load_decoder(tmp_path / "theirs")
    save_decoder(decoder, tmp_path / "ours", like=tmp_path / "theirs", dtype=torch.float32)

    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours", dtype=torch.float32)

    (row,) = documents(13)
    with torch.no_grad():
        assert (model(input_ids=row[None]).logits[0] - ours(decoder, [row])).abs().max() < 1e-4


def test_the_configuration_counts_the_parameters(tmp_path):
    for number, variant in enumerate(VARIANTS):
        theirs(tmp_path / str(number), variant)
        decoder = load_decoder(tmp_path / str(number))
        assert decoder.config.num_parameters == sum(p.numel() for p in decoder.parameters()), variant


def edited(folder: Path, **changes: object) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "mamba"}, "'mamba' is not supported"),
        ({"hidden_act": "swoosh"}, "'swoosh' is not supported"),
        ({"rope_parameters": {"rope_type": "longrope"}}, "'longrope' is not supported"),
        ({"num_hidden_layers": 4}, r"model\.layers\.3\.\S+: missing"),
        ({"num_hidden_layers": 2}, "not part of a llama"),
        ({"intermediate_size": 81}, "shape"),
    ],
)
def test_what_does_not_fit_is_named(changes, words, tmp_path):
    theirs(tmp_path, "llama")
    with pytest.raises(UnsupportedModel, match=words):
        load_decoder(edited(tmp_path, **changes))


def test_damaged_and_absent_files_are_named(tmp_path):
    with pytest.raises(UnsupportedModel, match=r"config\.json does not exist"):
        load_decoder(tmp_path)
    theirs(tmp_path, "llama")
    (tmp_path / "model.safetensors").write_bytes(b"not a tensor")
    with pytest.raises(UnsupportedModel, match="is damaged"):
        load_decoder(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(UnsupportedModel, match="does not exist"):
        load_decoder(tmp_path)
