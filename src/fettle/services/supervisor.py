"""The supervisor: runs the server's queued jobs by priority and age, a bounded number at a time."""

import logging
from threading import Condition, Thread

from fettle.errors import FettleError
from fettle.services.sweeps import Sweeps
from fettle.services.tuning_jobs import TuningJobs
from fettle.types.resources import TuningJob

log = logging.getLogger(__name__)
#: How soon a job is seen that another process has queued; those of this process are told by `wake`.
LOOK_SECONDS = 2.0
_END_SECONDS = 0.1


class Supervisor:
    """Threads that run jobs, each in a worker process; what was interrupted goes on when it starts."""

    def __init__(self, jobs: TuningJobs, sweeps: Sweeps, max_running: int) -> None:
        """A supervisor of `jobs`, of which those of a sweep run together; nothing runs before `start`."""
        self._jobs, self._sweeps, self._max_running = jobs, sweeps, max_running
        self._changed = Condition()
        self._threads: list[Thread] = []
        self._taken: dict[str, TuningJob] = {}
        self._is_ending = False

    def start(self) -> None:
        """Begin to run what is queued; what a killed server left running is queued again first."""
        self._is_ending = False
        self._jobs.recover(ends_orphans=True)
        self._threads = [Thread(target=self._work, daemon=True, name="tuning") for _ in range(self._max_running)]
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Look at the queue now."""
        with self._changed:
            self._changed.notify_all()

    def stop(self) -> None:
        """End what runs; it is queued, and goes on from its last checkpoint after the next start."""
        self._is_ending = True
        self.wake()
        for thread in self._threads:
            while thread.is_alive():
                self._put_all_back()
                thread.join(_END_SECONDS)
        self._threads = []

    def _put_all_back(self) -> None:
        for job in tuple(self._taken.values()):
            if job.sweep:
                self._sweeps.stop_all(job.sweep, "queued")
            else:
                self._jobs.put_back(job.id)

    def _work(self) -> None:
        while not self._is_ending:
            try:
                if job := self._take():
                    self._run(job)
            except Exception:
                # Whatever it was (a full disk, a locked database): the next look may find it gone.
                log.exception("the supervisor could not look at its jobs")
                self._rest()

    def _take(self) -> TuningJob | None:
        """The first job that waits and that no other thread has; None after having waited for one in vain."""
        with self._changed:
            for job in self._jobs.waiting():
                if _name(job) not in self._taken:
                    self._taken[_name(job)] = job
                    return job
            if not self._is_ending:
                self._changed.wait(LOOK_SECONDS)
            return None

    def _run(self, job: TuningJob) -> None:
        try:
            if job.sweep:
                self._sweeps.run_all(job.sweep, keep_all=job.keeps_all, is_from_queue=True)
            else:
                self._jobs.run(job.id, is_from_queue=True)
        except FettleError as error:
            # It is in the job's record and events, unless another process runs it.
            log.warning("a tuning job ended early", extra={"job": job.id, "error": str(error)})
            if self._jobs.get(job.id).state == "queued":
                self._rest()
        finally:
            del self._taken[_name(job)]

    def _rest(self) -> None:
        with self._changed:
            if not self._is_ending:
                self._changed.wait(LOOK_SECONDS)


def _name(job: TuningJob) -> str:
    """What is run as a whole: a job, or the sweep that it belongs to."""
    return job.sweep or job.id
