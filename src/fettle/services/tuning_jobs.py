"""Tuning jobs: check and record, run in a worker, go on after whatever happened."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from fettle.adapters.methods import METHODS
from fettle.clusters.lease import Lease, if_free, leased
from fettle.clusters.local import start_worker
from fettle.errors import Conflict, FettleError, StorageFailed, WorkerDied
from fettle.registry.base_models import BaseModels
from fettle.services.custom_models import CustomModels
from fettle.services.tuning_checks import check_tuning
from fettle.settings import Settings
from fettle.store.artifacts import ArtifactStore
from fettle.store.events import Event, EventLog
from fettle.store.repository import Repository
from fettle.types.ids import new_id, now
from fettle.types.resources import CustomModel, TuningJob
from fettle.types.tuning import TuningEvent, TuningPlan, TuningResult, TuningSpec

#: Written last by the tuner: a folder that has it is whole.
ABOUT_FILE = "fettle.json"
OnEvent = Callable[[TuningEvent], None]
_event: TypeAdapter[TuningEvent] = TypeAdapter(Annotated[TuningEvent, Field(discriminator="type")])


class TuningJobs:
    """Runs that make custom models.

    A job that was not finished, for whatever reason, can be run again: it goes on from its last checkpoint.
    """

    def __init__(
        self,
        repository: Repository,
        artifacts: ArtifactStore,
        events: EventLog,
        base_models: BaseModels,
        custom_models: CustomModels,
        settings: Settings,
        module: str,
    ) -> None:
        """The jobs in `repository`; `module` is the worker that does them."""
        self._repository, self._artifacts, self._events = repository, artifacts, events
        self._base_models, self._custom_models, self._settings = base_models, custom_models, settings
        self._module = module

    def create(self, spec: TuningSpec, train_path: Path, validation_path: Path | None = None) -> TuningJob:
        """Check everything and record a queued job.

        Its data are copied and the method's defaults written into its spec, so it can be run and repeated at any time.

        Raises:
            FettleError: with all that is wrong with spec and data; nothing is recorded.
        """
        check_tuning(spec, train_path, validation_path, self._base_models)
        spec = with_defaults(spec)
        names = {"train": train_path} | ({"validation": validation_path} if validation_path else {})
        files = {f"{part}{''.join(path.suffixes[-2:])}": path for part, path in names.items()}
        artifact = self._artifacts.add(files)
        paths = {f"{name.partition('.')[0]}_path": str(self._artifacts.path(artifact.hash) / name) for name in files}
        job = self._repository.insert(
            TuningJob.model_validate(
                {"id": new_id("job"), "spec": spec, "dataset_hash": artifact.hash, "created_at": now(), **paths}
            )
        )
        self._events.append(job.id, "created", name=spec.name, base=spec.base, method=spec.method)
        return job

    def list(self) -> list[TuningJob]:
        """All jobs, oldest first."""
        return self._repository.find(TuningJob)

    def get(self, job_id: str) -> TuningJob:
        """The job with this id.

        Raises:
            NotFound: there is none; with the nearest id.
        """
        return self._repository.get(TuningJob, job_id)

    def events(self, job_id: str, *, after: int = 0) -> Sequence[Event]:
        """What a job has told so far, in order, from after the event with id `after`."""
        return self._events.of(self.get(job_id).id, after=after)

    def run(self, job_id: str, on_event: OnEvent = lambda _: None) -> CustomModel:
        """Run a job to its end, from its last checkpoint if it has one; the custom model that it made.

        Raises:
            Conflict: it has succeeded already, or another process runs it.
            FettleError: it failed; it can be run again.
        """
        self.get(job_id)
        with leased(self.folder(job_id), f"the tuning job {job_id!r}") as lease:
            job = self._repository.move(TuningJob, job_id, "running", error="")
            try:
                return self._register(self._trained(job, lease, on_event))
            except BaseException as error:
                self._record_end(job_id, error)
                raise

    def resume(self, job_id: str, on_event: OnEvent = lambda _: None) -> CustomModel:
        """Run a job that was begun before.

        Raises:
            Conflict: it was never begun; else as for `run`.
        """
        if self.get(job_id).state == "queued":
            raise Conflict(f"the tuning job {job_id!r} was never begun", hint="Run it.", param="job")
        return self.run(job_id, on_event)

    def recover(self) -> None:
        """Mark the jobs as failed that are recorded as running, and whose process is gone."""
        for job in self._repository.find(TuningJob, state="running"):
            with if_free(self.folder(job.id)) as is_free:
                if is_free and self.get(job.id).state == "running":
                    self._record_end(job.id, WorkerDied("its process was killed", hint=_how_to_go_on(job.id)))

    def folder(self, job_id: str) -> Path:
        """Where a job keeps its checkpoints until it has succeeded."""
        return self._settings.home / "jobs" / job_id

    def _trained(self, job: TuningJob, lease: Lease, on_event: OnEvent) -> TuningJob:
        """The job with its result; its output folder is whole."""
        if job.result and (self.folder(job.id) / "output" / ABOUT_FILE).exists():
            return job
        try:
            result = self._train(job, lease, on_event)
        except (WorkerDied, StorageFailed) as error:
            error.hint = f"{error.hint} {_how_to_go_on(job.id)}".strip()
            raise
        return self._repository.update(job, result=result, pid=None)

    def _train(self, job: TuningJob, lease: Lease, on_event: OnEvent) -> TuningResult:
        folder, log_path = self.folder(job.id), self._settings.home / "logs" / f"{job.id}.log"
        threads = self._settings.threads
        with start_worker(
            self._module, self._plan(job), folder, log_path=log_path, threads=threads, pass_fds=[lease.fd]
        ) as worker:
            lease.lend(worker.identity)
            self._repository.update(job, pid=worker.pid)
            return TuningResult.model_validate(worker.result(lambda event: self._follow(job, event, on_event)))

    def _follow(self, job: TuningJob, told: dict[str, Any], on_event: OnEvent) -> None:
        event = _event.validate_python(told)
        self._events.append(job.id, event.type, **event.model_dump(mode="json", exclude={"type"}))
        on_event(event)

    def _plan(self, job: TuningJob) -> TuningPlan:
        folder = self.folder(job.id)
        return TuningPlan(
            spec=job.spec,
            base_path=self._base_models.get(job.spec.base).path,
            train_path=job.train_path,
            validation_path=job.validation_path,
            work_path=str(folder / "work"),
            output_path=str(folder / "output"),
            threads=self._settings.threads,
        )

    def _register(self, job: TuningJob) -> CustomModel:
        folder = self.folder(job.id)
        about = json.loads((folder / "output" / ABOUT_FILE).read_text(encoding="utf-8"))
        assert job.result is not None, "a job is registered once it is trained"
        model = self._custom_models.register(
            job,
            folder / "output",
            kind=METHODS[job.spec.method].kind or "full",
            prompt_format=about["prompt_format"],
            metrics=job.result.model_dump(include={"train", "validation"}),
        )
        for name in ("work", "output"):
            shutil.rmtree(folder / name, ignore_errors=True)
        return model

    def _record_end(self, job_id: str, error: BaseException) -> None:
        if isinstance(error, FettleError):
            state, told = "failed", str(error)
        elif isinstance(error, Exception):
            state, told = "failed", f"{type(error).__name__}: {error}"
        else:
            state, told = "cancelled", f"interrupted. {_how_to_go_on(job_id)}"
        self._repository.move(TuningJob, job_id, state, error=told, pid=None)
        self._events.append(job_id, state, error=told)


def with_defaults(spec: TuningSpec) -> TuningSpec:
    """The spec with the values that the method takes where none is given."""
    method, given = METHODS[spec.method], spec.hyperparameters
    config = method.adapter_config(spec.adapter)
    chosen = given.model_copy(update={"learning_rate": given.learning_rate or method.learning_rate})
    adapter = config.model_dump(mode="json") if config else {}
    return spec.model_copy(update={"adapter": adapter, "hyperparameters": chosen})


def _how_to_go_on(job_id: str) -> str:
    return f"Go on from the last checkpoint with: fettle tune --resume {job_id}"
