"""What every adapter kind at linear layers promises, on NumPy in float64 and in the layer that serves."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from fettle.adapters.adapter import Adapter, fresh
from fettle.adapters.bank import BASE, AdapterBank
from fettle.adapters.inject import inject
from fettle.adapters.kinds import KINDS
from fettle.adapters.kinds.base import AdapterConfig, AdapterKind, Site
from fettle.adapters.merge import merge_into
from fettle.errors import InvalidInput

SITES = [Site("model.layers.0.self_attn.k_proj", 6, 10), Site("model.layers.0.mlp.down_proj", 9, 5)]
VARIANTS = {name: (name, {}) for name, kind in KINDS.items() if isinstance(kind, AdapterKind)} | {
    "rslora": ("lora", {"rank_stabilized": True}),
    "dora": ("lora", {"dora": True}),
    "bottleneck-gelu": ("bottleneck", {"activation": "gelu", "size": 3}),
    "bottleneck-silu": ("bottleneck", {"activation": "silu", "size": 3}),
}
MERGEABLE = [name for name, (kind, _) in VARIANTS.items() if KINDS[kind].is_mergeable]


class Plain:
    """A frozen layer in NumPy."""

    def __init__(self, weight: np.ndarray, bias: np.ndarray | None) -> None:
        self.weight, self.bias = weight, bias

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return x @ self.weight.T + (0 if self.bias is None else self.bias)

    def norms(self, b: np.ndarray, a: np.ndarray) -> np.ndarray:
        return np.linalg.norm(self.weight + b @ a, axis=1)


@pytest.fixture(params=SITES, ids=lambda site: site.leaf)
def site(request):
    return request.param


@pytest.fixture(params=[True, False], ids=["bias", "no-bias"])
def base(request, site):
    rng = np.random.default_rng(5)
    weight, bias = rng.normal(size=(site.out_features, site.in_features)), rng.normal(size=site.out_features)
    return Plain(weight, bias if request.param else None)


@pytest.fixture
def x(site):
    return np.random.default_rng(6).normal(size=(7, site.in_features))


def values(kind: str, config: AdapterConfig, site: Site, base: Plain, *, is_trained: bool) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    fills = {
        "zeros": np.zeros,
        "ones": np.ones,
        "uniform": lambda shape: rng.uniform(-1, 1, shape),
        "norms": lambda shape: np.linalg.norm(base.weight, axis=1).reshape(shape),
    }
    starts = KINDS[kind].starts(site, config)
    return {name: fills[s.fill](s.shape) + is_trained * rng.normal(size=s.shape) for name, s in starts.items()}


def made(variant: str, site: Site, base: Plain, *, is_trained: bool):
    kind, settings = VARIANTS[variant]
    config = KINDS[kind].config(**settings)
    return KINDS[kind], config, values(kind, config, site, base, is_trained=is_trained)


@pytest.mark.parametrize("variant", VARIANTS)
def test_fresh_parameters_change_nothing(variant, site, base, x):
    kind, config, p = made(variant, site, base, is_trained=False)
    np.testing.assert_array_equal(kind.forward(x, base, p, config), base(x))


@pytest.mark.parametrize("variant", MERGEABLE)
def test_merging_gives_the_same_layer(variant, site, base, x):
    kind, config, p = made(variant, site, base, is_trained=True)
    merged = Plain(*kind.merge(base.weight, base.bias, p, config))
    np.testing.assert_allclose(kind.forward(x, base, p, config), merged(x), atol=1e-9)


@pytest.mark.parametrize("variant", sorted(VARIANTS.keys() - set(MERGEABLE)))
def test_a_kind_that_cannot_be_merged_says_so(variant, site, base):
    kind, config, p = made(variant, site, base, is_trained=True)
    with pytest.raises(InvalidInput, match="cannot be merged") as told:
        kind.merge(base.weight, base.bias, p, config)
    assert told.value.hint


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_terms_say_the_same_as_forward(variant, site, base, x):
    kind, config, p = made(variant, site, base, is_trained=True)
    t = kind.terms(p, config, base)
    z = base(x if t.s_in is None else x * t.s_in)
    z = z if t.s_out is None else z * t.s_out
    z = z if t.a is None else z + (x @ t.a.T) @ t.b.T
    y = z if t.down is None else z + t.activation(z @ t.down.T + t.down_bias) @ t.up.T
    y = y if t.shift is None else y + t.shift
    np.testing.assert_allclose(y, kind.forward(x, base, p, config), atol=1e-9)


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


def adapter(variant: str, seed: int, *, is_trained: bool = True, **settings: object) -> Adapter:
    kind, given = VARIANTS[variant]
    config = KINDS[kind].config(target_modules=("k_proj", "down_proj"), **given | settings)
    made = fresh(kind, config, inject(block(), AdapterBank()), seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for value in made.named_parameters().values():
        value.data += is_trained * 0.5 * torch.randn(value.shape, generator=generator)
    return made.to(torch.float64)


def alone(model: Block, bank: AdapterBank, runs: list[tuple[int, int]], x: torch.Tensor) -> torch.Tensor:
    out = []
    for (slot, count), part in zip(runs, x.split([count for _, count in runs]), strict=True):
        with bank.route([(slot, count)]):
            out.append(model(part))
    return torch.cat(out)


@pytest.fixture(scope="module")
def crowd():
    """A model with two adapters of every variant, and LoRA of several ranks."""
    model, bank = block(), AdapterBank()
    inject(model, bank)
    everyone = [adapter(variant, seed) for variant in VARIANTS for seed in (1, 2)]
    slots = [bank.add(a) for a in [*everyone, adapter("lora", 3, rank=3), adapter("lora", 4, rank=5)]]
    return model, bank, [BASE, *slots]


@pytest.mark.parametrize("seed", range(6))
def test_a_mixed_batch_equals_each_row_alone(seed, crowd):
    model, bank, slots = crowd
    rng = np.random.default_rng(seed)
    runs = [(int(slot), int(rng.choice([1, 1, 2, 5, 9]))) for slot in rng.choice(slots, 30)]
    x = torch.randn(sum(count for _, count in runs), 6, dtype=torch.float64)
    with bank.route(runs):
        mixed = model(x)
    torch.testing.assert_close(mixed, alone(model, bank, runs, x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("count", [1, 3])
def test_a_batch_of_one_form_equals_each_row_alone(count, variant):
    model, bank = block(), AdapterBank()
    inject(model, bank)
    runs = [(slot, count) for slot in reversed([bank.add(adapter(variant, seed)) for seed in range(3)])]
    for rows in (runs, runs[1:], runs[1:] + runs[:1]):
        x = torch.randn(count * len(rows), 6, dtype=torch.float64)
        with bank.route(rows):
            mixed = model(x)
        torch.testing.assert_close(mixed, alone(model, bank, rows, x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_mixed_batch_gives_the_gradients_of_each_row_alone(variant):
    gradients = []
    for run in (mixed_run, alone):
        model, bank = block(), AdapterBank()
        inject(model, bank)
        trained = adapter(variant, 9)
        values = [value.requires_grad_() for value in trained.named_parameters().values()]
        runs = [(bank.add(trained), 3), (BASE, 2), (bank.add(adapter("ia3", 2)), 1), (bank.add(adapter("dora", 3)), 2)]
        x = torch.linspace(-1, 1, 48, dtype=torch.float64).view(8, 6)
        run(model, bank, runs, x).square().sum().backward()
        gradients.append(torch.cat([value.grad.flatten() for value in values]))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=1e-10)


def mixed_run(model: Block, bank: AdapterBank, runs: list[tuple[int, int]], x: torch.Tensor) -> torch.Tensor:
    with bank.route(runs):
        return model(x)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_no_number_in_one_adapter_reaches_no_other_row(bad, variant):
    model, bank = block(), AdapterBank()
    inject(model, bank)
    broken = adapter(variant, 1)
    for value in broken.named_parameters().values():
        value.fill_(bad)
    others = [adapter(name, 2) for name in VARIANTS]
    runs = [(bank.add(broken), 2), (BASE, 2), *[(bank.add(other), 2) for other in others]]
    x = torch.randn(2 * len(runs), 6, dtype=torch.float64)
    with bank.route(runs):
        mixed = model(x)
    assert not mixed[:2].isfinite().all()
    torch.testing.assert_close(mixed[2:], alone(model, bank, runs[1:], x[2:]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_fresh_adapter_leaves_every_bit_of_the_model(dtype, variant):
    model, bank = block().to(dtype), AdapterBank()
    sites = inject(model, bank)
    kind, settings = VARIANTS[variant]
    config = KINDS[kind].config(target_modules=("k_proj", "down_proj"), **settings)
    slot = bank.add(fresh(kind, config, sites, seed=1))
    x, outs = torch.randn(4, 6, dtype=dtype), []
    for used in (BASE, slot):
        with bank.route([(used, 4)]), torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
            outs.append(model(x))
    assert torch.equal(*outs)


@pytest.mark.parametrize("variant", MERGEABLE)
def test_merging_into_a_model_gives_the_same_model(variant):
    adapted, bank, merged = block(), AdapterBank(), block()
    inject(adapted, bank)
    slot = bank.add(adapter(variant, 3))
    merge_into(merged, bank.adapters[slot])
    x = torch.randn(4, 6, dtype=torch.float64)
    with bank.route([(slot, 4)]):
        torch.testing.assert_close(adapted(x), merged(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_reach_every_parameter(variant):
    model, bank = block(), AdapterBank()
    inject(model, bank)
    made = adapter(variant, 3)
    parameters = {name: value.requires_grad_() for name, value in made.named_parameters().items()}
    with bank.route([(bank.add(made), 4)]):
        model(torch.randn(4, 6, dtype=torch.float64)).square().sum().backward()
    assert all(value.grad is not None and value.grad.abs().max() > 0 for value in parameters.values())


@pytest.mark.parametrize("variant", VARIANTS)
def test_dropout_acts_in_training_only(variant):
    model, bank = block(), AdapterBank()
    inject(model, bank)
    slot = bank.add(adapter(variant, 3))
    x = torch.randn(50, 6, dtype=torch.float64)
    with bank.route([(slot, 50)]):
        first, again = model(x), model(x)
        bank.is_training = True
        dropped = model(x)
    assert torch.equal(first, again)
    used = bank.adapters[slot]
    has_dropout = used.maths.dropout(used.config) > 0
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
