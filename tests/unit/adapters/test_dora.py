"""DoRA is PEFT's: the same outputs and gradients, with dropout too."""

import peft
import pytest
import torch
from torch import nn

from fettle.adapters.adapter import Adapter, fresh
from fettle.adapters.bank import AdapterBank
from fettle.adapters.frozen import FrozenLinear
from fettle.adapters.inject import inject
from fettle.adapters.kinds.base import Site
from fettle.adapters.kinds.lora import LoRA, LoRAConfig
from fettle.errors import InvalidInput

CONFIG = LoRAConfig(rank=3, alpha=5, dora=True, target_modules=("q_proj",))


class Model(nn.Module):
    """One linear layer under a name that models use."""

    def __init__(self, *, bias: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList([nn.ModuleDict({"q_proj": nn.Linear(6, 9, bias=bias)})])

    def forward(self, x):
        return self.layers[0]["q_proj"](x)


class SameMask(nn.Module):
    """Dropout that draws the same entries each time."""

    def forward(self, x):
        torch.manual_seed(7)
        return nn.functional.dropout(x, 0.4)


def theirs(model: Model, params: dict[str, torch.Tensor], dropout: nn.Module) -> nn.Module:
    config = peft.LoraConfig(r=3, lora_alpha=5, use_dora=True, target_modules=["q_proj"])
    wrapped = peft.get_peft_model(model, config)
    layer = wrapped.base_model.model.layers[0]["q_proj"]
    layer.lora_dropout["default"] = dropout
    for name, value in [("lora_A", "a"), ("lora_B", "b"), ("lora_magnitude_vector", "m")]:
        getattr(layer, name)["default"].weight.data = params[value].detach().clone()
    return wrapped.train()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dropout", [nn.Identity(), SameMask()], ids=["no dropout", "dropout"])
def test_outputs_and_gradients_are_those_of_peft(bias, dropout):
    made = fresh("lora", CONFIG, inject(Model(bias=bias), AdapterBank()), seed=1)
    (params,) = made.sites.values()
    for value in params.values():
        value.data += 0.5 * torch.randn_like(value)
    reference, x = theirs(Model(bias=bias), params, dropout), torch.randn(7, 6)

    base = FrozenLinear(Model(bias=bias).layers[0]["q_proj"].requires_grad_(False), made)
    ours = LoRA().forward(x, base, params, CONFIG, drop=dropout)
    ours.square().sum().backward()

    expected = reference(x)
    expected.square().sum().backward()
    torch.testing.assert_close(ours, expected)
    layer = reference.base_model.model.layers[0]["q_proj"]
    for name, value in [("lora_A", "a"), ("lora_B", "b"), ("lora_magnitude_vector", "m")]:
        torch.testing.assert_close(
            params[value].grad, getattr(layer, name)["default"].weight.grad, rtol=1e-4, atol=1e-5
        )


def test_a_row_of_zeros_stays_as_it_is():
    model, bank = Model(bias=True), AdapterBank()
    model.layers[0]["q_proj"].weight.data[2] = 0
    slot = bank.add(fresh("lora", CONFIG, inject(model, bank), seed=1))
    x = torch.randn(7, 6)
    expected = model(x)
    for runs in ([(slot, 7)], [(slot, 6), (-1, 1)]):
        with bank.route(runs):
            assert torch.equal(model(x), expected)


def test_a_base_whose_weights_are_packed_is_refused():
    packed = Site("layers.0.q_proj", 6, 9, torch.zeros(27, 1, dtype=torch.uint8))
    with pytest.raises(InvalidInput, match=r"layers\.0\.q_proj are packed as torch\.uint8"):
        fresh("lora", CONFIG, [packed], seed=1)


@pytest.mark.parametrize("is_trained", [True, False])
def test_the_norms_follow_an_adapter_in_training_and_are_kept_for_a_finished_one(is_trained):
    a, b = torch.ones(2, 4), torch.ones(3, 2)
    params = {"a": a.clone().requires_grad_(is_trained), "b": b.clone().requires_grad_(is_trained)}
    base = FrozenLinear(nn.Linear(4, 3), Adapter("lora", LoRAConfig(rank=2), {"site": params}))
    first, second = base.norms(b, a), base.norms(2 * b, a)
    assert torch.equal(first, second) != is_trained


def test_no_gradient_flows_through_the_norms():
    a, b = torch.ones(2, 4, requires_grad=True), torch.ones(3, 2, requires_grad=True)
    base = FrozenLinear(nn.Linear(4, 3), Adapter("lora", LoRAConfig(rank=2), {"site": {"a": a, "b": b}}))
    assert not base.norms(b, a).requires_grad
