"""Tuning jobs: check and record, run in a worker, go on after whatever happened."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from fettle.adapters.classifiers import methods_of
from fettle.adapters.methods import METHODS
from fettle.clusters.lease import Lease, end_orphan, end_worker, if_free, leased
from fettle.clusters.local import start_worker
from fettle.clusters.processes import wait_until
from fettle.errors import Conflict, FettleError, StorageFailed, WorkerDied
from fettle.registry.base_models import BaseModels
from fettle.services.custom_models import CustomModels
from fettle.services.files import Files
from fettle.services.job_ends import end_of, ended, how_to_go_on
from fettle.services.reporting import Reporter, check_sinks
from fettle.services.training_metrics import training_csv
from fettle.services.tuning_checks import check_tuning
from fettle.services.tuning_places import check_is_free, place_for, processes_of, threads_of
from fettle.services.tuning_specs import continued, with_defaults
from fettle.settings import Settings
from fettle.store.artifacts import ArtifactStore
from fettle.store.events import Event, EventLog
from fettle.store.repository import Repository
from fettle.types.ids import new_id, now
from fettle.types.lifecycle import check_move
from fettle.types.resources import CustomModel, JobState, Order, TuningJob
from fettle.types.tuning import TuningEvent, TuningPlan, TuningResult, TuningSpec

#: Written last by the tuner: a folder that has it is whole.
ABOUT_FILE = "fettle.json"
_NOTE_SECONDS = 10.0
_WORK = ("work", "output")  # checkpoints, and the model: what a job keeps until it has succeeded
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
        files: Files,
        settings: Settings,
        module: str,
    ) -> None:
        """The jobs in `repository`; `module` is the worker that does them."""
        self._repository, self._artifacts, self._events = repository, artifacts, events
        self._base_models, self._custom_models, self._settings = base_models, custom_models, settings
        self._files, self._module, self._root = files, module, settings.home / "jobs"

    def create(
        self,
        spec: TuningSpec,
        train_path: Path,
        validation_path: Path | None = None,
        order: Order | None = None,
        *,
        cluster: str | None = None,
        priority: int = 0,
    ) -> TuningJob:
        """Check everything and record a queued job.

        Its data are copied and the method's defaults written into its spec, so it can be run and repeated at any time.

        Args:
            spec: what to do; its base may be a custom model that tuning goes on with.
            train_path: the rows.
            validation_path: held-out rows; without them, some of the others are held out.
            order: who ordered it and how; the server runs such a job, any other is run by who made it.
            cluster: name or id of the fine-tuning cluster to run on; None: on none, with all threads.
            priority: of the jobs that wait for the server, the highest is run first.

        Raises:
            FettleError: with all that is wrong with spec and data; nothing is recorded.
        """
        check_sinks(self._settings.metric_sinks)
        spec = self.resolved(spec)
        check_tuning(spec, train_path, validation_path, self._base_models)
        about = {"order": order, "is_supervised": True} if order else {}
        return self._record(spec, train_path, validation_path, cluster=cluster, priority=priority, **about)

    def resolved(self, spec: TuningSpec) -> TuningSpec:
        """The spec on a base model, also if a custom model is named in its place (see `continued`)."""
        return continued(spec, self._base_models, self._custom_models, self._repository)

    def _record(
        self,
        spec: TuningSpec,
        train_path: Path,
        validation_path: Path | None,
        *,
        cluster: str | None = None,
        **about: Any,
    ) -> TuningJob:
        """Record a queued job that was checked; `about` are other fields of it."""
        base = self._base_models.get(spec.base)
        spec = with_defaults(spec, methods_of(base.family)[spec.method])
        names = {"train": train_path} | ({"validation": validation_path} if validation_path else {})
        files = {f"{part}{''.join(path.suffixes[-2:])}": path for part, path in names.items()}
        with self._artifacts.staged(files) as data, self._repository.write() as records:
            place = place_for(records, cluster, base) if cluster else None
            folder = self._artifacts.place_of(self._artifacts.place(data, records).hash)
            paths = {f"{name.partition('.')[0]}_path": str(folder / name) for name in files}
            about |= {"spec": spec, "dataset_hash": data.hash, **paths}
            about |= {"id": new_id("job"), "created_at": now(), "cluster_id": place}
            job = records.insert(TuningJob.model_validate(about))
            records.tell(job.id, "created", name=spec.name, base=spec.base, method=spec.method)
        return job

    def list(self) -> list[TuningJob]:
        """All jobs, oldest first."""
        return self._repository.find(TuningJob)

    def page(
        self, *, after: str | None = None, limit: int, within: Mapping[tuple[str, ...], str] | None = None
    ) -> Sequence[TuningJob]:
        """At most `limit` jobs, the newest first, from the one behind the job with the id `after`.

        Args:
            after: where the page begins; None begins at the newest.
            limit: jobs at most.
            within: texts that the jobs' records must hold, by their path, e.g. ("order", "suffix").

        Raises:
            NotFound: there is no job `after`.
        """
        return self._repository.page(TuningJob, after=after, limit=limit, within=within)

    def waiting(self) -> Sequence[TuningJob]:
        """The queued jobs that the server runs and whose cluster, if they have one, is free.

        The highest priority comes first; of one priority, the oldest.
        """
        with self._repository.read() as records:
            busy = {job.cluster_id for job in records.find(TuningJob, state="running")} - {None}
            queued = records.find(TuningJob, state="queued")
        free = [job for job in queued if job.is_supervised and job.cluster_id not in busy]
        return sorted(free, key=lambda job: -job.priority)

    def get(self, job_id: str) -> TuningJob:
        """The job with this id.

        Raises:
            NotFound: there is none; with the nearest id.
        """
        return self._repository.get(TuningJob, job_id)

    def events(self, job_id: str, *, after: int = 0, limit: int | None = None) -> Sequence[Event]:
        """What a job has told so far (at most `limit` events of it), in order, from after the event with id `after`."""
        return self._events.of(self.get(job_id).id, after=after, limit=limit)

    def newest_events(
        self, job_id: str, *, limit: int, before: int | None = None, types: tuple[str, ...] = ()
    ) -> Sequence[Event]:
        """At most `limit` of what a job has told (of all types unless some are named), the newest first.

        Args:
            job_id: which.
            limit: events at most.
            before: id of the event before which they begin; None begins at the newest.
            types: of these only.
        """
        return self._events.newest(self.get(job_id).id, limit=limit, before=before, types=types)

    def metrics(self, job_id: str) -> str:
        """What a job has measured so far, as CSV in the columns of OpenAI's result files.

        Raises:
            NotFound: there is no such job.
        """
        return training_csv(self._events.of(self.get(job_id).id, types=("step", "evaluation")))

    def run(self, job_id: str, on_event: OnEvent = lambda _: None, *, is_from_queue: bool = False) -> CustomModel:
        """Run a job to its end, from its last checkpoint if it has one; the custom model that it made.

        Args:
            job_id: which.
            on_event: called with everything that it tells.
            is_from_queue: run it only if it is queued (still: it may have been cancelled meanwhile).

        Raises:
            Conflict: it has succeeded already, or another process runs it.
            FettleError: it failed; it can be run again.
        """
        self.get(job_id)
        with leased(self.folder(job_id), f"the tuning job {job_id!r}") as lease:
            job = self._begin(job_id, is_from_queue=is_from_queue)
            reporter = self._reporter(job, on_event)
            try:
                return self._register(self._trained(job, lease, reporter.ahead_of(on_event)))
            except BaseException as error:
                # Else it has succeeded, and only its checkpoints were still to be removed.
                if self.get(job_id).state == "running":
                    self._record_end(job_id, error)
                raise
            finally:
                reporter.close(self.get(job_id).state)

    def resume(self, job_id: str, on_event: OnEvent = lambda _: None) -> CustomModel:
        """Run a job that was begun before.

        Raises:
            Conflict: it was never begun; else as for `run`.
        """
        if self.get(job_id).state == "queued":
            raise Conflict(f"the tuning job {job_id!r} was never begun", hint="Run it.", param="job")
        return self.run(job_id, on_event)

    def stop(self, job_id: str, state: JobState) -> TuningJob:
        """Have a job become paused or cancelled; when it runs, its worker is ended first, whoever runs it.

        Raises:
            Conflict: it cannot become that (any more).
        """
        with self._repository.write() as records:
            job = records.get(TuningJob, job_id)
            check_move("job", job_id, job.state, state)
            if job.state == "running":
                records.update(job, wanted=state)
            else:
                records.move(TuningJob, job_id, state, finished_at=end_of(state))
                records.tell(job_id, state)
        if job.state == "running":
            self._end_worker(job_id)
        return self.get(job_id)

    def put_back(self, job_id: str) -> None:
        """End the worker of a job that runs; it is queued then, unless somebody wanted it to end."""
        with self._repository.write() as records:
            job = records.get(TuningJob, job_id)
            if job.state == "running":
                records.update(job, wanted=job.wanted or "queued")
        if job.state == "running":
            end_worker(self.folder(job_id))

    def queue(self, job_id: str) -> TuningJob:
        """Have the server run a job that was not finished; it goes on from its last checkpoint.

        Raises:
            Conflict: it has succeeded, runs, or is queued already.
        """
        with self._repository.write() as records:
            records.tell(job_id, "queued")
            return records.move(TuningJob, job_id, "queued", is_supervised=True, error="", finished_at=None)

    def recover(self, *, ends_orphans: bool = False) -> None:
        """Bring the jobs that are recorded as running, and whose process is gone, in line: failed, or queued again.

        Args:
            ends_orphans: end also what still works for a runner that was killed, of jobs that the server runs.
        """
        for job in self._repository.find(TuningJob, state="running"):
            if ends_orphans and job.is_supervised:
                end_orphan(self.folder(job.id))
            self._is_over(job.id)

    def sweep(self) -> None:
        """Remove the checkpoints of jobs that have succeeded, where a process was killed before it could."""
        for job_id in {path.parent.name for name in _WORK for path in self._root.glob(f"*/{name}")}:
            if self._repository.find(TuningJob, id=job_id, state="succeeded"):
                self._clear(job_id)

    def folder(self, job_id: str) -> Path:
        """Where a job keeps its checkpoints until it has succeeded."""
        return self._root / job_id

    def log_path(self, job_id: str) -> Path:
        """Where a job's worker writes what goes wrong; there is none before it has begun."""
        return self._settings.home / "logs" / f"{job_id}.log"

    def _begin(self, job_id: str, *, is_from_queue: bool) -> TuningJob:
        with self._repository.write() as records:
            state = records.get(TuningJob, job_id).state
            if is_from_queue and state != "queued":
                raise Conflict(f"the tuning job {job_id!r} is {state}, not queued", param="job")
            check_is_free(records, records.get(TuningJob, job_id))
            records.tell(job_id, "running")
            return records.move(TuningJob, job_id, "running", error="", wanted=None, finished_at=None)

    def _end_worker(self, job_id: str) -> None:
        """End the worker, and wait until whoever runs the job has taken note."""
        end_worker(self.folder(job_id))
        wait_until(lambda: self._is_over(job_id), _NOTE_SECONDS)

    def _is_over(self, job_id: str) -> bool:
        """Whether a job does not run (any more); if nobody runs it though it is recorded so, this is put right."""
        with if_free(self.folder(job_id)) as is_free:
            job = self.get(job_id)
            if is_free and job.state == "running":
                error = WorkerDied("its process was killed", hint=how_to_go_on(job_id))
                self._record_end(job_id, error, goes_on=job.is_supervised)
                return True
        return job.state != "running"

    def _is_trained(self, job: TuningJob) -> bool:
        """Whether only its custom model is left to be registered."""
        return job.result is not None and (self.folder(job.id) / "output" / ABOUT_FILE).exists()

    def _trained(self, job: TuningJob, lease: Lease, on_event: OnEvent) -> TuningJob:
        """The job with its result; its output folder is whole."""
        if self._is_trained(job):
            return job
        try:
            result = self._train(job, lease, on_event)
        except (WorkerDied, StorageFailed) as error:
            error.hint = f"{error.hint} {how_to_go_on(job.id)}".strip()
            raise
        return self._repository.update(job, result=result, pid=None)

    def _train(self, job: TuningJob, lease: Lease, on_event: OnEvent) -> TuningResult:
        folder, log_path = self.folder(job.id), self.log_path(job.id)
        threads = threads_of(self._repository, job, self._settings.threads)
        with start_worker(
            self._module, self._plan(job), folder, log_path=log_path, threads=threads, pass_fds=[lease.fd]
        ) as worker:
            lease.lend(worker.identity)
            # After `lend`: whoever wants it to end from now on finds the worker.
            if self._repository.update(job, pid=worker.pid).wanted:
                raise WorkerDied("it was ended before it began")
            return TuningResult.model_validate(worker.result(lambda event: self._follow(job, event, on_event)))

    def _follow(self, job: TuningJob, told: dict[str, Any], on_event: OnEvent) -> None:
        self._tell(job, _event.validate_python(told), on_event)

    def _tell(self, job: TuningJob, event: TuningEvent, on_event: OnEvent) -> None:
        self._events.append(job.id, event.type, **event.model_dump(mode="json", exclude={"type"}))
        on_event(event)

    def _reporter(self, job: TuningJob, on_event: OnEvent) -> Reporter:
        settings = self._settings
        return Reporter(settings.metric_sinks, job, settings.home, lambda event: self._tell(job, event, on_event))

    def _plan(self, job: TuningJob) -> TuningPlan:
        folder, base = self.folder(job.id), self._base_models.get(job.spec.base)
        self._artifacts.path(job.dataset_hash)  # its rows are on this disk then
        threads = threads_of(self._repository, job, self._settings.threads)
        return TuningPlan(
            spec=job.spec,
            base_path=base.path,
            train_path=job.train_path,
            validation_path=job.validation_path,
            work_path=str(folder / "work"),
            output_path=str(folder / "output"),
            continues_path=self._custom_models.folder_of(job.spec.continues),
            cache_path=str(self._settings.home / "cache" / "trunk"),
            threads=threads,
            num_processes=self._settings.num_processes or processes_of(job, base, threads),
            strategy=self._settings.strategy,
        )

    def _register(self, job: TuningJob) -> CustomModel:
        folder = self.folder(job.id)
        about = json.loads((folder / "output" / ABOUT_FILE).read_text(encoding="utf-8"))
        assert job.result is not None, "a job is registered once it is trained"
        if job.is_supervised and not job.results_file:
            self._keep_results(job)
        model = self._custom_models.register(
            job,
            folder / "output",
            kind=about.get("kind") or METHODS[job.spec.method].kind or "full",
            prompt_format=about["prompt_format"],
            labels=about.get("labels", ()),
            metrics=job.result.model_dump(include={"train", "validation"}),
        )
        self._clear(job.id)
        return model

    def _clear(self, job_id: str) -> None:
        for name in _WORK:
            shutil.rmtree(self.folder(job_id) / name, ignore_errors=True)

    def _keep_results(self, job: TuningJob) -> None:
        """Keep the table of its steps as a file."""
        with self._files.draft() as path:
            path.write_text(self.metrics(job.id), encoding="utf-8")
            self._files.keep(path, "step_metrics.csv", "fine-tune-results", job=job)

    def _record_end(self, job_id: str, error: BaseException, *, goes_on: bool = False) -> None:
        state, told = ended(job_id, error)
        with self._repository.write() as records:
            asked = records.get(TuningJob, job_id).wanted
            cause, wanted = "" if asked else told, asked or ("queued" if goes_on else None)
            state, told = (wanted, "") if wanted else (state, told)
            records.move(TuningJob, job_id, state, error=told, pid=None, wanted=None, finished_at=end_of(state))
            code = {"code": error.code} if cause and isinstance(error, FettleError) else {}
            records.tell(job_id, state, error=cause, **code)
