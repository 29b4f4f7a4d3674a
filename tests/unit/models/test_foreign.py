"""Families that only `transformers` has compute what `transformers` computes, in packed rows."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from fettle.adapters.bank import AdapterBank
from fettle.adapters.inject import inject
from fettle.errors import UnsupportedModel
from fettle.models.attention import PackedAttention
from fettle.models.decoder import Decoder
from fettle.models.loading import load_decoder, save_decoder
from fettle.testing.foreign import VARIANTS, foreign_model
from fettle.types.decoder import decoder_config
from fettle.types.foreign import FOREIGN


def theirs(folder: Path) -> transformers.PreTrainedModel:
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")


def documents(*lengths: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(0, 256, (length,), generator=generator) for length in lengths]


@torch.no_grad()
def ours(decoder: Decoder, rows: list[torch.Tensor]) -> torch.Tensor:
    return decoder(*packed(decoder, rows))


def packed(decoder: Decoder, rows: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, PackedAttention]:
    lengths = [len(row) for row in rows]
    positions = torch.cat([torch.arange(length) for length in lengths])
    return torch.cat(rows), positions, PackedAttention(lengths, decoder.config.windows)


@torch.no_grad()
def alone(model: transformers.PreTrainedModel, rows: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat([model(input_ids=row[None]).logits[0] for row in rows])


@pytest.mark.parametrize("family", FOREIGN)
def test_logits_equal_those_of_transformers_for_packed_rows(family, tmp_path):
    folder, rows = foreign_model(tmp_path, family), documents(20, 7, 19, 1, 12)

    logits = ours(load_decoder(folder), rows)

    expected = alone(theirs(folder), rows)
    assert expected.std() > 0.05, "logits that are all alike would hide mistakes"
    assert (logits - expected).abs().max() < 1e-4


@pytest.mark.parametrize("family", FOREIGN)
def test_the_table_names_linear_layers_that_there_are(family, tmp_path):
    leaves = {site.leaf for site in inject(load_decoder(foreign_model(tmp_path, family)), AdapterBank())}
    named = FOREIGN[family]
    assert {*named.linear, *named.ia3, *named.behind} <= leaves
    assert {*named.inputs} <= {*named.ia3}
    # Where experts share their inputs with other layers, those can be named; they are not adapted by default.
    assert leaves == {*named.linear} or named.linear[-1] == "o_proj"


ROPES = {
    "linear": {"factor": 4.0},
    "dynamic": {"factor": 4.0},
    "yarn": {"factor": 4.0, "original_max_position_embeddings": 64},
    "longrope": {
        "short_factor": [1.0, 1.3, 1.7, 2.0, 2.2, 2.5],
        "long_factor": [3.0, 4.0, 5.0, 6.0, 7.0, 8.0],
        "original_max_position_embeddings": 64,
    },
}


@pytest.mark.parametrize("kind", ROPES)
def test_stretched_positions_are_those_of_transformers(kind, tmp_path):
    rope = {"rope_type": kind, "rope_theta": 10_000.0, "partial_rotary_factor": 1.0} | ROPES[kind]
    # Phi-3 has the length at two places, and the outer one counts.
    long = {"original_max_position_embeddings": 64} if kind == "longrope" else {}
    folder = foreign_model(tmp_path, "phi3" if long else "granite", rope_parameters=rope, **long)
    decoder = load_decoder(folder)
    rows = documents(decoder.config.max_positions, 7)

    assert (ours(decoder, rows) - alone(theirs(folder), rows)).abs().max() < 1e-4
    assert decoder.config.max_positions == (64 if kind == "longrope" else 256)


@pytest.mark.parametrize("family", ["cohere2", "gemma2", "gemma3_text", "olmo3"])
def test_older_files_that_name_no_types_of_layers_are_read_as_transformers_reads_them(family, tmp_path):
    folder = foreign_model(tmp_path, family, num_hidden_layers=7, layer_types=None)
    path = folder / "config.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "layer_types"}))
    decoder, rows = load_decoder(folder), documents(20, 7)

    assert (ours(decoder, rows) - alone(theirs(folder), rows)).abs().max() < 1e-4
    assert set(decoder.config.windows) == {5, None}


def test_windows_that_are_written_out_are_read():
    fields = {"model_type": "exaone4", "vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 5}
    fields |= {"num_attention_heads": 2, "max_position_embeddings": 32, "sliding_window": 6}
    assert decoder_config(fields | {"sliding_window_pattern": "LLLG"}).windows == (6, 6, 6, None, 6)


def test_every_family_has_a_variant():
    assert VARIANTS.keys() == FOREIGN.keys()


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "granite", "mixtral", "opt"])
def test_a_model_can_be_entered_between_two_layers(family, tmp_path):
    decoder = load_decoder(foreign_model(tmp_path, family))
    tokens, positions, attention = packed(decoder, documents(9, 4))
    with torch.no_grad():
        stream = decoder.below(2, tokens, positions, attention)
        states = decoder.above(2, stream, positions, attention)

        assert (states - decoder.hidden(tokens, positions, attention)).abs().max() < 1e-6


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "gemma", "mixtral", "phi3", "qwen3_moe"])
def test_a_saved_model_loads_in_transformers_and_here(family, tmp_path):
    folder, rows = foreign_model(tmp_path / "theirs", family), documents(13)
    decoder = load_decoder(folder)
    for value in decoder.parameters():
        value.data *= 1.01
    save_decoder(decoder, tmp_path / "ours", like=folder, dtype=torch.float32)

    logits = ours(decoder, rows)

    assert (alone(theirs(tmp_path / "ours"), rows) - logits).abs().max() < 1e-4
    assert (ours(load_decoder(tmp_path / "ours"), rows) - logits).abs().max() < 1e-4


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "mixtral"])
def test_the_files_tell_the_number_of_weights(family, tmp_path):
    decoder = load_decoder(foreign_model(tmp_path, family))
    assert decoder.config.num_parameters == sum(value.numel() for value in decoder.parameters())


def edited(folder: Path, **changes: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


@pytest.mark.parametrize(
    ("family", "changes", "words"),
    [
        ("gemma2", {"attn_logit_softcapping": 50.0}, "attn_logit_softcapping"),
        ("gemma3_text", {"use_bidirectional_attention": True}, "use_bidirectional_attention"),
        ("phi3", {"rope_parameters": {"rope_type": "longrope"}, "original_max_position_embeddings": None}, "longrope"),
        ("opt", {"word_embed_proj_dim": 32}, "word_embed_proj_dim"),
        ("phi3", {"num_key_value_heads": 4}, r"shape|missing"),
        ("gpt_neox", {"num_hidden_layers": 5}, r"gpt_neox\.layers\.4\.\S+: missing"),
        ("gpt_neox", {"num_hidden_layers": 3}, "not part of the model"),
        ("gpt_neox", {"intermediate_size": 81}, "shape"),
        ("gpt_neox", {"quantization_config": {"quant_method": "fp8"}}, "quantization_config"),
        ("gpt_neox", {"hidden_size": None, "vocab_size": None}, "(?s)vocab_size.*hidden_size"),
        ("gpt_neox", {"model_type": "gpt_oss"}, "sinks"),
        ("gpt_neox", {"model_type": "falcon"}, "cannot be replaced"),
    ],
)
def test_what_does_not_fit_is_named(family, changes, words, tmp_path):
    folder = foreign_model(tmp_path, family)
    with pytest.raises(UnsupportedModel, match=words):
        load_decoder(edited(folder, **changes))


def test_damaged_and_absent_files_are_named(tmp_path):
    folder = foreign_model(tmp_path, "gpt_neox")
    (folder / "model.safetensors").write_bytes(b"not a tensor")
    with pytest.raises(UnsupportedModel, match="is damaged"):
        load_decoder(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(UnsupportedModel, match="does not exist"):
        load_decoder(folder)


def test_nothing_of_the_folder_is_run_and_no_other_model_is_followed(tmp_path):
    folder = foreign_model(tmp_path / "base", "gpt_neox")
    trap = tmp_path / "was run"
    (folder / "evil.py").write_text(f"open({str(trap)!r}, 'w')\nclass Evil: ...\n")
    edited(folder, auto_map={"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"})
    load_decoder(folder)
    assert not trap.exists()

    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(UnsupportedModel, match="holds an adapter"):
        load_decoder(folder)


def test_the_package_that_is_missing_is_named(tmp_path, monkeypatch):
    folder = foreign_model(tmp_path, "gpt_neox")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UnsupportedModel, match="not installed") as caught:
        load_decoder(folder)
    assert "fettle-ai[families]" in caught.value.hint
