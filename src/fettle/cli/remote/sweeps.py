"""Sweeps at a server, which runs them; their jobs are followed all at once."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from fettle.cli.following import Follower, follow, last_event
from fettle.cli.installation import OnJobEvent
from fettle.cli.remote.connection import NATIVE, Connection
from fettle.cli.remote.jobs import RemoteJobs, named_as_here, upload_all
from fettle.errors import TrainingFailed
from fettle.types.sweeps import SweepResult
from fettle.types.told import JobTold, SweepTold
from fettle.types.tuning import TuningSpec

SWEEPS = f"{NATIVE}/sweeps"


class RemoteSweeps:
    """The sweeps of the project that the key belongs to."""

    def __init__(self, server: Connection, jobs: RemoteJobs) -> None:
        """The sweeps at `server`, whose runs are among its `jobs`."""
        self._server, self._jobs = server, jobs

    def create(
        self,
        specs: Sequence[TuningSpec],
        train: Path,
        validation: Path | None,
        *,
        cluster: str | None,
        priority: int,
        keep_all: bool,
    ) -> str:
        """Upload the rows, and order the jobs; the sweep's id."""
        train_id, validation_id = upload_all(self._server, train, validation)
        order = {
            "specs": [spec.model_dump(mode="json") for spec in specs],
            "train_file": train_id,
            "validation_file": validation_id,
            "cluster": cluster,
            "priority": priority,
            "keep_all": keep_all,
        }
        with named_as_here(train, validation):
            return str(self._server.post(SWEEPS, order)["id"])

    def jobs_of(self, sweep_id: str) -> Sequence[JobTold]:
        """A sweep's jobs in their order, or NotFound."""
        return self._get(sweep_id).jobs

    def run(self, sweep_id: str, on_event: OnJobEvent, *, keep_all: bool, is_begun: bool) -> SweepResult:
        """See a sweep to its end."""
        events = {job.id: self._jobs.events_of(job.id) for job in self.jobs_of(sweep_id)}
        seen = {job_id: last_event(told) if is_begun else 0 for job_id, told in events.items()}
        if is_begun:
            self._server.post(f"{SWEEPS}/{sweep_id}/resume", {"keep_all": keep_all})
        followers = [Follower(told, partial(on_event, one), after=seen[one]) for one, told in events.items()]
        follow(lambda: self.jobs_of(sweep_id), followers)
        result = self._get(sweep_id).result
        if result.model is None:
            fault = f"the sweep {sweep_id!r} has made no model; its first run: {result.runs[0].ended}"
            raise TrainingFailed(fault, hint=f"Go on with: fettle sweep --resume {sweep_id}", param="grid")
        return result

    def on_leaving(self, sweep_id: str) -> str:
        """That the sweep goes on."""
        return f"The sweep goes on at the server: [bold]fettle jobs list[/] shows its runs ({sweep_id})."

    def _get(self, sweep_id: str) -> SweepTold:
        return SweepTold.model_validate(self._server.get(f"{SWEEPS}/{sweep_id}"))
