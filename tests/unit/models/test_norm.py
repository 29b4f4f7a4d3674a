"""The normalisation is torch's, and so is its gradient."""

import pytest
import torch
from torch import nn

from fettle.models.norm import RMSNorm


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 2e-2)]
)
def test_output_and_gradient_are_those_of_torch(dtype, tolerance):
    torch.manual_seed(1)
    ours, theirs = RMSNorm(48, eps=1e-6, dtype=dtype), nn.RMSNorm(48, eps=1e-6, dtype=dtype)
    theirs.weight.data = ours.weight.data = torch.randn(48, dtype=dtype)
    ours.requires_grad_(False)
    x, g = torch.randn(9, 48, dtype=dtype, requires_grad=True), torch.randn(9, 48, dtype=dtype)
    given, expected = ours(x), theirs(x)
    assert type(given.grad_fn).__name__ == "_NormalisedBackward"
    torch.testing.assert_close(given, expected, rtol=tolerance, atol=tolerance)
    (of_x,), (reference,) = torch.autograd.grad(given, x, g), torch.autograd.grad(expected, x, g)
    torch.testing.assert_close(of_x, reference, rtol=tolerance, atol=tolerance)


def test_a_weight_that_is_trained_gets_its_gradient():
    norm = RMSNorm(8)
    norm(torch.randn(3, 8, requires_grad=True)).sum().backward()
    assert norm.weight.grad is not None
