"""Adapters come and go within a bound of bytes, and are read no more often than they must."""

import pytest
import torch

from fettle.adapters.bank import AdapterBank
from fettle.adapters.files import load_adapter
from fettle.adapters.inject import inject
from fettle.models.loading import load_decoder
from fettle.serving.adapter_pool import AdapterPool
from fettle.testing.models import tiny_adapter, tiny_model


@pytest.fixture
def pool(tmp_path):
    """A pool of three adapters with room for two."""
    base = tiny_model(tmp_path / "base")
    folders = {name: tiny_adapter(tmp_path / name, "lora", base, seed) for seed, name in enumerate("abc")}
    bank = AdapterBank()
    decoder = load_decoder(base)
    inject(decoder, bank)
    size = load_adapter(folders["a"]).to(torch.float32).size_bytes
    pool = AdapterPool(bank, decoder, max_bytes=2 * size)
    for name, folder in folders.items():
        pool.add(name, folder)
    return pool


def test_the_least_recently_used_one_goes_and_comes_back(pool):
    assert [pool.get(name).is_resident for name in "abc"] == [False, True, True]
    assert pool.pin(pool.get("a"))
    assert [pool.get(name).is_resident for name in "abc"] == [True, False, True]


def test_who_waits_for_room_neither_reads_files_nor_evicts_others(pool):
    assert pool.pin(pool.get("b"))
    assert pool.pin(pool.get("c"))
    loads = pool.num_loads
    for _ in range(3):
        assert not pool.pin(pool.get("a"))
    assert pool.num_loads == loads
    pool.unpin(pool.get("b"))
    assert pool.pin(pool.get("a"))
    assert pool.num_loads == loads + 1
    assert pool.get("c").is_resident


def test_one_that_is_larger_than_the_bound_is_served_alone(pool, tmp_path):
    pool.add("big", tiny_adapter(tmp_path / "big", "lora", tmp_path / "base", 9, rank=96))
    assert pool.pin(pool.get("big"))
    assert pool.num_resident == 1
    assert not pool.pin(pool.get("a"))


@pytest.mark.parametrize("kind", ["prompt", "prefix"])
def test_virtual_tokens_are_there_while_they_are_used_and_their_memory_counts(kind, pool, tmp_path):
    """Only what is put into the cache is kept: what it was made of is not needed any more."""
    pool.add("virtual", tiny_adapter(tmp_path / "virtual", kind, tmp_path / "base", 9, num_virtual_tokens=7))
    adapter = pool.get("virtual")
    assert pool.pin(adapter)
    assert adapter.virtual.count == adapter.num_virtual_tokens == 7
    layers, heads, width = 2, 2, 8
    assert adapter.size_bytes == 2 * layers * 7 * heads * width * 4
    pool.remove("virtual")
    assert adapter.virtual.count == 7
    pool.unpin(adapter)
    assert (adapter.virtual, adapter.is_resident) == (None, False)
