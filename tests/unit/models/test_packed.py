"""Packed layers compute what plain ones do."""

import pytest
import torch
from torch import nn

from fettle.models.packed import PackedLinear, num_computed

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


def test_the_numbers_of_rows_that_are_computed_are_few_and_hardly_larger():
    asked = range(1, 4097)
    assert all(count <= num_computed(count) <= max(count, count * 9 / 8) for count in asked)
    assert len(set(map(num_computed, asked))) < 100
    expected = {0: 0, 1: 1, 8: 8, 15: 15, 17: 18, 32: 32, 100: 104, 128: 128, 129: 144}
    assert {count: num_computed(count) for count in expected} == expected


def test_a_layer_keeps_the_dimensions_before_the_last():
    plain = nn.Linear(16, 24)
    x = torch.randn(3, 11, 16)
    with torch.inference_mode():
        torch.testing.assert_close(PackedLinear(plain)(x), plain(x), rtol=1e-5, atol=1e-5)
