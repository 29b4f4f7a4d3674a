"""A tuning job in two processes is the job in one: losses, parameters, checkpoints, and an end with a cause."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from fettle.clusters.processes import ProcessId, wait_until
from fettle.services.platform import Platform
from fettle.settings import load_settings
from fettle.testing.models import tiny_model
from fettle.tuning.checkpoint import Checkpoints
from fettle.tuning.distributed import ALONE
from fettle.tuning.tune import tune
from fettle.types.tuning import Hyperparameters, TuningPlan, TuningSpec
from tests.e2e.conftest import run_fettle

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
#: Sums of float32 in another order; Adam's first steps make of a tiny gradient's last bits a tiny step's.
TOLERANCE = {"rel": 1e-4, "abs": 1e-6}
SECONDS = 300


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "train.jsonl"
    lines = [{"prompt": f"say {i % 7}" + "!" * (i % 5), "completion": f"it is {i % 7}"} for i in range(61)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def plan(base, rows, tmp_path):
    """Writes a plan whose files are in `tmp_path/<name>`; dropout is off, as its numbers depend on the processes."""

    def make(
        name: str, num_processes: int, method: str = "lora", strategy: str = "ddp", dropout: float = 0.0, **settings
    ) -> Path:
        fast = {"epochs": 2, "batch_size": 8, "dtype": "float32", "validation_fraction": 0.2, "log_interval": 1}
        made = TuningPlan(
            spec=TuningSpec(
                base="tiny",
                method=method,
                name="x",
                adapter={"dropout": dropout} if method == "lora" else {},
                hyperparameters=Hyperparameters(**fast | settings),
            ),
            base_path=str(base),
            train_path=str(rows),
            work_path=str(tmp_path / name / "work"),
            output_path=str(tmp_path / name / "output"),
            threads=1,
            num_processes=num_processes,
            strategy=strategy,
        )
        path = tmp_path / f"{name}-{num_processes}.json"
        path.write_text(made.model_dump_json())
        return path

    return make


def start(path: Path) -> subprocess.Popen:
    command = [sys.executable, "-P", "-m", "fettle.workers.tune", str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def finish(path: Path) -> list[dict]:
    with start(path) as process:
        out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, err
    return [json.loads(line) for line in out.splitlines()]


def here(path: Path) -> list[dict]:
    """The same in this process, which has torch already; with the numbers of threads that it should have."""
    events, threads = [], torch.get_num_threads()
    plan = TuningPlan.model_validate_json(path.read_text())
    try:
        result = tune(plan, lambda event: events.append(event.model_dump(mode="json")), ALONE)
    finally:
        torch.set_num_threads(threads)
    return [*events, {"type": "result", **result.model_dump(mode="json")}]


def read_step(process: subprocess.Popen, step: int) -> None:
    """Follow its events until it has taken so many steps."""
    for line in process.stdout:
        if json.loads(line).get("step", 0) >= step:
            return
    raise AssertionError(f"it ended before step {step}: {process.stderr.read()}")


def kill_at(path: Path, step: int) -> None:
    with start(path) as process:
        read_step(process, step)
        process.kill()
        process.stdout.close()
        process.stderr.close()


def rank_processes(launcher: int) -> dict[int, ProcessId]:
    """The launcher's children, by their rank."""
    children = psutil.Process(launcher).children()
    return {int(child.environ()["RANK"]): ProcessId.of(child.pid) for child in children}


def losses(events: list[dict]) -> dict[int, float]:
    return {event["step"]: event["loss"] for event in events if event["type"] == "step"}


def validations(events: list[dict]) -> list[float]:
    return [event["validation"]["loss"] for event in events if event["type"] == "evaluation"]


def assert_same_parameters(folder: Path, other: Path) -> None:
    """In float32, as the checkpoint of the last step has them."""
    ours, theirs = (Checkpoints(one / "work").load()["learner"]["parameters"] for one in (folder, other))
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(
            theirs[name], value, rtol=1e-3, atol=1e-5, msg=lambda told, name=name: f"{name}: {told}"
        )


def test_two_processes_make_the_model_of_one(plan, tmp_path):
    """In batches of 60 tokens, of which the two have unequally many; weights in shares, too."""
    settings = {"method": "full", "strategy": "fsdp", "max_tokens_per_batch": 60}
    one, two = here(plan("one", 1, **settings)), finish(plan("two", 2, **settings))
    assert losses(two) == pytest.approx(losses(one), **TOLERANCE)
    assert validations(two) == pytest.approx(validations(one), **TOLERANCE)
    assert {name: two[-1][name] for name in ("steps", "trained_tokens")} == {
        name: one[-1][name] for name in ("steps", "trained_tokens")
    }
    assert_same_parameters(tmp_path / "one", tmp_path / "two")


@pytest.mark.parametrize(("before", "after", "method", "strategy"), [(2, 1, "full", "zero2"), (1, 2, "lora", "ddp")])
def test_a_checkpoint_goes_on_in_another_number_of_processes(before, after, method, strategy, plan, tmp_path):
    settings = {"epochs": 3, "checkpoint_interval": 2, "method": method, "strategy": strategy}
    expected = here(plan("whole", 1, **settings))
    kill_at(plan("cut", before, **settings), step=5)
    events = finish(plan("cut", after, **settings))
    assert any("resumed at step" in event.get("text", "") for event in events)
    later = losses(events)
    assert 0 < len(later) < len(losses(expected))
    assert later == pytest.approx({step: losses(expected)[step] for step in later}, **TOLERANCE)
    assert_same_parameters(tmp_path / "whole", tmp_path / "cut")


def test_a_killed_run_of_two_processes_with_dropout_ends_with_the_same_bits(plan, tmp_path):
    settings = {"epochs": 2, "checkpoint_interval": 2, "dropout": 0.2}
    finish(plan("whole", 2, **settings))
    kill_at(plan("cut", 2, **settings), step=5)
    finish(plan("cut", 2, **settings))
    files = [tmp_path / name / "output" / "adapter_model.safetensors" for name in ("whole", "cut")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_shares_of_weights_and_layers_that_join_later_are_refused_together(plan):
    settings = {"method": "full", "strategy": "fsdp", "first_layer": 1, "unfreeze_per_epoch": 1}
    with start(plan("run", 2, **settings)) as process:
        events = [json.loads(line) for line in process.communicate(timeout=SECONDS)[0].splitlines()]
    assert process.returncode == 2
    assert "unfreeze_per_epoch" in events[-1]["message"]


def test_a_process_that_dies_ends_the_job_with_a_cause(plan):
    with start(plan("run", 2, epochs=500)) as launcher:
        read_step(launcher, 3)
        ranks = rank_processes(launcher.pid)
        os.kill(ranks[1].pid, signal.SIGKILL)
        events = [json.loads(line) for line in launcher.communicate(timeout=SECONDS)[0].splitlines()]
    assert launcher.returncode != 0
    assert (events[-1]["type"], events[-1]["code"]) == ("error", "worker_died")
    assert events[-1]["message"] == "process 1 of 2 (counted from 0) was killed by SIGKILL"
    assert not any(rank.is_alive for rank in ranks.values())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_outlives_its_launcher(number, plan):
    with start(plan("run", 2, epochs=500)) as launcher:
        read_step(launcher, 3)
        ranks = rank_processes(launcher.pid)
        launcher.send_signal(number)
        launcher.communicate(timeout=SECONDS)
    assert launcher.returncode == -number
    assert len(ranks) == 2
    assert wait_until(lambda: not any(rank.is_alive for rank in ranks.values()), 60)


def test_what_is_wrong_in_every_process_is_told_once(plan):
    with start(plan("run", 2, last_layer=40)) as process:
        events = [json.loads(line) for line in process.communicate(timeout=SECONDS)[0].splitlines()]
    assert process.returncode == 2
    assert [event["code"] for event in events if event["type"] == "error"] == ["invalid_input"]
    assert "layers 0 to 40" in events[-1]["message"]


def test_the_command_line_tunes_in_as_many_processes_as_are_set(home, rows):
    done = run_fettle(
        "tune", str(rows), "--base", "tiny", "--name", "shared", "--set", "epochs=1", "--json",
        home=home, FETTLE_NUM_PROCESSES="2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    job = json.loads(done.stdout)["job"]
    with Platform(load_settings(home=home)) as platform:
        told = [event.body.get("text") for event in platform.tuning_jobs.events(job["id"])]
    assert "2 processes share the 8 rows of a step" in told


def test_a_number_of_processes_that_cannot_be_is_refused(home, rows):
    done = run_fettle("tune", str(rows), "--base", "tiny", home=home, FETTLE_NUM_PROCESSES="many")
    assert done.returncode == 2
    assert "FETTLE_NUM_PROCESSES='many'" in done.stderr
