"""Jobs that another process runs are followed by what they tell."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from fettle.clusters.frames import error_from
from fettle.errors import FettleError
from fettle.types.told import JobEvent, JobTold
from fettle.types.tuning import EvaluationEvent, MessageEvent, StepEvent, TuningEvent

#: How soon something new is seen.
LOOK_SECONDS = 0.5
_UNFINISHED = ("queued", "running")
_SHOWN = {kind.model_fields["type"].default for kind in (StepEvent, EvaluationEvent, MessageEvent)}
_event: TypeAdapter[TuningEvent] = TypeAdapter(Annotated[TuningEvent, Field(discriminator="type")])


class Follower:
    """Shows what a job tells, each event once."""

    def __init__(
        self, told: Callable[[int], Sequence[JobEvent]], on_event: Callable[[TuningEvent], None], *, after: int = 0
    ) -> None:
        """A follower that has seen nothing.

        Args:
            told: what the job has told from after the event with a number, in order.
            on_event: called with everything that it tells.
            after: number of the event after which to begin.
        """
        self._told, self._on_event, self._after = told, on_event, after

    def catch_up(self) -> None:
        """Show what is new."""
        for event in _all(self._told, self._after):
            self._after = int(event.id)
            if event.type in _SHOWN:
                self._on_event(_event.validate_python({**event.body, "type": event.type}))


def follow(look: Callable[[], Sequence[JobTold]], followers: Sequence[Follower]) -> Sequence[JobTold]:
    """The jobs as they ended, once all of them have; `look` tells how they are now."""
    while True:
        # In this order: nothing is told any more by a job that has ended.
        jobs = look()
        for follower in followers:
            follower.catch_up()
        if all(job.state not in _UNFINISHED for job in jobs):
            return jobs
        time.sleep(LOOK_SECONDS)


def last_event(told: Callable[[int], Sequence[JobEvent]]) -> int:
    """The number of the last event so far; 0 when nothing was told."""
    return max((int(event.id) for event in _all(told, 0)), default=0)


def error_of(job: JobTold, told: Callable[[int], Sequence[JobEvent]]) -> FettleError:
    """Why a job has made no model."""
    if job.state != "failed":
        hint = f"Go on from its last checkpoint with: fettle tune --resume {job.id}"
        return FettleError(f"the tuning job {job.id!r} is {job.state}", hint=hint)
    bodies: list[dict[str, Any]] = [event.body for event in _all(told, 0) if event.type == "failed"]
    code = bodies[-1].get("code") if bodies else None
    return error_from({"code": code, "message": job.error})


def _all(told: Callable[[int], Sequence[JobEvent]], after: int) -> Iterator[JobEvent]:
    while page := told(after):
        yield from page
        after = int(page[-1].id)
