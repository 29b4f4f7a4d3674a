"""Layers in 4 bits compute nearly what plain ones do, for each token by itself."""

import pytest
import torch
from torch import nn

from fettle.models.int4 import GROUP, Int4Linear, fits_int4

SIZES = (96, 64)


def layer(*, bias: bool = False) -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(*SIZES, bias=bias)


def by_hand(weight: torch.Tensor) -> torch.Tensor:
    """The nearest of 16 values that lie evenly between the least and the largest weight of each group."""
    rounded = torch.empty_like(weight)
    for row in range(len(weight)):
        for first in range(0, weight.shape[1], GROUP):
            group = weight[row, first : first + GROUP]
            values = torch.linspace(float(group.min()), float(group.max()), 16)
            nearest = (group[:, None] - values).abs().argmin(1)
            rounded[row, first : first + GROUP] = values[nearest]
    return rounded


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("num_rows", [1, 7, 200])
def test_a_product_is_that_of_rounded_weights(num_rows, bias):
    linear, x = layer(bias=bias), torch.randn(num_rows, SIZES[0])
    with torch.inference_mode():
        expected = nn.functional.linear(x, by_hand(linear.weight), linear.bias)
        torch.testing.assert_close(Int4Linear(linear)(x), expected, rtol=0, atol=1e-4)


def test_it_tells_the_weights_that_it_multiplies_with():
    linear = layer()
    torch.testing.assert_close(Int4Linear(linear).weight, by_hand(linear.weight.detach()), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_token_does_not_depend_on_the_others(dtype):
    made, x = Int4Linear(layer(bias=True).to(dtype)), torch.randn(40, SIZES[0], dtype=dtype)
    with torch.inference_mode():
        apart = torch.cat([made(row[None]) for row in x])
        assert torch.equal(made(x), apart)
        assert torch.equal(made(x.view(2, 20, -1)), apart.view(2, 20, -1))
        assert apart.dtype is dtype
        x[3] = torch.nan
        others = [row for row in range(40) if row != 3]
        assert torch.equal(made(x)[others], apart[others])


def test_groups_of_equal_weights_keep_them():
    linear = layer()
    linear.weight.data[7], linear.weight.data[8] = 0, 0.25
    with torch.inference_mode():
        out = Int4Linear(linear)(torch.ones(1, SIZES[0]))[0]
    assert not out[7]
    torch.testing.assert_close(out[8], torch.tensor(0.25 * SIZES[0]))


def test_odd_sizes_do_not_fit():
    assert fits_int4(nn.Linear(64, 48))
    assert not fits_int4(nn.Linear(48, 48))
    assert not fits_int4(nn.Linear(64, 50))
