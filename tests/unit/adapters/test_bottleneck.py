"""The activations of bottleneck adapters, written with operators, are the usual ones."""

import pytest
import torch
from torch.nn import functional as F

from fettle.adapters.kinds.bottleneck import ACTIVATIONS

USUAL = {"relu": F.relu, "silu": F.silu, "gelu": lambda x: F.gelu(x, approximate="tanh")}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_and_their_gradients_are_the_usual_ones(name):
    grids = [torch.cat([torch.linspace(-200, 200, 401), torch.linspace(-3, 3, 61)]).requires_grad_() for _ in "ab"]
    outs = [function(x) for function, x in zip((ACTIVATIONS[name], USUAL[name]), grids, strict=True)]
    for out in outs:
        out.sum().backward()
    torch.testing.assert_close(outs[0], outs[1], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(grids[0].grad, grids[1].grad, rtol=1e-5, atol=1e-5)
