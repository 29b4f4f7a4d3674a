"""The written-out gradients of LoRA are those of its formula."""

import pytest
import torch
from torch import nn

from fettle.adapters.kinds.base import LowRank
from fettle.adapters.low_rank import Part, adapted


def formula(x, base, change, kept=None):
    dropped = x if kept is None else x * kept
    return base(x) + change.scale * (dropped @ change.a.mT) @ change.b.mT


def gradients(out, wanted):
    torch.manual_seed(3)
    return torch.autograd.grad((out * torch.randn_like(out)).sum(), wanted)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("is_dropped", [False, True])
@pytest.mark.parametrize("shape", [(7, 6), (2, 5, 6)])
def test_output_and_gradients_are_those_of_the_formula(bias, is_dropped, shape):
    torch.manual_seed(1)
    base = nn.Linear(6, 4, bias=bias, dtype=torch.float64).requires_grad_(False)
    a, b = (torch.randn(size, dtype=torch.float64, requires_grad=True) for size in ((3, 6), (4, 3)))
    x, change = torch.randn(shape, dtype=torch.float64, requires_grad=True), LowRank(a, b, 0.7)
    ones = (torch.rand(shape) > 0.4).double()
    mask = (lambda flat: (ones.view(flat.shape), 1 / 0.6)) if is_dropped else None
    fast = adapted(x, base, [Part(x[..., 0].numel(), change, mask)])
    plain = formula(x, base, change, ones / 0.6 if is_dropped else None)
    torch.testing.assert_close(fast, plain)
    for ours, theirs in zip(gradients(fast, (x, a, b)), gradients(plain, (x, a, b)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_parts_are_each_what_they_are_alone():
    torch.manual_seed(1)
    base = nn.Linear(6, 4, dtype=torch.float64).requires_grad_(False)
    sizes = (3, 6), (4, 3), (2, 6), (4, 2)
    a, b, other_a, other_b = (torch.randn(size, dtype=torch.float64, requires_grad=True) for size in sizes)
    x = torch.randn(9, 6, dtype=torch.float64, requires_grad=True)
    ones = (torch.rand(5, 6) > 0.4).double()
    one, other = LowRank(a, b, 0.7), LowRank(other_a, other_b, 2.0)
    fast = adapted(x, base, [Part(5, one, lambda flat: (ones, 1 / 0.6)), Part(1, None, None), Part(3, other, None)])
    plain = torch.cat([formula(x[:5], base, one, ones / 0.6), base(x[5:6]), formula(x[6:], base, other)])
    torch.testing.assert_close(fast, plain)
    wanted = (x, a, b, other_a, other_b)
    for ours, theirs in zip(gradients(fast, wanted), gradients(plain, wanted), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_trained_numbers_keep_their_own_type_beside_a_bf16_layer():
    torch.manual_seed(1)
    base = nn.Linear(64, 32, bias=False, dtype=torch.bfloat16).requires_grad_(False)
    a, b = (torch.randn(size, requires_grad=True) for size in ((8, 64), (32, 8)))
    x, change = torch.randn(16, 64, dtype=torch.bfloat16, requires_grad=True), LowRank(a, b, 0.5)
    out = adapted(x, base, [Part(16, change, None)])
    of_x, of_a, of_b = gradients(out, (x, a, b))
    assert (out.dtype, of_x.dtype, of_a.dtype, of_b.dtype) == (x.dtype, x.dtype, a.dtype, b.dtype)
    exact = nn.Linear(64, 32, bias=False)
    exact.weight.data = base.weight.float()
    wide = x.detach().float().requires_grad_()
    expected = gradients(formula(wide, exact, change).bfloat16(), (wide, a, b))
    for ours, theirs in zip((of_x.float(), of_a, of_b), expected, strict=True):
        assert float((ours - theirs).norm() / theirs.norm()) < 0.01
