"""What an engine takes is known before it is loaded, and refused when it is not there."""

import pytest
import torch

from fettle.errors import Unavailable
from fettle.models.decoder import Decoder
from fettle.serving import Engine, EngineSettings, engine
from fettle.serving.cache import PagedCache, num_blocks
from fettle.serving.memory import MemoryPlan, available_bytes, planned
from fettle.types.decoder import DecoderConfig

MEBIBYTE = 2**20
SETTINGS = EngineSettings(dtype="float32", block_size=4, num_blocks=64, adapter_bytes=1000)


def config(**changes: object) -> DecoderConfig:
    return DecoderConfig(
        family="llama",
        vocab_size=50,
        hidden_size=32,
        intermediate_size=48,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        head_dim=8,
        max_positions=64,
    ).model_copy(update=changes)


def plan_of(shape: DecoderConfig, settings: EngineSettings = SETTINGS) -> MemoryPlan:
    return planned(shape, settings, torch.float32, num_blocks(shape, settings, torch.float32))


def test_weights_and_cache_are_what_the_model_and_the_cache_have():
    decoder = Decoder(config())
    cache = PagedCache(config(), num_blocks=64, block_size=4, dtype=torch.float32)
    plan = plan_of(config())
    assert plan.weights == plan.loading == sum(value.nbytes for value in decoder.parameters())
    assert plan.cache == cache.size_bytes
    assert plan.adapters == 1000


def test_a_tied_head_is_laid_out_beside_the_embeddings():
    tied, plain = plan_of(config(tied_head=True)), plan_of(config())
    assert tied.weights == plain.weights
    assert tied.loading == plain.loading - 50 * 32 * 4


def test_8_bits_take_a_byte_for_each_weight_but_the_embeddings_when_they_are_loaded():
    small, plain = plan_of(config(), SETTINGS.model_copy(update={"weights": "int8"})), plan_of(config())
    embeddings = 50 * 32 * 4
    assert small.weights == embeddings + (plain.weights - embeddings) // 4
    assert small.loading == plain.loading


@pytest.mark.parametrize("tied", [True, False])
def test_4_bits_take_half_a_byte_for_each_weight_of_the_layers_and_two_numbers_for_32_of_them(tied):
    settings = SETTINGS.model_copy(update={"weights": "int4"})
    small, plain = (planned(config(tied_head=tied), one, torch.bfloat16, 64) for one in (settings, SETTINGS))
    outside = 2 * 50 * 32 * 2
    of_layers = (plain.weights - outside) // 2
    assert small.weights == outside + of_layers // 2 + of_layers // 32 * 4


def test_what_fits_passes_and_one_byte_less_is_refused_with_what_to_lower():
    plan = MemoryPlan(loading=100, weights=100, cache=70, adapters=30, step=10)
    plan.check(210)
    with pytest.raises(Unavailable, match=r"weights .* cache .* adapters .* step") as told:
        plan.check(209)
    assert "FETTLE_SERVING_CACHE_BYTES and FETTLE_SERVING_ADAPTER_BYTES to 99 together (now 100)" in told.value.hint


@pytest.mark.parametrize("weights", [{"loading": 300, "weights": 20}, {"loading": 150, "weights": 201}])
def test_weights_that_do_not_fit_alone_are_not_blamed_on_settings(weights):
    with pytest.raises(Unavailable) as told:
        MemoryPlan(**weights, cache=1, adapters=1, step=1).check(200)
    assert "smaller model" in told.value.hint


def test_an_engine_is_refused_before_anything_is_loaded(base, monkeypatch):
    monkeypatch.setattr(engine, "available_bytes", lambda: MEBIBYTE)
    monkeypatch.setattr(engine, "load_decoder", lambda *_, **__: pytest.fail("it was loaded"))
    with pytest.raises(Unavailable, match="1 MiB are available"):
        Engine.load(base, SETTINGS.model_copy(update={"adapter_bytes": 1 << 40}))


@pytest.mark.parametrize(
    ("limit", "used", "stat", "expected"),
    [
        (None, None, None, 8192),
        ("max", "5", "inactive_file 1", 8192),
        ("9000", "3000", "anon 1\ninactive_file 500\n", 6500),
        ("90000", "10", None, 8192),
    ],
)
def test_available_is_what_both_the_machine_and_the_container_leave(limit, used, stat, expected, tmp_path):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  99 kB\nMemFree:  1 kB\nMemAvailable:      8 kB\n")
    for name, text in (("memory.max", limit), ("memory.current", used), ("memory.stat", stat)):
        if text is not None:
            (tmp_path / name).write_text(text + "\n")
    assert available_bytes(meminfo, tmp_path) == expected


def test_a_system_that_does_not_tell_refuses_nothing(tmp_path):
    assert available_bytes(tmp_path / "none", tmp_path) is None
