"""`fettle sweep` from the command line, and its worker killed on the way."""

import json
import subprocess
import sys

import pytest
import torch

from fettle.adapters.files import load_adapter
from fettle.types.sweeps import SweepPlan
from fettle.types.tuning import Hyperparameters, TuningPlan, TuningSpec

pytestmark = pytest.mark.e2e
SETTINGS = {"epochs": 2, "batch_size": 4, "checkpoint_interval": 2, "log_interval": 1, "dtype": "float32"}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "sums.jsonl"
    lines = [{"prompt": f"{i} plus 1", "completion": str(i + 1)} for i in range(60)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_sweep_tells_all_runs_and_keeps_the_best(fettle, rows):
    words = ["--base", "tiny", "--name", "best", "--grid", "rank=2,4", "--seeds", "2", "--set", "epochs=2", "--json"]
    done = fettle("sweep", str(rows), *words)
    assert done.returncode == 0, done.stderr
    assert "has 4 runs: 2 settings, 2 seeds each" in done.stderr
    result = json.loads(done.stdout)
    losses = {run["job"]: run["loss"] for run in result["runs"]}
    assert result["best"] == min(losses, key=losses.get)
    assert result["model"] == "best:1"
    assert sorted(point["settings"]["rank"] for point in result["points"]) == [2, 4]
    jobs = json.loads(fettle("jobs", "list", "--json").stdout)["jobs"]
    assert {job["id"]: job["state"] for job in jobs if job["sweep"] == result["id"]} == dict.fromkeys(
        losses, "succeeded"
    )


def plan_in(folder, tiny_folder, rows):
    plans = [
        TuningPlan(
            spec=TuningSpec(
                base="tiny",
                method="lora",
                name="x",
                adapter={"rank": rank},
                hyperparameters=Hyperparameters(**SETTINGS, validation_fraction=0.2),
            ),
            base_path=str(tiny_folder),
            train_path=str(rows),
            work_path=str(folder / f"work{rank}"),
            output_path=str(folder / f"output{rank}"),
            threads=1,
        )
        for rank in (2, 4)
    ]
    folder.mkdir()
    (folder / "sweep.json").write_text(SweepPlan(plans=tuple(plans)).model_dump_json())
    return folder


def worker(folder):
    command = [sys.executable, "-m", "fettle.workers.sweep", str(folder / "sweep.json")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_killed_worker_goes_on_to_the_same_adapters(tiny_folder, rows, tmp_path):
    whole, killed = (plan_in(tmp_path / name, tiny_folder, rows) for name in ("whole", "killed"))
    with worker(whole) as process:
        process.communicate()
    with worker(killed) as process:
        while json.loads(process.stdout.readline())["event"].get("step", 0) < 8:
            pass
        process.kill()
    with worker(killed) as process:
        told = [json.loads(line) for line in process.stdout]
    assert process.returncode == 0
    # Each run had kept its sixth step at the least.
    assert min(line["event"]["step"] for line in told if line.get("event", {}).get("type") == "step") > 6
    for rank in (2, 4):
        then, now = (load_adapter(folder / f"output{rank}").named_parameters() for folder in (whole, killed))
        assert then.keys() == now.keys()
        for name, value in then.items():
            torch.testing.assert_close(now[name], value, rtol=1e-3, atol=2e-4)
