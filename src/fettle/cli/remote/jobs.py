"""Tuning jobs and sweeps at a server, which runs them; they are followed by what they tell."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fettle.cli.following import Follower, error_of, follow, last_event
from fettle.cli.installation import OnEvent
from fettle.cli.remote.connection import NATIVE, PAGE, Connection
from fettle.data.files import check_is_file
from fettle.errors import FettleError
from fettle.types.resources import JobState
from fettle.types.told import CustomModelTold, JobEvent, JobTold
from fettle.types.tuning import TuningSpec

JOBS = f"{NATIVE}/tuning-jobs"
_VERBS: dict[JobState, str] = {"cancelled": "cancel", "paused": "pause"}


class RemoteJobs:
    """The jobs of the project that the key belongs to."""

    def __init__(self, server: Connection) -> None:
        """The jobs at `server`."""
        self._server = server

    def list(self) -> Sequence[JobTold]:
        """All of them, oldest first."""
        return list(self._server.pages(JOBS, JobTold))[::-1]

    def get(self, job_id: str) -> JobTold:
        """One of them, or NotFound."""
        return JobTold.model_validate(self._server.get(f"{JOBS}/{job_id}"))

    def create(
        self, spec: TuningSpec, train: Path, validation: Path | None, *, cluster: str | None, priority: int
    ) -> JobTold:
        """Upload the rows, and order a job."""
        names = ("train_file", "validation_file")
        files = upload_all(self._server, train, validation)
        order = {"spec": spec.model_dump(mode="json"), "cluster": cluster, "priority": priority}
        with named_as_here(train, validation):
            told = self._server.post(JOBS, {**order, **dict(zip(names, files, strict=True))})
        return JobTold.model_validate(told)

    def run(self, job_id: str, on_event: OnEvent, *, is_begun: bool) -> CustomModelTold:
        """See a job to its end; the custom model that it made."""
        events = self.events_of(job_id)
        after = last_event(events) if is_begun else 0
        if is_begun:
            self._server.post(f"{JOBS}/{job_id}/resume")
        (ended,) = follow(lambda: [self.get(job_id)], [Follower(events, on_event, after=after)])
        if ended.model is None:
            raise error_of(ended, events)
        return CustomModelTold.model_validate(self._server.get(f"{NATIVE}/custom-models/{ended.model}"))

    def follow(self, job_id: str, on_event: OnEvent) -> JobTold:
        """Everything that a job has told and tells until its end; the job as it ended."""
        (ended,) = follow(lambda: [self.get(job_id)], [Follower(self.events_of(job_id), on_event)])
        return ended

    def stop(self, job_id: str, state: JobState) -> JobTold:
        """Have a job become paused or cancelled."""
        return JobTold.model_validate(self._server.post(f"{JOBS}/{job_id}/{_VERBS[state]}"))

    def metrics(self, job_id: str) -> str:
        """What a job has measured, as CSV."""
        return self._server.text(f"{JOBS}/{job_id}/metrics")

    def on_leaving(self, job_id: str) -> str:
        """That the job goes on."""
        return f"The job goes on at the server. Follow it with: [bold]fettle jobs follow {job_id}[/]"

    def events_of(self, job_id: str) -> Callable[[int], Sequence[JobEvent]]:
        """What reads a job's events from after the one with a number."""

        def events(after: int) -> Sequence[JobEvent]:
            page = self._server.get(f"{JOBS}/{job_id}/events", after=after, limit=PAGE)
            return [JobEvent.model_validate(one) for one in page["data"]]

        return events


def upload_all(server: Connection, *files: Path | None) -> Sequence[str | None]:
    """The ids that files have at the server.

    Raises:
        FettleError: one cannot be read; nothing is uploaded then.
    """
    for file in filter(None, files):
        check_is_file(file)
    return [server.upload(file) if file else None for file in files]


@contextmanager
def named_as_here(*files: Path | None) -> Iterator[None]:
    """Let errors name files by their paths here: the server knows only what they are called."""
    try:
        yield
    except FettleError as error:
        for file in filter(None, files):
            error.message, error.hint = (text.replace(file.name, str(file)) for text in (error.message, error.hint))
        raise
