"""Sweeps: tuning jobs that differ in settings and seeds, trained in one process, compared, and the best one kept."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from fettle.adapters.kinds import KINDS
from fettle.adapters.kinds.base import AdapterKind
from fettle.adapters.methods import METHODS
from fettle.clusters.frames import error_from
from fettle.clusters.lease import Lease, end_worker, leased
from fettle.clusters.local import start_worker
from fettle.errors import Conflict, FettleError, InvalidInput, TrainingFailed, WorkerDied, unknown
from fettle.services.job_ends import end_of
from fettle.services.reporting import check_sinks
from fettle.services.sweep_results import best_job, sweep_result
from fettle.services.tuning_checks import check_tuning
from fettle.services.tuning_jobs import TuningJobs
from fettle.services.tuning_places import threads_of
from fettle.store.events import write_event
from fettle.store.repository import Records
from fettle.types.encoder import ENCODER_FAMILIES
from fettle.types.ids import new_id, now
from fettle.types.resources import JobState, Order, TuningJob
from fettle.types.sweeps import SweepPlan, SweepResult
from fettle.types.tuning import EvaluationEvent, Metrics, TuningEvent, TuningResult, TuningSpec

OnJobEvent = Callable[[TuningJob, TuningEvent], None]


class Sweeps(TuningJobs):
    """Tuning jobs like any other, which one worker trains together.

    A sweep that was not finished, for whatever reason, can be run again: runs that had ended are kept, the others go
    on from their checkpoints.
    """

    def create_all(
        self,
        specs: Sequence[TuningSpec],
        train: Path,
        validation: Path | None = None,
        order: Order | None = None,
        *,
        cluster: str | None = None,
        priority: int = 0,
        keep_all: bool = False,
    ) -> str:
        """Check everything and record a queued job for each spec; the sweep's id.

        Args:
            specs: what to do.
            train: the rows.
            validation: held-out rows; without them, some of the others are held out.
            order: who ordered it and how; the server runs such a sweep, any other is run by who made it.
            cluster: name or id of the fine-tuning cluster on which all run together; None: on none.
            priority: of what waits for the server, the highest is run first.
            keep_all: have all become custom models when the server runs it.

        Raises:
            FettleError: with all that is wrong with specs and data; nothing is recorded.
        """
        check_sinks(self._settings.metric_sinks)
        self._check(specs, train, validation)
        about = {"sweep": new_id("sweep"), "priority": priority, "keeps_all": keep_all, "order": order or Order()}
        jobs = [self._record(spec, train, validation, cluster=cluster, **about) for spec in specs]
        if order:
            self._hand_over(jobs)
        return str(about["sweep"])

    def queue_all(self, sweep_id: str, *, keep_all: bool = False) -> None:
        """Have the server run a sweep that was not finished; its runs go on from their last checkpoints.

        Raises:
            NotFound: there is no such sweep.
            Conflict: all its jobs have succeeded, or some are queued or run.
        """
        jobs = self.jobs_of(sweep_id)
        open_jobs = [job for job in jobs if job.state != "succeeded"]
        if not open_jobs:
            raise Conflict(f"the sweep {sweep_id!r} has succeeded", param="sweep")
        with self._repository.write() as records:
            for job in open_jobs:
                queued = {"is_supervised": True, "error": "", "finished_at": None, "keeps_all": keep_all}
                records.move(TuningJob, job.id, "queued", **queued)
                write_event(records.connection, job.id, "queued", now())

    def stop_all(self, sweep_id: str, state: JobState) -> None:
        """Have all jobs of a sweep that are not over become cancelled, or queued again; the worker is ended.

        Raises:
            NotFound: there is no such sweep.
        """
        jobs = [job for job in self.jobs_of(sweep_id) if job.state in ("queued", "running")]
        with self._repository.write() as records:
            # All of them before their worker ends: whoever takes note of that finds what is wanted of each.
            running = [job for job in jobs if self._note_wanted(records, job.id, state)]
        for job in running[:1]:
            end_worker(self.folder(job.id))

    def jobs_of(self, sweep_id: str) -> list[TuningJob]:
        """A sweep's jobs, in the order of its grid.

        Raises:
            NotFound: there is no such sweep; with the nearest id.
        """
        jobs = self.list()
        if found := [job for job in jobs if job.sweep == sweep_id]:
            return found
        raise unknown("sweep", sweep_id, {job.sweep for job in jobs if job.sweep}, param="sweep")

    def run_all(
        self,
        sweep_id: str,
        on_event: OnJobEvent = lambda _job, _event: None,
        *,
        keep_all: bool = False,
        is_from_queue: bool = False,
    ) -> SweepResult:
        """Run a sweep's jobs to their ends; the one with the lowest validation loss becomes a custom model.

        Args:
            sweep_id: which.
            on_event: called with every job's events.
            keep_all: all become custom models; the best one is the newest version.
            is_from_queue: run only those of its jobs that are queued.

        Raises:
            Conflict: another process runs some of its jobs.
            TrainingFailed: all jobs have failed.
            FettleError: the worker has ended early; the sweep can be run again.
        """
        states = ("queued",) if is_from_queue else ("queued", "running", "paused", "failed", "cancelled")
        jobs = [job for job in self.jobs_of(sweep_id) if job.state in states]
        with ExitStack() as held:
            leases = [held.enter_context(leased(self.folder(job.id), f"the tuning job {job.id!r}")) for job in jobs]
            follow = {job.id: self._following(job, partial(on_event, job), held) for job in jobs}
            try:
                begun = [self._begin(job.id, is_from_queue=is_from_queue) for job in jobs]
                self._work(sweep_id, begun, leases, follow)
                self._settle(sweep_id, keep_all=keep_all)
            except BaseException as error:
                self._record_ends(jobs, error)
                raise
        return self.result(sweep_id)

    def result(self, sweep_id: str) -> SweepResult:
        """What came of a sweep so far.

        Raises:
            NotFound: there is no such sweep.
        """
        jobs = self.jobs_of(sweep_id)
        made = {job.id: model.full_name for job in jobs if (model := self._custom_models.made_by(job))}
        return sweep_result(sweep_id, jobs, self._best(jobs), made)

    def _work(
        self,
        sweep_id: str,
        jobs: Sequence[TuningJob],
        leases: Sequence[Lease],
        follow: Mapping[str, Callable[[dict[str, Any]], None]],
    ) -> None:
        """Have a worker train the jobs that are not trained yet."""
        open_jobs = [job for job in jobs if not self._is_trained(job)]
        if not open_jobs:
            return
        try:
            self._train_all(sweep_id, open_jobs, leases, follow)
        except WorkerDied as error:
            error.hint = f"{error.hint} Go on from the last checkpoints with: fettle sweep --resume {sweep_id}".strip()
            raise

    def _following(
        self, job: TuningJob, on_event: Callable[[TuningEvent], None], held: ExitStack
    ) -> Callable[[dict[str, Any]], None]:
        """What takes all that a worker tells of one job, until `held` is closed."""
        reporter = self._reporter(job, on_event)
        held.callback(lambda: reporter.close(self.get(job.id).state))
        tell = reporter.ahead_of(on_event)
        return lambda told: self._take(job, told, tell)

    def _train_all(
        self,
        sweep_id: str,
        jobs: Sequence[TuningJob],
        leases: Sequence[Lease],
        follow: Mapping[str, Callable[[dict[str, Any]], None]],
    ) -> None:
        home, threads = self._settings.home, threads_of(self._repository, jobs[0], self._settings.threads)
        folder, log_path = home / "sweeps" / sweep_id, home / "logs" / f"{sweep_id}.log"
        plan, fds = SweepPlan(plans=tuple(self._plan(job) for job in jobs)), [lease.fd for lease in leases]
        with start_worker(self._module, plan, folder, log_path=log_path, threads=threads, pass_fds=fds) as worker:
            for lease in leases:
                lease.lend(worker.identity)
            # After `lend`: whoever wants one to end from now on finds the worker, which all of them share.
            wanted = [self._repository.update(job, pid=worker.pid).wanted for job in jobs]
            if any(wanted):
                raise WorkerDied("a job was ended before it began")
            worker.result(lambda line: follow[jobs[line["run"]].id](line["event"]))

    def _take(self, job: TuningJob, told: dict[str, Any], on_event: Callable[[TuningEvent], None]) -> None:
        match told["type"]:
            case "result":
                result = TuningResult.model_validate({name: told[name] for name in told if name != "type"})
                self._repository.update(job, result=result)
            case "error":
                self._record_end(job.id, error_from(told))
            case _:
                self._follow(job, told, on_event)

    def _settle(self, sweep_id: str, *, keep_all: bool) -> None:
        """Register the best job's model, or all, and let the others succeed without one."""
        jobs = self.jobs_of(sweep_id)
        best = best_job(self._best(jobs))
        if best is None:
            raise TrainingFailed(
                f"all {len(jobs)} runs of the sweep {sweep_id!r} have failed; the first: {jobs[0].error}", param="grid"
            )
        # The best one last: the newest version is what the name means, and what is killed before can be run again.
        for job in sorted(jobs, key=lambda job: job.id == best):
            if job.state == "running" and (keep_all or job.id == best):
                self._register(job)
            elif job.state == "running":
                self._close(job)

    def _close(self, job: TuningJob) -> None:
        """Let a job succeed without a custom model: what it measured is kept, what it made is not."""
        with self._repository.write() as records:
            records.move(TuningJob, job.id, "succeeded", pid=None, error="", finished_at=now())
            records.tell(job.id, "succeeded", model=None)
        self._clear(job.id)

    def _record_ends(self, jobs: Sequence[TuningJob], error: BaseException) -> None:
        running = [found for job in jobs if (found := self.get(job.id)).state == "running"]
        # Somebody wanted one of them to end, and with it the worker of all.
        is_one_wanted = any(job.wanted for job in running)
        for job in running:
            self._record_end(job.id, error, goes_on=is_one_wanted and job.is_supervised)

    def _note_wanted(self, records: Records, job_id: str, state: JobState) -> bool:
        """Note what a job is to become; False if it was queued and is so at once."""
        job = records.get(TuningJob, job_id)
        if job.state == "running":
            records.update(job, wanted=job.wanted or state)
        elif job.state == "queued" and state != "queued":
            records.move(TuningJob, job_id, state, finished_at=end_of(state))
            write_event(records.connection, job_id, state, now())
        return job.state == "running"

    def _hand_over(self, jobs: Sequence[TuningJob]) -> None:
        """Let the server run them, all at one moment: it takes a sweep as a whole."""
        with self._repository.write() as records:
            for job in jobs:
                records.update(records.get(TuningJob, job.id), is_supervised=True)

    def _best(self, jobs: Sequence[TuningJob]) -> dict[str, Metrics]:
        """The best validation of each job that was trained to its end."""
        return {job.id: best for job in jobs if job.result and (best := self._best_of(job))}

    def _best_of(self, job: TuningJob) -> Metrics | None:
        told = self._events.of(job.id, types=("evaluation",))
        found = [EvaluationEvent.model_validate(event.body).validation for event in told]
        return min(found, key=lambda metrics: metrics.loss, default=None)

    def _check(self, specs: Sequence[TuningSpec], train: Path, validation: Path | None) -> None:
        errors = [error for spec in specs for error in self._errors(spec, train, validation)]
        told = dict.fromkeys(line for error in errors for line in error.message.splitlines())
        hints = dict.fromkeys(error.hint for error in errors if error.hint)
        if told:
            raise InvalidInput("\n".join(told), hint="\n".join(hints), param=errors[0].param)

    def _errors(self, spec: TuningSpec, train: Path, validation: Path | None) -> Iterator[FettleError]:
        checks: tuple[Callable[[], None], ...] = (
            lambda: check_tuning(spec, train, validation, self._base_models),
            lambda: self._check_decoder(spec.base),
            lambda: _check_method(spec.method),
            lambda: _check_held_out(spec, validation),
        )
        for check in checks:
            try:
                check()
            except FettleError as error:
                yield error

    def _check_decoder(self, base: str) -> None:
        if base in {entry.name for entry in self._base_models.list() if entry.family in ENCODER_FAMILIES}:
            raise InvalidInput(f"{base!r} is a sentence encoder, and a sweep tunes decoders", param="base")


def _check_method(name: str) -> None:
    """The method can be trained beside others; whether it exists is checked elsewhere."""
    if name in METHODS and not _is_joint(name):
        known = ", ".join(name for name in METHODS if _is_joint(name))
        raise InvalidInput(
            f"method {name!r} cannot be trained in a sweep, whose runs share the base and its batches",
            hint=f"These can, for each trains an adapter at layers on the next token: {known}.",
            param="method",
        )


def _is_joint(name: str) -> bool:
    method = METHODS[name]
    has_sites = method.kind is not None and isinstance(KINDS[method.kind], AdapterKind)
    return has_sites and method.objective == "next_token"


def _check_held_out(spec: TuningSpec, validation: Path | None) -> None:
    """Something compares the runs."""
    if validation is None and spec.hyperparameters.validation_fraction == 0:
        hint = "Give --validation FILE, or leave validation_fraction out."
        raise InvalidInput("no rows are held out, so nothing compares the runs", hint=hint, param="validation")
