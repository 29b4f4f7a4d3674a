"""Where a run stands: what its losses were, which was the best, and what has been said about them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from fettle.tuning.objectives import Loss
from fettle.tuning.trends import EvaluationTrend, StepTrend
from fettle.types.tuning import Metrics


@dataclass
class Tally:
    """The loss's terms with what they count, and accuracy, added up over batches."""

    terms: list[float] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    num_correct: int = 0
    num_tokens: int = 0
    num_ranked_first: int = 0
    num_ranked: int = 0

    @classmethod
    def of(cls, loss: Loss, counts: Sequence[int]) -> "Tally":
        """One batch's."""
        right = loss.num_correct, loss.num_tokens, loss.num_ranked_first, loss.num_ranked
        return cls(loss.terms.detach().tolist(), list(counts), *right)

    @classmethod
    def summed(cls, told: Iterable[Sequence[float]]) -> "Tally":
        """What several processes have counted, each as its `numbers`."""
        total = cls()
        for numbers in told:
            half = (len(numbers) - 4) // 2
            counts = [int(number) for number in numbers[half:]]
            total.merge(cls(list(numbers[:half]), counts[:half], *counts[half:]))
        return total

    @property
    def numbers(self) -> list[float]:
        """All that it counts, one after the other: the terms, their counts, and the four other numbers."""
        return [*self.terms, *self.counts, self.num_correct, self.num_tokens, self.num_ranked_first, self.num_ranked]

    def merge(self, other: "Tally") -> None:
        """Count all that another has counted."""
        self.terms = [a + b for a, b in zip_longest(self.terms, other.terms, fillvalue=0.0)]
        self.counts = [a + b for a, b in zip_longest(self.counts, other.counts, fillvalue=0)]
        self.num_correct += other.num_correct
        self.num_tokens += other.num_tokens
        self.num_ranked_first += other.num_ranked_first
        self.num_ranked += other.num_ranked

    @property
    def loss(self) -> float:
        """The sum of the terms' means."""
        return sum(term / max(count, 1) for term, count in zip(self.terms, self.counts, strict=True))

    def metrics(self) -> Metrics:
        """Loss, and accuracy per token of the answers."""
        return Metrics(
            loss=self.loss,
            token_accuracy=self.num_correct / max(self.num_tokens, 1),
            num_tokens=self.num_tokens,
            choice_accuracy=self.num_ranked_first / self.num_ranked if self.num_ranked else None,
        )


@dataclass
class Progress:
    """Where a run stands; with the learner's state and the random state this is the whole checkpoint."""

    step: int = 0
    trained_tokens: int = 0
    best_loss: float = math.inf
    best_step: int = 0
    reference_loss: float = math.inf
    num_without_improvement: int = 0
    is_stopped: bool = False
    max_tokens_per_batch: int | None = None
    since_evaluation: Tally = field(default_factory=Tally)
    train: Tally = field(default_factory=Tally)
    validation: Tally | None = None
    steps: StepTrend = field(default_factory=StepTrend)
    evaluations: EvaluationTrend = field(default_factory=EvaluationTrend)

    @classmethod
    def restored(cls, saved: dict[str, Any]) -> "Progress":
        """The opposite of `dataclasses.asdict`."""
        types = {"steps": StepTrend, "evaluations": EvaluationTrend}
        parts = {name: types.get(name, Tally)(**value) for name, value in saved.items() if isinstance(value, dict)}
        return cls(**saved | parts)
