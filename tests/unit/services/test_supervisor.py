import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from fettle.clusters.processes import ProcessId, wait_until
from fettle.errors import Conflict, InvalidInput
from fettle.services.platform import Platform
from fettle.services.supervisor import Supervisor
from fettle.settings import Settings
from fettle.types.resources import JobState, Order, TuningJob
from fettle.types.tuning import TuningSpec
from tests.unit.services.conftest import WORKERS, Create, Rows

SERVER = """
import sys
from pathlib import Path
from fettle.services.platform import Platform, WorkerModules
from fettle.settings import load_settings

platform = Platform(load_settings(home=Path(sys.argv[1]), threads=1), WorkerModules(tune="scripted_tuner"))
platform.supervisor.start()
print("started", flush=True)
sys.stdin.read()
"""
RUNNER = SERVER.replace("supervisor.start()", "tuning_jobs.run(sys.argv[2], lambda event: print(event, flush=True))")


@pytest.fixture
def order(platform: Platform, rows: Rows) -> Create:
    """Makes jobs that the server runs."""

    def ordered(how: str = "go", name: str = "tickets", method: str = "lora") -> TuningJob:
        spec = TuningSpec(base="small", method=method, name=name)
        return platform.tuning_jobs.create(spec, rows(how), order=Order(suffix=name))

    return ordered


@pytest.fixture
def until(platform: Platform) -> Callable[[str, JobState], TuningJob]:
    def waited(job_id: str, state: JobState) -> TuningJob:
        assert wait_until(lambda: platform.tuning_jobs.get(job_id).state == state, 60), platform.tuning_jobs.get(job_id)
        return platform.tuning_jobs.get(job_id)

    return waited


def steps(platform: Platform, job_id: str) -> list[int]:
    return [event.body["step"] for event in platform.tuning_jobs.events(job_id) if event.type == "step"]


def worker_of(platform: Platform, job_id: str, step: int) -> ProcessId:
    """The worker of a job, once it has told this step."""
    assert wait_until(lambda: steps(platform, job_id)[-1:] == [step], 60)
    return ProcessId.of(platform.tuning_jobs.get(job_id).pid or 0)


def ended(job: TuningJob) -> datetime:
    assert job.finished_at is not None
    return job.finished_at


def test_queued_jobs_are_run_one_after_the_other_in_their_order(
    platform: Platform, order: Create, supervisor: Supervisor, until: Callable[..., TuningJob]
) -> None:
    jobs = [order() for _ in range(3)]
    supervisor.wake()
    done = [until(job.id, "succeeded") for job in jobs]
    assert sorted(done, key=ended) == done
    assert [model.job_id for model in platform.custom_models.list()] == [job.id for job in jobs]


def test_no_more_jobs_run_at_once_than_the_bound(
    platform: Platform, order: Create, until: Callable[..., TuningJob]
) -> None:
    held, also_held, third = order("hold 1"), order("hold 1"), order()
    two = Supervisor(platform.tuning_jobs, platform.sweeps, max_running=2)
    two.start()
    for job in (held, also_held):
        worker_of(platform, job.id, 1)
    assert platform.tuning_jobs.get(third.id).state == "queued"
    platform.tuning_jobs.stop(held.id, "cancelled")
    until(third.id, "succeeded")
    two.stop()
    assert platform.tuning_jobs.get(also_held.id).state == "queued"


def test_a_job_that_is_cancelled_ends_with_its_worker_and_the_next_one_runs(
    platform: Platform, order: Create, supervisor: Supervisor, until: Callable[..., TuningJob]
) -> None:
    job, other = order("hold 2"), order()
    supervisor.wake()
    worker = worker_of(platform, job.id, 2)
    cancelled = platform.tuning_jobs.stop(job.id, "cancelled")
    assert (cancelled.state, cancelled.pid, cancelled.error, cancelled.wanted) == ("cancelled", None, "", None)
    assert cancelled.finished_at
    assert not worker.is_alive
    assert platform.tuning_jobs.events(job.id)[-1].type == "cancelled"
    until(other.id, "succeeded")
    with pytest.raises(Conflict, match="cancelled"):
        platform.tuning_jobs.stop(job.id, "paused")


def test_a_paused_job_goes_on_from_its_checkpoint(
    platform: Platform, order: Create, supervisor: Supervisor, until: Callable[..., TuningJob]
) -> None:
    job = order("hold 3")
    supervisor.wake()
    worker = worker_of(platform, job.id, 3)
    paused = platform.tuning_jobs.stop(job.id, "paused")
    assert (paused.state, paused.finished_at, worker.is_alive) == ("paused", None, False)
    assert platform.tuning_jobs.queue(job.id).state == "queued"
    supervisor.wake()
    assert until(job.id, "succeeded").error == ""
    assert steps(platform, job.id) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("state", ["paused", "cancelled"])
def test_a_waiting_job_that_is_stopped_is_not_run(
    platform: Platform, order: Create, until: Callable[..., TuningJob], state: JobState
) -> None:
    job, other = order(), order()
    assert platform.tuning_jobs.stop(job.id, state).state == state
    with pytest.raises(Conflict, match="not queued"):
        platform.tuning_jobs.run(job.id, is_from_queue=True)
    platform.supervisor.start()
    until(other.id, "succeeded")
    assert platform.tuning_jobs.get(job.id).state == state
    assert steps(platform, job.id) == []


def test_a_supervisor_that_stops_queues_what_ran_and_goes_on_when_it_starts(
    platform: Platform, order: Create, supervisor: Supervisor, until: Callable[..., TuningJob]
) -> None:
    job = order("hold 4")
    supervisor.wake()
    worker = worker_of(platform, job.id, 4)
    supervisor.stop()
    assert (platform.tuning_jobs.get(job.id).state, worker.is_alive) == ("queued", False)
    supervisor.start()
    until(job.id, "succeeded")
    assert steps(platform, job.id) == [1, 2, 3, 4, 5, 6]


def test_a_job_that_fails_says_why_and_the_next_one_runs(
    platform: Platform, order: Create, supervisor: Supervisor, until: Callable[..., TuningJob]
) -> None:
    job, other = order("error"), order()
    supervisor.wake()
    until(other.id, "succeeded")
    failed = platform.tuning_jobs.get(job.id)
    assert failed.state == "failed"
    assert "the loss is no number" in failed.error
    assert failed.finished_at


def test_what_somebody_runs_for_himself_is_left_to_him(
    platform: Platform, create: Create, order: Create, supervisor: Supervisor, until: Callable[..., TuningJob]
) -> None:
    own, ordered = create(), order()
    supervisor.wake()
    until(ordered.id, "succeeded")
    assert platform.tuning_jobs.get(own.id).state == "queued"


def test_when_the_server_is_killed_its_job_goes_on_under_the_next_one(
    platform: Platform, order: Create, settings: Settings, until: Callable[..., TuningJob]
) -> None:
    job = order("hold 2")
    command = [sys.executable, "-c", SERVER, str(settings.home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as server:
        worker = worker_of(platform, job.id, 2)
        server.kill()
    assert worker.is_alive, "it holds, so nobody has told it yet"
    with Platform(settings, WORKERS) as next_one:
        next_one.supervisor.start()
        assert not worker.is_alive
        until(job.id, "succeeded")
    assert steps(platform, job.id) == [1, 2, 3, 4, 5, 6]
    assert len(platform.custom_models.list()) == 1


def test_when_server_and_worker_are_killed_the_job_is_queued_at_the_next_look(
    platform: Platform, order: Create, settings: Settings
) -> None:
    job = order("hold 2")
    with subprocess.Popen([sys.executable, "-c", SERVER, str(settings.home)], stdin=subprocess.PIPE) as server:
        worker = worker_of(platform, job.id, 2)
        server.kill()
    os.kill(worker.pid, signal.SIGKILL)
    assert wait_until(lambda: not worker.is_alive, 10)
    with Platform(settings, WORKERS) as later:
        assert later.tuning_jobs.get(job.id).state == "queued"
        assert "was killed" in later.tuning_jobs.events(job.id)[-1].body["error"]


def test_a_job_that_another_process_runs_can_be_cancelled(
    platform: Platform, create: Create, settings: Settings
) -> None:
    job = create("hold 2")
    command = [sys.executable, "-c", RUNNER, str(settings.home), job.id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as runner:
        worker = worker_of(platform, job.id, 2)
        assert platform.tuning_jobs.stop(job.id, "cancelled").state == "cancelled"
        runner.communicate()
    assert not worker.is_alive
    assert platform.tuning_jobs.queue(job.id).is_supervised


def test_a_cancellation_outlives_the_server_that_was_to_carry_it_out(
    platform: Platform, order: Create, settings: Settings
) -> None:
    job = order("hold 2")
    with subprocess.Popen([sys.executable, "-c", SERVER, str(settings.home)], stdin=subprocess.PIPE) as server:
        worker = worker_of(platform, job.id, 2)
        server.kill()
    # Nobody runs it any more, so whoever cancels it also takes note.
    assert platform.tuning_jobs.stop(job.id, "cancelled").state == "cancelled"
    assert not worker.is_alive


def test_the_steps_are_left_as_a_table(
    platform: Platform, order: Create, supervisor: Supervisor, until: Callable[..., TuningJob]
) -> None:
    job = order("hold 3")
    supervisor.wake()
    worker_of(platform, job.id, 3)
    platform.tuning_jobs.stop(job.id, "paused")
    platform.tuning_jobs.queue(job.id)
    supervisor.wake()
    done = until(job.id, "succeeded")
    (file,) = platform.files.page(limit=10)
    assert (file.id, file.purpose) == (done.results_file, "fine-tune-results")
    lines = platform.files.path(file).read_text().splitlines()
    assert lines[0] == "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy"
    assert lines[1] == "1,1.0,0.5,,"
    assert lines[6].startswith("6,0.16")
    assert lines[6].endswith(",0.5,0.5,0.8")
    assert len(lines) == 7


def test_when_the_table_cannot_be_kept_the_job_fails_whole_and_a_retry_only_finishes(
    platform: Platform, order: Create, settings: Settings, supervisor: Supervisor, until: Callable[..., TuningJob]
) -> None:
    job = order("hold 3")
    supervisor.wake()
    worker = worker_of(platform, job.id, 3)
    staging = settings.home / "artifacts" / "staging"
    staging.rmdir()
    staging.write_text("in the way")
    platform.tuning_jobs.stop(job.id, "paused")
    platform.tuning_jobs.queue(job.id)
    supervisor.wake()
    assert "cannot be kept" in until(job.id, "failed").error
    assert (platform.files.page(limit=10), platform.custom_models.list()) == ([], [])
    staging.unlink()
    platform.tuning_jobs.queue(job.id)
    supervisor.wake()
    until(job.id, "succeeded")
    assert steps(platform, job.id) == [1, 2, 3, 4, 5, 6]
    assert (len(platform.files.page(limit=10)), worker.is_alive) == (1, False)


def test_a_refused_order_is_not_recorded(platform: Platform, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"prompt": "a"}\n')
    with pytest.raises(InvalidInput):
        platform.tuning_jobs.create(TuningSpec(base="small", method="lora", name="x"), bad, order=Order())
    assert platform.tuning_jobs.list() == []


def test_two_servers_on_one_queue_run_each_job_once(
    platform: Platform, order: Create, settings: Settings, supervisor: Supervisor, until: Callable[..., TuningJob]
) -> None:
    with Platform(settings, WORKERS) as other:
        other.supervisor.start()
        jobs = [order() for _ in range(4)]
        for each in (supervisor, other.supervisor):
            each.wake()
        for job in jobs:
            until(job.id, "succeeded")
    for job in jobs:
        assert [event.type for event in platform.tuning_jobs.events(job.id)].count("running") == 1
    assert [model.version for model in platform.custom_models.list()] == [1, 2, 3, 4]
