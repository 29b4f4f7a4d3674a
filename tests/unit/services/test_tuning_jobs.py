import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fettle.adapters.methods import METHODS
from fettle.clusters.processes import ProcessId, wait_until
from fettle.errors import Conflict, FettleError, InvalidInput, NotFound, StorageFailed, TrainingFailed, WorkerDied
from fettle.services.platform import Platform
from fettle.settings import Settings
from fettle.store.files import files_in
from fettle.types.tuning import Hyperparameters, MessageEvent, StepEvent, TuningEvent, TuningSpec
from tests.unit.services.conftest import WORKERS, Create, Rows

RUNNER = """
import sys
from pathlib import Path
from fettle.services.platform import Platform, WorkerModules
from fettle.settings import load_settings
from fettle.types.tuning import StepEvent

def tell(event):
    if isinstance(event, StepEvent):
        print(event.step, platform.tuning_jobs.get(sys.argv[2]).pid, flush=True)

platform = Platform(load_settings(home=Path(sys.argv[1]), threads=1), WorkerModules(tune="scripted_tuner"))
platform.tuning_jobs.run(sys.argv[2], tell)
"""


def test_a_job_makes_a_custom_model_with_its_files_metrics_and_card(platform: Platform, create: Create) -> None:
    job = create()
    assert platform.tuning_jobs.get(job.id).state == "queued"
    events: list[TuningEvent] = []
    model = platform.tuning_jobs.run(job.id, events.append)
    done = platform.tuning_jobs.get(job.id)
    assert (done.state, done.model_id, done.pid, done.error) == ("succeeded", model.id, None, "")
    assert platform.custom_models.get("tickets") == model
    assert (platform.custom_models.path(model) / "adapter_model.safetensors").read_bytes() == b"weights of tickets"
    assert model.metrics["validation"]["loss"] == 0.5
    assert [event.step for event in events if isinstance(event, StepEvent)] == [1, 2, 3, 4, 5, 6]
    stored = [event.type for event in platform.tuning_jobs.events(job.id)]
    assert stored == ["created", "running", "message", *["step"] * 6, "evaluation", "succeeded"]
    assert "# tickets:1" in platform.custom_models.card(model)
    assert "work" not in {path.name for path in platform.tuning_jobs.folder(job.id).iterdir()}


def test_the_defaults_of_the_method_are_written_down(platform: Platform, create: Create) -> None:
    spec = platform.tuning_jobs.get(create().id).spec
    assert spec.hyperparameters.learning_rate == METHODS["lora"].learning_rate
    assert spec.adapter["rank"] == 32
    assert platform.tuning_jobs.create(spec, Path(create().train_path)).spec == spec
    assert create(method="full").spec.adapter == {}


def test_the_data_are_copied_so_the_job_does_not_need_the_file_any_more(
    platform: Platform, create: Create, rows: Rows
) -> None:
    job = create()
    content = rows("go").read_bytes()
    rows("go").unlink()
    assert Path(job.train_path).read_bytes() == content
    assert platform.tuning_jobs.run(job.id).dataset_hash == job.dataset_hash


def test_a_worker_that_is_killed_leaves_a_job_that_goes_on_from_its_checkpoint(
    platform: Platform, create: Create
) -> None:
    job = create("die 3")
    with pytest.raises(WorkerDied, match=f"(?s)signal 9.*fettle tune --resume {job.id}"):
        platform.tuning_jobs.run(job.id)
    failed = platform.tuning_jobs.get(job.id)
    assert (failed.state, failed.pid, platform.custom_models.list()) == ("failed", None, [])
    events: list[TuningEvent] = []
    assert platform.tuning_jobs.resume(job.id, events.append).version == 1
    assert events[0] == MessageEvent(text="beginning at step 3")
    assert platform.tuning_jobs.get(job.id).error == ""


def test_an_error_that_the_tuner_tells_is_recorded_and_raised(platform: Platform, create: Create) -> None:
    job = create("error")
    with pytest.raises(TrainingFailed, match="no number"):
        platform.tuning_jobs.run(job.id)
    assert "lower the rate" in platform.tuning_jobs.get(job.id).error


def test_an_interrupted_job_is_cancelled_its_worker_ends_and_it_can_go_on(platform: Platform, create: Create) -> None:
    job = create("hold 2")
    workers: list[ProcessId] = []

    def interrupt(event: TuningEvent) -> None:
        if isinstance(event, StepEvent) and event.step == 2:
            workers.append(ProcessId.of(platform.tuning_jobs.get(job.id).pid or 0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        platform.tuning_jobs.run(job.id, interrupt)
    assert not workers[0].is_alive
    assert platform.tuning_jobs.get(job.id).state == "cancelled"
    assert platform.tuning_jobs.resume(job.id).version == 1


def test_when_the_runner_is_killed_the_job_is_found_dead_and_goes_on(
    platform: Platform, create: Create, settings: Settings
) -> None:
    job = create("hold 4")
    command = [sys.executable, "-c", RUNNER, str(settings.home), job.id]
    runner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert runner.stdout is not None
    worker = 0
    while worker == 0:
        step, pid = runner.stdout.readline().split()
        worker = int(pid) if step == "4" else 0
    process = ProcessId.of(worker)
    with pytest.raises(Conflict, match="being run by another process"):
        platform.tuning_jobs.run(job.id)
    os.kill(runner.pid, signal.SIGKILL)
    runner.wait()
    runner.stdout.close()
    events: list[TuningEvent] = []
    assert platform.tuning_jobs.run(job.id, events.append).version == 1
    assert not process.is_alive, "the stray worker was ended first"
    assert events[0] == MessageEvent(text="beginning at step 4")


def test_a_job_whose_processes_are_gone_is_marked_when_the_platform_opens(
    platform: Platform, create: Create, settings: Settings
) -> None:
    job = create("hold 1")
    command = [sys.executable, "-c", RUNNER, str(settings.home), job.id]
    runner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert runner.stdout is not None
    worker = ProcessId.of(int(runner.stdout.readline().split()[1]))
    with Platform(settings, WORKERS) as other:
        assert other.tuning_jobs.get(job.id).state == "running", "it is alive"
    for pid in (runner.pid, worker.pid):
        os.kill(pid, signal.SIGKILL)
    runner.wait()
    runner.stdout.close()
    assert wait_until(lambda: not worker.is_alive, timeout_seconds=10)
    with Platform(settings, WORKERS) as later:
        dead = later.tuning_jobs.get(job.id)
        assert (dead.state, dead.pid) == ("failed", None)
        assert f"fettle tune --resume {job.id}" in dead.error
        assert later.tuning_jobs.run(job.id).version == 1


def test_a_disk_that_is_full_when_the_card_is_written_is_told_and_the_next_run_only_finishes(
    platform: Platform, create: Create, settings: Settings
) -> None:
    job = create()
    cards = settings.home / "cards"
    cards.write_text("in the way")
    with pytest.raises(StorageFailed):
        platform.tuning_jobs.run(job.id)
    assert platform.tuning_jobs.get(job.id).state == "failed"
    assert platform.custom_models.list() == []
    cards.unlink()
    events: list[TuningEvent] = []
    model = platform.tuning_jobs.run(job.id, events.append)
    assert (model.version, model.state, events) == (1, "active", [])


def test_when_the_files_cannot_be_kept_nothing_is_recorded(
    platform: Platform, create: Create, settings: Settings
) -> None:
    job = create()
    staging = settings.home / "artifacts" / "staging"
    staging.rmdir()
    staging.write_text("in the way")
    with pytest.raises(StorageFailed, match="cannot be kept"):
        platform.tuning_jobs.run(job.id)
    assert platform.custom_models.list() == []
    staging.unlink()
    assert platform.tuning_jobs.run(job.id).version == 1


def test_a_job_that_succeeded_cannot_run_again_and_one_never_begun_cannot_resume(
    platform: Platform, create: Create
) -> None:
    job = create()
    with pytest.raises(Conflict, match="never begun"):
        platform.tuning_jobs.resume(job.id)
    platform.tuning_jobs.run(job.id)
    with pytest.raises(Conflict, match="succeeded"):
        platform.tuning_jobs.run(job.id)
    assert len(platform.custom_models.list()) == 1
    with pytest.raises(NotFound, match="tuning job"):
        platform.tuning_jobs.run("job_none")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"base": "smal"}, r"(?s)unknown base model 'smal'.*small"),
        ({"method": "lorra"}, r"(?s)unknown method 'lorra'.*lora"),
        ({"name": "small"}, "name of a base model"),
        ({"adapter": {"rnak": 3}}, r"no setting 'rnak'\. Did you mean 'rank'"),
        ({"adapter": {"rank": 0}}, "rank"),
        ({"adapter": {"epoch": 3}}, "Did you mean 'epochs'"),
        ({"method": "full", "adapter": {"rank": 8}}, "'full' has no setting 'rank'"),
        ({"hyperparameters": {"first_layer": 2}}, "layers 2 to 1 are no range"),
        ({"hyperparameters": {"last_layer": 2}}, "It has layers 0 to 1"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_recorded(
    platform: Platform, rows: Rows, settings: Settings, changes: dict[str, Any], told: str
) -> None:
    spec = TuningSpec.model_validate({"base": "small", "method": "lora", "name": "tickets"} | changes)
    with pytest.raises(FettleError, match=told):
        platform.tuning_jobs.create(spec, rows("go"))
    assert platform.tuning_jobs.list() == []
    assert files_in(settings.home / "artifacts") == {}


def test_all_faults_are_told_at_once(platform: Platform, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"prompt": "a", "completion": ""}\n{"prompt": "b"}\n')
    spec = TuningSpec(base="none", method="lora", name="small", adapter={"rnak": 1, "alhpa": 2})
    with pytest.raises(InvalidInput) as caught:
        platform.tuning_jobs.create(spec, bad)
    for fault in ("base model 'none'", "name of a base model", "'rnak'", "'alhpa'", "line 1", "line 2"):
        assert fault in caught.value.message
    assert platform.tuning_jobs.list() == []


@pytest.mark.parametrize("method", ["prompt", "prefix"])
def test_virtual_tokens_on_some_layers_or_without_room_are_refused(platform: Platform, rows: Rows, method: str) -> None:
    settings = Hyperparameters(last_layer=0, unfreeze_per_epoch=1)
    spec = TuningSpec(
        base="small", method=method, name="tickets", adapter={"num_virtual_tokens": 64}, hyperparameters=settings
    )
    with pytest.raises(InvalidInput) as caught:
        platform.tuning_jobs.create(spec, rows("go"))
    for fault in (
        f"method '{method}' acts on all layers at once, but got last_layer=0, unfreeze_per_epoch=1",
        "num_virtual_tokens is 64, which leaves no room in the context of 64 tokens",
    ):
        assert fault in caught.value.message
    assert platform.tuning_jobs.list() == []


def test_preferences_need_rows_of_two_answers(platform: Platform, rows: Rows) -> None:
    spec = TuningSpec(base="small", method="dpo", name="tickets")
    with pytest.raises(InvalidInput, match="have one answer only; dpo compares two"):
        platform.tuning_jobs.create(spec, rows("go"))
    assert platform.tuning_jobs.list() == []


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_a_file_without_rows_is_refused(platform: Platform, tmp_path: Path, content: str) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text(content)
    with pytest.raises(FettleError, match="empty"):
        platform.tuning_jobs.create(TuningSpec(base="small", method="lora", name="tickets"), empty)


def test_a_validation_file_is_checked_and_kept_too(platform: Platform, rows: Rows, tmp_path: Path) -> None:
    spec = TuningSpec(base="small", method="lora", name="tickets")
    with pytest.raises(FettleError, match="absent"):
        platform.tuning_jobs.create(spec, rows("go"), tmp_path / "absent.jsonl")
    job = platform.tuning_jobs.create(spec, rows("go"), rows("held"))
    assert Path(job.validation_path or "").read_bytes() == rows("held").read_bytes()
