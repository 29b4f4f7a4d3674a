"""What a sink is, and what of an event is measured."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fettle.types.resources import TuningJob
from fettle.types.tuning import EvaluationEvent, Metrics, StepEvent


class Sink(Protocol):
    """Takes one job's measurements; what it raises costs the job nothing."""

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Show these values at this step."""

    def close(self, state: str) -> None:
        """The job has become `state`: nothing more comes."""


@dataclass(frozen=True)
class SinkKind:
    """A way to show measurements.

    `open` begins to show a job's, given the installation's home folder; it needs `module`, which is in `package`.
    """

    name: str
    module: str
    package: str
    open: Callable[[TuningJob, Path], Sink]


def measurements(event: StepEvent | EvaluationEvent) -> dict[str, float]:
    """The numbers of an event, by the names under which sinks show them."""
    if isinstance(event, StepEvent):
        return {f"step/{name}": getattr(event, name) for name in _STEP}
    return _scores("training", event.train) | _scores("validation", event.validation)


_STEP = ("loss", "token_accuracy", "learning_rate", "gradient_norm", "tokens_per_second", "epoch", "memory_bytes")


def _scores(part: str, metrics: Metrics) -> dict[str, float]:
    found = metrics.model_dump(include={"loss", "token_accuracy", "choice_accuracy"}, exclude_none=True)
    return {f"{part}/{name}": value for name, value in found.items()}
