"""The rotation is the formula's, there and back."""

import torch

from fettle.models.rotary import angles, inverse_frequencies, rotate
from fettle.types.decoder import Rope


def formula(x, cos, sin):
    low, high = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-high, low), dim=-1) * sin


def test_the_turned_pairs_and_their_gradients_are_those_of_the_formula():
    torch.manual_seed(1)
    cos, sin = angles(torch.tensor([0, 1, 5, 900]), inverse_frequencies(Rope(), 8), torch.float64)
    x, g = torch.randn(4, 3, 8, dtype=torch.float64, requires_grad=True), torch.randn(4, 3, 8, dtype=torch.float64)
    torch.testing.assert_close(rotate(x, cos, sin), formula(x, cos, sin))
    (ours,), (theirs,) = (torch.autograd.grad(turn(x, cos, sin), x, g) for turn in (rotate, formula))
    torch.testing.assert_close(ours, theirs)
