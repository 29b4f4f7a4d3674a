"""Packed layers compute what plain ones do, and the engine serves with them."""

import gc
import weakref

import pytest
import torch
from torch import nn

from fettle.models.packed import PackedLinear, packed

ROWS = (0, 1, 3, 32, 200)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_packed_layer_computes_what_the_plain_one_does(dtype, bias):
    torch.manual_seed(1)
    plain = nn.Linear(96, 130, bias=bias, dtype=dtype)
    made = PackedLinear(plain)
    assert torch.equal(made.weight, plain.weight)
    with torch.inference_mode():
        for x in (torch.randn(count, 96, dtype=dtype) for count in ROWS):
            torch.testing.assert_close(made(x), plain(x), rtol=1e-5, atol=1e-5)


def test_plain_layers_of_a_cpu_are_packed_and_others_are_not():
    class Other(nn.Linear):
        """Such as a quantized one."""

    model = packed(nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4)), Other(4, 4), nn.Linear(4, 4).half()))
    assert [type(m) for m in model.modules() if isinstance(m, nn.Linear)] == [
        PackedLinear,
        PackedLinear,
        Other,
        nn.Linear,
    ]


def test_the_plain_weight_is_not_kept():
    model = nn.Sequential(nn.Linear(64, 64))
    weight = weakref.ref(model[0].weight)
    packed(model)
    gc.collect()
    assert weight() is None
