"""Where losses are heading: away from all that was learned, or apart on rows that are trained and rows that are not."""

import math
from dataclasses import dataclass, field
from statistics import fmean

#: Steps that are judged together, since one batch alone says little.
WINDOW = 20
#: What the first steps had says where the model began.
FIRST_STEPS = 5


@dataclass
class StepTrend:
    """The losses of the last steps, beside the first ones and the best.

    Attributes:
        last: the newest at the end.
        first: mean of the first steps.
        best: the lowest mean so far.
    """

    last: list[float] = field(default_factory=list)
    first: float = math.inf
    best: float = math.inf

    def add(self, loss: float) -> None:
        """Count one more step."""
        self.last = [*self.last, loss][-WINDOW:]
        if len(self.last) < FIRST_STEPS:
            return
        self.best = min(self.best, self.mean)
        if self.first == math.inf:
            self.first = self.mean

    @property
    def mean(self) -> float:
        """Of the last steps."""
        return fmean(self.last)

    @property
    def has_exploded(self) -> bool:
        """Whether the losses are all worse than at the beginning and, on average, a nat more than twice the best."""
        return len(self.last) == WINDOW and min(self.last) > self.first and self.mean > 2 * self.best + 1


@dataclass
class EvaluationTrend:
    """The last three evaluations, each as its step, training loss and validation loss."""

    last: list[tuple[int, float, float]] = field(default_factory=list)
    is_told: bool = False

    def add(self, step: int, train: float, validation: float) -> None:
        """Count one more."""
        self.last = [*self.last, (step, train, validation)][-3:]

    def overfits(self, threshold: float) -> bool:
        """Whether validation loss rose twice, by more than `threshold` in all, while training loss fell twice."""
        if len(self.last) < 3:
            return False
        before, then, now = self.last
        is_falling = before[1] > then[1] > now[1]
        is_rising = before[2] < then[2] < now[2]
        return is_falling and is_rising and now[2] - before[2] > threshold

    @property
    def sentence(self) -> str:
        """What has happened since the first of them."""
        (first, train, validation), (last, last_train, last_validation) = self.last[0], self.last[-1]
        return (
            f"the model over-fits: from step {first} to {last} validation loss rose from {validation:.4f} to "
            f"{last_validation:.4f} while training loss fell from {train:.4f} to {last_train:.4f}"
        )
