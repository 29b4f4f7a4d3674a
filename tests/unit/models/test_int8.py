"""Layers in 8 bits compute nearly what plain ones do, for each token by itself."""

import pytest
import torch
from torch import nn

from fettle.models.int8 import Int8Linear, has_int8_products

pytestmark = pytest.mark.skipif(not has_int8_products(), reason="this processor has no products of 8-bit numbers")


def layer(*, bias: bool = False, num_outputs: int = 130) -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(96, num_outputs, bias=bias)


def by_hand(x: torch.Tensor, linear: nn.Linear) -> torch.Tensor:
    """Every row of the weight and of the input rounded to 255 steps, multiplied in float64."""

    def rounded(value: torch.Tensor) -> torch.Tensor:
        scale = value.double().abs().amax(-1, keepdim=True) / 127
        return (value.double() / scale).round() * scale

    return (rounded(x) @ rounded(linear.weight.detach()).mT + (0 if linear.bias is None else linear.bias)).float()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("num_rows", [1, 7, 200])
def test_a_product_is_that_of_rounded_rows(num_rows, bias):
    linear, x = layer(bias=bias), torch.randn(num_rows, 96)
    with torch.inference_mode():
        # Half a step more or less, where a quotient lies between two whole numbers.
        torch.testing.assert_close(Int8Linear(linear)(x), by_hand(x, linear), rtol=0, atol=2e-3)


def test_its_weight_is_the_plain_one_rounded():
    linear = layer()
    step = linear.weight.abs().amax(1, keepdim=True) / 127
    assert ((Int8Linear(linear).weight - linear.weight).abs() <= 0.5001 * step).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_token_does_not_depend_on_the_others(dtype):
    made, x = Int8Linear(layer(bias=True)), torch.randn(40, 96, dtype=dtype)
    with torch.inference_mode():
        apart = torch.cat([made(row[None]) for row in x])
        assert torch.equal(made(x), apart)
        assert apart.dtype is dtype
        x[3], x[4], x[5] = torch.nan, torch.inf, 1e30
        others = [row for row in range(40) if row not in (3, 4, 5)]
        assert torch.equal(made(x)[others], apart[others])
        assert not made(x)[3:5].isfinite().any()


def test_rows_of_zeros_stay_zeros():
    linear = layer()
    linear.weight.data[7] = 0
    with torch.inference_mode():
        out = Int8Linear(linear)(torch.stack([torch.zeros(96), torch.ones(96)]))
    assert not out[0].any()
    assert not out[1, 7]
