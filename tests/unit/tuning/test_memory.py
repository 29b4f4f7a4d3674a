"""A batch that does not fit into memory is computed in halves, with the same result."""

import gc
import subprocess
import sys
import weakref

import numpy as np
import pytest
import torch

from fettle.errors import TrainingFailed
from fettle.testing.training import TOKENS_PER_ROW, ToyLearner, toy_run
from fettle.tuning.memory import is_out_of_memory
from fettle.types.tuning import MessageEvent

CPU_SAYS = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096 bytes"


class SmallMemory(ToyLearner):
    """Has room for so many tokens; keeps a weak eye on what it held when there was no more, and its random numbers."""

    def __init__(self, room, error=lambda: RuntimeError(CPU_SAYS)):
        super().__init__()
        self.room, self.error, self.held, self.drawn = room, error, None, []

    def terms(self, batch):
        self.drawn.append(float(torch.rand(())))
        if self.held is not None:
            assert self.held() is None, "what the failed batch held is still in memory"
        if len(batch.tokens) > self.room:
            half_done = (self.value * torch.ones(1000)).sum()
            self.held = weakref.ref(half_done)
            if half_done.requires_grad:
                half_done.backward(retain_graph=True)
            raise self.error()
        return super().terms(batch)


def warnings(events):
    return [event.text for event in events if isinstance(event, MessageEvent) and event.level == "warning"]


@pytest.fixture
def plain(tmp_path):
    toy = ToyLearner()
    toy_run(toy, tmp_path / "plain").run()
    return toy


@pytest.mark.parametrize("error", [lambda: RuntimeError(CPU_SAYS), torch.OutOfMemoryError, MemoryError])
def test_halved_batches_train_to_the_same_values(plain, error, tmp_path):
    events, toy = [], SmallMemory(room=3 * TOKENS_PER_ROW, error=error)
    toy_run(toy, tmp_path / "small", events.append).run()
    assert toy.value.item() == pytest.approx(plain.value.item(), rel=1e-6)
    assert max(toy.sizes[3:]) <= 3 * TOKENS_PER_ROW
    assert [text.partition(":")[0] for text in warnings(events)] == [
        "32 tokens at once do not fit into memory at step 1",
        "16 tokens at once do not fit into memory at step 1",
    ]
    assert "max_tokens_per_batch is 8 from now on" in warnings(events)[1]


def test_the_same_random_numbers_are_drawn_again(tmp_path):
    toy = SmallMemory(room=3 * TOKENS_PER_ROW)
    toy_run(toy, tmp_path).run()
    assert toy.drawn[0] == toy.drawn[1] == toy.drawn[2]
    assert len(set(toy.drawn[2:])) == len(toy.drawn[2:])


def test_a_run_that_goes_on_remembers_what_fits(tmp_path):
    toy = SmallMemory(room=3 * TOKENS_PER_ROW)
    toy_run(toy, tmp_path, num_steps=4).run()
    again, events = SmallMemory(room=3 * TOKENS_PER_ROW), []
    toy_run(again, tmp_path, events.append, num_steps=4, epochs=2).run()
    assert not warnings(events)
    assert max(again.sizes) <= 3 * TOKENS_PER_ROW


def test_validation_that_does_not_fit_is_halved_too(tmp_path):
    class SmallInValidation(SmallMemory):
        def terms(self, batch):
            return super().terms(batch) if not self.is_training else ToyLearner.terms(self, batch)

    events, toy = [], SmallInValidation(room=4 * TOKENS_PER_ROW)
    progress = toy_run(toy, tmp_path, events.append).run()
    assert progress.validation.num_tokens == 8 * 3
    assert len(warnings(events)) == 1


def test_a_single_row_that_does_not_fit_ends_the_run_with_its_size(tmp_path):
    with pytest.raises(TrainingFailed, match="one row of 4 tokens does not fit into memory at step 1"):
        toy_run(SmallMemory(room=3), tmp_path).run()


def test_any_other_error_is_not_taken_for_a_lack_of_memory(tmp_path):
    toy = SmallMemory(room=3, error=lambda: RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        toy_run(toy, tmp_path).run()
    assert len(toy.sizes) == 1


def test_what_torch_and_numpy_really_say_is_understood():
    for allocate in (lambda: torch.empty(2**50, dtype=torch.uint8), lambda: np.empty(2**50, dtype=np.uint8)):
        with pytest.raises((RuntimeError, MemoryError)) as caught:
            allocate()
        assert is_out_of_memory(caught.value)
        gc.collect()


def test_the_peak_is_not_that_of_the_process_that_started_this_one():
    held = np.ones(2**28, dtype=np.uint8)
    code = "from fettle.tuning.memory import peak_memory_bytes; print(peak_memory_bytes())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 < int(told.stdout) < held.size
