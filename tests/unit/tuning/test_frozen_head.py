"""Scores behind a frozen head are those of the plain loss, whatever is made of them."""

import pytest
import torch
import torch.nn.functional as F

from fettle.tuning.objectives import frozen_head


@pytest.mark.parametrize("count", [1, frozen_head.CHUNK, 2 * frozen_head.CHUNK + 5])
def test_scores_and_gradients_are_those_of_cross_entropy(count):
    torch.manual_seed(1)
    states, weight = torch.randn(count, 24, requires_grad=True), torch.randn(50, 24)
    targets = torch.randint(50, (count,))
    targets[::3] = -100
    nll, correct = frozen_head.scores(states, weight, targets)
    logits = states @ weight.mT
    plain = F.cross_entropy(logits, targets, reduction="none", ignore_index=-100)
    torch.testing.assert_close(nll, plain)
    assert torch.equal(correct, logits.argmax(-1) == targets)
    weights = torch.randn(count)
    (ours,), (theirs,) = (torch.autograd.grad((weights * x**2).sum(), states) for x in (nll, plain))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_two_batches_before_their_gradients_do_not_mix():
    torch.manual_seed(1)
    weight, targets = torch.randn(50, 24), torch.randint(50, (7,))
    first, second = (torch.randn(7, 24, requires_grad=True) for _ in range(2))
    scored = [frozen_head.scores(states, weight, targets)[0] for states in (first, second)]
    (ours,) = torch.autograd.grad(scored[0].sum(), first)
    (alone,) = torch.autograd.grad(F.cross_entropy(first @ weight.mT, targets, reduction="sum"), first)
    torch.testing.assert_close(ours, alone)


def test_without_gradients_the_scores_are_the_same():
    torch.manual_seed(1)
    states, weight, targets = torch.randn(9, 24, requires_grad=True), torch.randn(50, 24), torch.randint(50, (9,))
    with torch.no_grad():
        plain = frozen_head.scores(states, weight, targets)[0]
    assert torch.equal(plain, frozen_head.scores(states, weight, targets)[0])
