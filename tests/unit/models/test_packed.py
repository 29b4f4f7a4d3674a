"""Packed layers compute what plain ones do."""

import pytest
import torch
from torch import nn

from fettle.models.packed import PackedLinear

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
