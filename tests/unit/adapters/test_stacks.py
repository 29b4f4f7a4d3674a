"""Stacked layers stay where they are from batch to batch, and are those of the slots that are asked for."""

import random

import pytest
import torch

from fettle.adapters.stacks import Narrow, Stack, arranged


def narrow(seed: int, dtype: torch.dtype = torch.float32) -> Narrow:
    generator = torch.Generator().manual_seed(seed)
    down, up = (torch.randn(*shape, generator=generator).to(dtype) for shape in ((6, 2), (2, 5)))
    return Narrow(down, up)


@pytest.mark.parametrize("seed", range(20))
def test_all_that_are_wanted_are_there_once_and_no_more_move_than_must(seed):
    draw = random.Random(seed)
    before, wanted = (tuple(draw.sample(range(12), draw.randrange(12))) for _ in range(2))
    after = arranged(before, wanted)
    assert sorted(after) == sorted(wanted)
    stayed = sum(one == other for one, other in zip(before, after, strict=False))
    # Those that lay beyond the new end are the only ones that may move.
    assert stayed == len(set(before[: len(wanted)]) & set(wanted))


def test_a_stack_has_the_layers_of_its_slots_also_when_a_slot_gets_another():
    by_slot, stack, draw = {slot: narrow(slot) for slot in range(9)}, Stack(), random.Random(1)
    for step in range(30):
        by_slot[draw.randrange(9)] = narrow(100 + step)
        slots, held = stack.hold(by_slot, tuple(draw.sample(range(9), draw.randrange(1, 9))))
        x = torch.randn(len(slots), 3, 6)
        alone = torch.stack([part @ by_slot[slot].down @ by_slot[slot].up for part, slot in zip(x, slots, strict=True)])
        torch.testing.assert_close(held(x), alone)


def test_only_who_comes_is_copied():
    by_slot, stack = {slot: narrow(slot) for slot in range(5)}, Stack()
    _, first = stack.hold(by_slot, (0, 1, 2))
    first.down[:] = 7
    slots, second = stack.hold(by_slot, (0, 2, 4))
    assert slots == (0, 4, 2)
    assert (second.down == 7).flatten(1).all(1).tolist() == [True, False, True]


def test_stacks_of_narrower_numbers_are_float32_and_trained_layers_get_their_gradients():
    assert Stack().hold({0: narrow(0, torch.bfloat16)}, (0,))[1].down.dtype is torch.float32
    trained = narrow(1)
    trained.down.requires_grad_()
    stack = Stack()
    for _ in range(2):
        stack.hold({3: trained}, (3,))[1](torch.ones(1, 1, 6)).sum().backward()
    torch.testing.assert_close(trained.down.grad, 2 * trained.up.sum(1).expand(6, 2))
