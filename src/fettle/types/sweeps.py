"""What a sweep is asked to do, and what came of it."""

from typing import Any

from pydantic import Field

from fettle.types.record import Record
from fettle.types.resources import JobState
from fettle.types.tuning import TuningPlan


class SweepPlan(Record):
    """Plans that are carried out in one process."""

    plans: tuple[TuningPlan, ...]


class SweepRun(Record):
    """One tuning job of a sweep."""

    job: str
    settings: dict[str, Any] = Field(description="those that differ between the sweep's runs, without the seed")
    seed: int
    state: JobState
    loss: float | None = Field(description="best validation loss, in nats per scored token; None before its end")
    token_accuracy: float | None = Field(description="of the same validation")
    steps: int | None
    ended: str = Field(description="how: all steps, early stop, or what is wrong")
    model: str | None = Field(default=None, description="full name of the custom model that was registered")


class SweepPoint(Record):
    """Runs with the same settings but for their seeds: means, and standard deviations where there are several."""

    settings: dict[str, Any]
    num_runs: int = Field(description="that came to their end")
    loss: float | None
    loss_deviation: float | None
    token_accuracy: float | None
    token_accuracy_deviation: float | None
    steps: float | None
    ended: str


class SweepResult(Record):
    """What came of a sweep."""

    id: str
    runs: tuple[SweepRun, ...]
    points: tuple[SweepPoint, ...] = Field(description="the lowest mean loss first")
    best: str | None = Field(description="job with the lowest validation loss")
    model: str | None = Field(description="full name of the custom model that it made")
