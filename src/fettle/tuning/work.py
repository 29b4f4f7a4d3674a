"""The border between a run and who computes for it: a run asks for the loss of one batch after the other."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

import torch

from fettle.data.packing import Batch
from fettle.tuning.learner import Learner
from fettle.tuning.memory import DoesNotFitError, fitting
from fettle.tuning.objectives import Loss

T = TypeVar("T")


@dataclass(frozen=True)
class Work:
    """A batch whose loss a run waits for.

    Attributes:
        batch: rows, packed.
        shares: each term's weight in what gradients are taken of; None wants neither gradients nor dropout.
    """

    batch: Batch
    shares: tuple[float, ...] | None = None

    @property
    def is_training(self) -> bool:
        """Whether gradients are wanted."""
        return self.shares is not None


#: What yields work, is sent the losses of it, and returns a T; a DoesNotFitError is thrown where there is no loss.
Steps: TypeAlias = Generator[Work, Loss, T]


def computed(work: Work, learner: Learner) -> Loss:
    """The loss of a batch, after its gradients were added to the parameters'.

    Raises:
        DoesNotFitError: memory does not suffice; gradients may have been added in part.
    """
    learner.train_mode(work.is_training)
    with fitting(work.batch), torch.set_grad_enabled(work.is_training):
        loss = learner.loss(work.batch)
        add_gradients(loss, work)
    return loss


def add_gradients(loss: Loss, work: Work) -> None:
    """Add what the batch gives to the parameters' gradients."""
    # If not, nothing that is trained takes part in it: the watch over the gradients tells.
    if work.shares is not None and loss.terms.requires_grad:
        torch.autograd.backward(loss.terms @ loss.terms.new_tensor(work.shares))


class Waiting(Generic[T]):
    """Steps that wait for the loss of `work`, which is None when they have come to their end.

    Raises, from every method, what the steps raise.
    """

    def __init__(self, steps: Steps[T]) -> None:
        """Go to the first work."""
        self._steps, self._result = steps, list[T]()
        self.work: Work | None = None
        self._go_on(None)

    @property
    def result(self) -> T:
        """What the steps have returned at their end."""
        return self._result[0]

    def send(self, loss: Loss) -> None:
        """Give the loss of the work, and go to the next one."""
        self._go_on(loss)

    def throw(self, error: DoesNotFitError) -> None:
        """Say that there is no loss, and go to what is asked for instead."""
        self._go_on(error)

    def compute(self, learner: Learner) -> None:
        """Do the work that is waited for."""
        assert self.work is not None, "the steps have not ended"
        try:
            loss = computed(self.work, learner)
        except DoesNotFitError as error:
            self.throw(error)
        else:
            self.send(loss)

    def _go_on(self, answer: Loss | DoesNotFitError | None) -> None:
        try:
            if isinstance(answer, DoesNotFitError):
                self.work = self._steps.throw(answer)
            else:
                self.work = next(self._steps) if answer is None else self._steps.send(answer)
        except StopIteration as end:
            self.work, self._result = None, [end.value]
