"""How a tuning job ends: in which state, when, and with which words."""

from datetime import datetime

from fettle.errors import FettleError
from fettle.types.ids import now
from fettle.types.resources import JobState


def ended(job_id: str, error: BaseException) -> tuple[JobState, str]:
    """The state of a job that an error ended, and what its record says of it."""
    if isinstance(error, FettleError):
        return "failed", str(error)
    if isinstance(error, Exception):
        return "failed", f"{type(error).__name__}: {error}"
    return "cancelled", f"interrupted. {how_to_go_on(job_id)}"


def end_of(state: JobState) -> datetime | None:
    """When a job ended that becomes this; None for one that goes on some day."""
    return now() if state in ("failed", "cancelled") else None


def how_to_go_on(job_id: str) -> str:
    """The command that runs a job again."""
    return f"Go on from the last checkpoint with: fettle tune --resume {job_id}"
