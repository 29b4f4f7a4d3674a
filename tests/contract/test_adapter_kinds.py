"""What every adapter kind promises: every entry of `KINDS`, on NumPy in float64 and in the layer that serves."""

import numpy as np
import pytest
import torch
from torch import nn

from fettle.adapters.adapter import Adapter, fresh
from fettle.adapters.bank import BASE, AdapterBank
from fettle.adapters.inject import inject
from fettle.adapters.kinds import KINDS
from fettle.adapters.kinds.base import Site
from fettle.adapters.merge import merge_into

SITES = [Site("model.layers.0.self_attn.k_proj", 6, 10), Site("model.layers.0.mlp.down_proj", 9, 5)]
EVERY = [(kind, site) for kind in KINDS for site in SITES]
every_kind_and_site = pytest.mark.parametrize(("kind", "site"), EVERY, ids=[f"{k}-{s.leaf}" for k, s in EVERY])


def values(kind: str, site: Site, *, is_trained: bool) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    starts = KINDS[kind].starts(site, KINDS[kind].config())
    fills = {"zeros": np.zeros, "ones": np.ones, "uniform": lambda shape: rng.uniform(-1, 1, shape)}
    return {name: fills[s.fill](s.shape) + is_trained * rng.normal(size=s.shape) for name, s in starts.items()}


def plain(site: Site):
    rng = np.random.default_rng(5)
    weight, bias = rng.normal(size=(site.out_features, site.in_features)), rng.normal(size=site.out_features)
    return weight, bias, rng.normal(size=(7, site.in_features))


@every_kind_and_site
def test_fresh_parameters_change_nothing(kind, site):
    weight, bias, x = plain(site)
    p = values(kind, site, is_trained=False)
    layer = KINDS[kind].forward(x, lambda v: v @ weight.T + bias, p, KINDS[kind].config())
    np.testing.assert_array_equal(layer, x @ weight.T + bias)


@every_kind_and_site
def test_merging_gives_the_same_layer(kind, site):
    weight, bias, x = plain(site)
    p, config = values(kind, site, is_trained=True), KINDS[kind].config()
    merged_weight, merged_bias = KINDS[kind].merge(weight, bias, p, config)
    np.testing.assert_allclose(
        KINDS[kind].forward(x, lambda v: v @ weight.T + bias, p, config), x @ merged_weight.T + merged_bias, atol=1e-9
    )


@every_kind_and_site
def test_the_terms_say_the_same_as_forward(kind, site):
    weight, bias, x = plain(site)
    p, config = values(kind, site, is_trained=True), KINDS[kind].config()
    t = KINDS[kind].terms(p, config, site)
    y = (x if t.s_in is None else x * t.s_in) @ weight.T + bias
    y = y if t.s_out is None else y * t.s_out
    y = y if t.a is None else y + (x @ t.a.T) @ t.b.T
    np.testing.assert_allclose(y, KINDS[kind].forward(x, lambda v: v @ weight.T + bias, p, config), atol=1e-9)


class Block(nn.Module):
    """Two adaptable layers in a row, under the names that models use."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.ModuleDict({"k_proj": nn.Linear(6, 9), "down_proj": nn.Linear(9, 5)})])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers[0]["down_proj"](torch.tanh(self.layers[0]["k_proj"](x)))


def block() -> Block:
    torch.manual_seed(0)
    return Block().double()


def adapter(kind: str, seed: int, *, is_trained: bool = True, **settings: object) -> Adapter:
    config = KINDS[kind].config(target_modules=("k_proj", "down_proj"), **settings)
    made = fresh(kind, config, inject(block(), AdapterBank()), seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for value in made.named_parameters().values():
        value.data += is_trained * 0.5 * torch.randn(value.shape, generator=generator)
    return made.to(torch.float64)


@pytest.mark.parametrize("kind", KINDS)
def test_a_mixed_batch_equals_each_row_alone(kind):
    model, bank = block(), AdapterBank()
    others = [adapter("lora", 1, rank=3), adapter("ia3", 2), adapter("lora", 4, rank=5)]
    inject(model, bank)
    slots = [bank.add(a) for a in [adapter(kind, 9), *others]]
    runs = [(slots[0], 3), (BASE, 2), (slots[1], 1), (slots[2], 4), (slots[0], 2), (slots[3], 1)]
    x = torch.randn(sum(count for _, count in runs), 6, dtype=torch.float64)

    with bank.route(runs):
        mixed = model(x)

    alone = []
    for (slot, _), part in zip(runs, x.split([count for _, count in runs]), strict=True):
        with bank.route([(slot, len(part))]):
            alone.append(model(part))
    torch.testing.assert_close(mixed, torch.cat(alone), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_merging_into_a_model_gives_the_same_model(kind):
    adapted, bank, merged = block(), AdapterBank(), block()
    inject(adapted, bank)
    slot = bank.add(adapter(kind, 3))
    merge_into(merged, bank.adapters[slot])
    x = torch.randn(4, 6, dtype=torch.float64)
    with bank.route([(slot, 4)]):
        torch.testing.assert_close(adapted(x), merged(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_every_parameter(kind):
    model, bank = block(), AdapterBank()
    inject(model, bank)
    made = adapter(kind, 3)
    parameters = {name: value.requires_grad_() for name, value in made.named_parameters().items()}
    with bank.route([(bank.add(made), 4)]):
        model(torch.randn(4, 6, dtype=torch.float64)).square().sum().backward()
    assert all(value.grad is not None and value.grad.abs().max() > 0 for value in parameters.values())


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_acts_in_training_only(kind):
    model, bank = block(), AdapterBank()
    inject(model, bank)
    slot = bank.add(adapter(kind, 3))
    x = torch.randn(50, 6, dtype=torch.float64)
    with bank.route([(slot, 50)]):
        first, again = model(x), model(x)
        bank.is_training = True
        dropped = model(x)
    assert torch.equal(first, again)
    has_dropout = KINDS[kind].dropout(KINDS[kind].config()) > 0
    assert torch.equal(first, dropped) != has_dropout


def test_a_freed_slot_is_used_again_and_the_tables_follow():
    model, bank = block(), AdapterBank()
    inject(model, bank)
    first, second = bank.add(adapter("lora", 1)), bank.add(adapter("ia3", 2))
    x = torch.randn(4, 6, dtype=torch.float64)
    runs = [(first, 2), (second, 2)]
    with bank.route(runs):
        before = model(x)
    bank.remove(first)
    assert bank.add(adapter("lora", 8)) == first
    with bank.route(runs):
        after = model(x)
    assert torch.equal(before[2:], after[2:])
    assert not torch.allclose(before[:2], after[:2])
