"""A training run without a model: one number is learned, or losses come from a script; for tests of the loop."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fettle.data.packing import Batch, EncodedRows
from fettle.data.template import Encoded
from fettle.tuning.checkpoint import Checkpoints, State
from fettle.tuning.learner import Learner
from fettle.tuning.loop import Run
from fettle.tuning.objectives import Loss
from fettle.types.tuning import Hyperparameters, TuningEvent

TOKENS_PER_ROW = 4


def toy_rows(count: int) -> EncodedRows:
    """Rows of four tokens, different ones, of which three are scored."""
    return EncodedRows(
        Encoded([number % 7 + place for place in range(TOKENS_PER_ROW)], [False, True, True, True])
        for number in range(count)
    )


class ToyLearner:
    """Learns the mean of all targets by squared distance.

    Attributes:
        value: what is learned.
        sizes: tokens of every batch that was asked for.
        is_training: as the loop has switched it.
    """

    def __init__(self, *, rate: float = 0.1) -> None:
        """A learner that knows nothing."""
        self.value = torch.zeros(1, requires_grad=True)
        self.sizes: list[int] = []
        self.is_training = False
        self.learner = Learner(
            {"value": self.value}, self._loss, self._counts, [torch.optim.SGD([self.value], lr=rate)], self._switch
        )

    def terms(self, batch: Batch) -> Tensor:
        """The loss, summed over the scored tokens."""
        targets: Tensor = torch.from_numpy(batch.targets).float()
        return ((self.value - targets) ** 2).sum()[None]

    def _loss(self, batch: Batch) -> Loss:
        self.sizes.append(len(batch.tokens))
        return Loss(self.terms(batch), num_correct=0, num_tokens=len(batch.at))

    def _counts(self, batch: Batch) -> tuple[int]:
        return (len(batch.at),)

    def _switch(self, is_training: bool) -> None:
        self.is_training = is_training


class ScriptedLearner(ToyLearner):
    """Has the losses that it is told, in training and in validation, one per batch."""

    def __init__(self, train: Sequence[float], validation: Sequence[float] = ()) -> None:
        """A learner with these losses."""
        super().__init__()
        self._train, self._validation = iter(train), iter(validation)

    def terms(self, batch: Batch) -> Tensor:
        """The next loss; its gradient is 1 whatever it is."""
        script: Iterator[float] = self._train if self.is_training else self._validation
        return (next(script) + self.value - self.value.detach()) * len(batch.at)


class CountedCheckpoints(Checkpoints):
    """Checkpoints that know at which steps they were written."""

    def __init__(self, folder: Path) -> None:
        """None yet."""
        super().__init__(folder)
        self.steps: list[int] = []

    def save(self, state: State) -> None:
        """Replace the checkpoint, and note its step."""
        super().save(state)
        self.steps.append(state["progress"]["step"])


def toy_run(
    toy: ToyLearner,
    folder: Path,
    emit: Callable[[TuningEvent], None] = lambda _: None,
    *,
    num_steps: int = 10,
    rows_per_step: int = 8,
    has_validation: bool = True,
    **settings: Any,
) -> Run:
    """A run whose epoch has this many steps; one epoch, unless the settings say otherwise."""
    places = range(num_steps * rows_per_step)
    plan = [places[start : start + rows_per_step] for start in places[::rows_per_step]]
    return Run(
        learner=toy.learner,
        rows=toy_rows(len(places)),
        plan=lambda _: plan,
        validation=toy_rows(8) if has_validation else None,
        settings=Hyperparameters(**{"epochs": 1} | settings),
        schedule=lambda _step, _total: 1.0,
        checkpoints=CountedCheckpoints(folder),
        emit=emit,
    )
