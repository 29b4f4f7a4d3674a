"""The installation of this machine's home, opened in this process; what it ends is its own."""

from collections.abc import Callable, Sequence
from pathlib import Path

from fettle.cli.following import Follower, follow
from fettle.cli.installation import OnEvent, OnJobEvent
from fettle.services.data_checks import check_data
from fettle.services.platform import Platform
from fettle.types.data import DataReport
from fettle.types.endpoints import VersionLabel
from fettle.types.resources import JobState, TuningJob
from fettle.types.sweeps import SweepResult
from fettle.types.told import BaseModelTold, CustomModelTold, JobEvent, JobTold
from fettle.types.tuning import TuningSpec


class Here:
    """A platform as the commands ask for it."""

    def __init__(self, platform: Platform) -> None:
        """The installation that `platform` has opened."""
        self._platform = platform
        self.clusters, self.endpoints = platform.clusters, platform.endpoints
        self.keys, self.projects, self.audit = platform.keys, platform.projects, platform.audit
        self.engines, self.evaluations = platform.engines, platform.evaluations
        self.jobs, self.sweeps, self.models = JobsHere(platform), SweepsHere(platform), ModelsHere(platform)

    def check_data(self, file: Path, validation: Path | None, base: str) -> DataReport:
        """What is in a file of examples, and what is wrong with it."""
        base_models, settings = self._platform.base_models, self._platform.settings
        return check_data(file, validation, base, base_models=base_models, settings=settings)


class JobsHere:
    """Tuning jobs, which run in a worker of this process."""

    def __init__(self, platform: Platform) -> None:
        """The jobs of `platform`."""
        self._platform, self._jobs = platform, platform.tuning_jobs

    def list(self) -> Sequence[JobTold]:
        """All of them, oldest first."""
        return [self._told(job) for job in self._jobs.list()]

    def get(self, job_id: str) -> JobTold:
        """One of them, or NotFound."""
        return self._told(self._jobs.get(job_id))

    def create(
        self, spec: TuningSpec, train: Path, validation: Path | None, *, cluster: str | None, priority: int
    ) -> JobTold:
        """Check everything and record a job."""
        return self._told(self._jobs.create(spec, train, validation, cluster=cluster, priority=priority))

    def run(self, job_id: str, on_event: OnEvent, *, is_begun: bool) -> CustomModelTold:
        """See a job to its end; the custom model that it made."""
        return CustomModelTold.of(self._jobs.run(job_id, on_event))

    def follow(self, job_id: str, on_event: OnEvent) -> JobTold:
        """Everything that a job has told and tells until its end, whoever runs it; the job as it ended."""
        (ended,) = follow(lambda: [self.get(job_id)], [Follower(self._events(job_id), on_event)])
        return ended

    def stop(self, job_id: str, state: JobState) -> JobTold:
        """Have a job become paused or cancelled."""
        return self._told(self._jobs.stop(job_id, state))

    def metrics(self, job_id: str) -> str:
        """What a job has measured, as CSV."""
        return self._jobs.metrics(job_id)

    def on_leaving(self, job_id: str) -> str:
        """That the job has ended with this process."""
        return f"The last checkpoint is kept. Go on with: [bold]fettle tune --resume {job_id}[/]"

    def _told(self, job: TuningJob) -> JobTold:
        return JobTold.of(job, self._platform.custom_models.made_by(job))

    def _events(self, job_id: str) -> Callable[[int], Sequence[JobEvent]]:
        def events(after: int) -> Sequence[JobEvent]:
            found = self._jobs.events(job_id, after=after)
            return [JobEvent(id=str(one.id), type=one.type, at=one.at, body=one.body) for one in found]

        return events


class SweepsHere:
    """Sweeps, which run in a worker of this process."""

    def __init__(self, platform: Platform) -> None:
        """The sweeps of `platform`."""
        self._sweeps = platform.sweeps

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
        """Check everything and record the jobs; the sweep's id."""
        return self._sweeps.create_all(specs, train, validation, cluster=cluster, priority=priority, keep_all=keep_all)

    def jobs_of(self, sweep_id: str) -> Sequence[JobTold]:
        """A sweep's jobs in their order, or NotFound."""
        return [JobTold.of(job, None) for job in self._sweeps.jobs_of(sweep_id)]

    def run(self, sweep_id: str, on_event: OnJobEvent, *, keep_all: bool, is_begun: bool) -> SweepResult:
        """See a sweep to its end."""
        return self._sweeps.run_all(sweep_id, lambda job, event: on_event(job.id, event), keep_all=keep_all)

    def on_leaving(self, sweep_id: str) -> str:
        """That the sweep has ended with this process."""
        return f"The last checkpoints are kept. Go on with: [bold]fettle sweep --resume {sweep_id}[/]"


class ModelsHere:
    """Base models and custom models."""

    def __init__(self, platform: Platform) -> None:
        """The models of `platform`."""
        self._bases, self._customs, self._labels = platform.base_models, platform.custom_models, platform.version_labels

    def bases(self) -> Sequence[BaseModelTold]:
        """All base models."""
        return [BaseModelTold.of(entry) for entry in self._bases.list()]

    def customs(self) -> Sequence[CustomModelTold]:
        """All active versions of all custom models, oldest first."""
        return [CustomModelTold.of(model) for model in self._customs.list()]

    def get(self, name: str) -> CustomModelTold:
        """A version of a custom model, or NotFound."""
        return CustomModelTold.of(self._customs.get(name))

    def card(self, name: str) -> str:
        """Its model card, as Markdown."""
        return self._customs.card(self._customs.get(name))

    def delete(self, name: str) -> CustomModelTold:
        """Delete one version."""
        return CustomModelTold.of(self._customs.delete(name))

    def export(self, name: str, folder: Path, *, force: bool) -> None:
        """Write its files into a folder."""
        self._customs.export(name, folder, force=force)

    def label(self, name: str, word: str) -> VersionLabel:
        """Have a label mean a version."""
        return self._labels.put(name, word)
