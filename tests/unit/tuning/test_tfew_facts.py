"""What T-Few published of its own model and optimizer, checked without its weights."""

from functools import lru_cache

import pytest
import torch
from transformers import Adafactor, T5Config, T5ForConditionalGeneration

from fettle.adapters.adapter import fresh
from fettle.adapters.bank import AdapterBank
from fettle.adapters.inject import choose, inject
from fettle.adapters.kinds import KINDS
from fettle.adapters.kinds.ia3 import IA3Config
from fettle.tuning.optimizers import OPTIMIZERS
from fettle.types.tuning import Hyperparameters

#: t5-xl and t5-xxl "LM-adapted", on which T0-3B and T0-11B are built.
SHAPES = {
    540_672: {"d_model": 2048, "d_kv": 64, "num_heads": 32, "d_ff": 5120},
    1_081_344: {"d_model": 4096, "d_kv": 64, "num_heads": 64, "d_ff": 10240},
}
CONFIG = IA3Config(target_modules=("k", "v", "wo"), feedforward_modules=("wo",))


@lru_cache
def sites_of_t0(count):
    layers = {"num_layers": 24, "num_decoder_layers": 24}
    config = T5Config(**layers, feed_forward_proj="gated-gelu", vocab_size=8, **SHAPES[count])
    with torch.device("meta"):
        model = T5ForConditionalGeneration(config)
    return choose(inject(model, AdapterBank()), CONFIG.target_modules)


@pytest.mark.parametrize("count", SHAPES)
def test_the_vectors_are_as_many_as_published(count):
    sites = sites_of_t0(count)
    starts = [start for site in sites for start in KINDS["ia3"].starts(site, CONFIG).values()]
    assert sum(start.shape[0] for start in starts) == count


def test_the_sites_are_the_192_of_the_published_checkpoint():
    """There, wo's inputs are scaled as outputs of wi_1, the linear branch: the same product."""
    attention = ["SelfAttention.k", "SelfAttention.v"]
    crossed = [f"layer.1.EncDecAttention.{name}" for name in "kv"]
    encoder = [f"layer.0.{name}" for name in attention] + ["layer.1.DenseReluDense.wo"]
    decoder = [f"layer.0.{name}" for name in attention] + crossed + ["layer.2.DenseReluDense.wo"]
    expected = {f"encoder.block.{layer}.{name}" for layer in range(24) for name in encoder}
    expected |= {f"decoder.block.{layer}.{name}" for layer in range(24) for name in decoder}
    found = {site.name for site in sites_of_t0(540_672)}
    assert found == expected
    assert len(found) == 192


def test_vectors_of_the_published_shapes_load():
    """The checkpoint has columns: 32 heads of 64 for keys and values, 5120 for the feed-forward part."""
    made = fresh("ia3", CONFIG, sites_of_t0(540_672), seed=0)
    columns = {site: torch.rand(5120 if site.endswith("wo") else 32 * 64, 1) for site in made.sites}
    with torch.no_grad():
        for site, column in columns.items():
            (vector,) = made.sites[site].values()
            assert vector.shape == column.shape[:1]
            vector.copy_(column.squeeze(1))
    stored = torch.cat([value for params in made.sites.values() for value in params.values()])
    torch.testing.assert_close(stored, torch.cat(list(columns.values())).squeeze(1), rtol=0, atol=0)


def test_adafactor_takes_the_published_steps():
    """torch's Adafactor beside the one that T-Few was tuned with, on vectors that start at one."""
    paths = []
    for make in (
        lambda values: OPTIMIZERS["adafactor"](values, 3e-3, Hyperparameters()),
        lambda values: Adafactor(values, lr=3e-3, relative_step=False, scale_parameter=True, warmup_init=False),
    ):
        generator = torch.Generator().manual_seed(3)
        values = [torch.ones(size, dtype=torch.float64, requires_grad=True) for size in (8, 16)]
        optimizer = make(values)
        for _ in range(20):
            targets = [torch.randn(v.shape, generator=generator, dtype=v.dtype) for v in values]
            optimizer.zero_grad()
            sum(((v - target) ** 2).sum() for v, target in zip(values, targets, strict=True)).backward()
            optimizer.step()
        paths.append(torch.cat([v.detach() for v in values]))
    assert (paths[0] - 1).abs().max() > 1e-2
    torch.testing.assert_close(paths[0], paths[1], rtol=0, atol=1e-6)
