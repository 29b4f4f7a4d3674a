"""A tuning process killed at random moments goes on to the same adapter bits as one that was never touched."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from fettle.testing.models import tiny_model
from fettle.types.tuning import Hyperparameters, TuningPlan, TuningSpec

pytestmark = pytest.mark.e2e
NUM_KILLS = 3


def plan(folder: Path, name: str) -> Path:
    settings = Hyperparameters(epochs=3, batch_size=4, checkpoint_interval=2, log_interval=1)
    made = TuningPlan(
        spec=TuningSpec(base="tiny", method="lora", name="x", hyperparameters=settings),
        base_path=str(folder / "base"),
        train_path=str(folder / "rows.jsonl"),
        work_path=str(folder / name / "work"),
        output_path=str(folder / name / "output"),
    )
    path = folder / f"{name}.json"
    path.write_text(made.model_dump_json())
    return path


def start(path: Path) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", "fettle.workers.tune", str(path)], stdout=subprocess.PIPE, text=True)


def finish(path: Path) -> list[dict]:
    with start(path) as process:
        events = [json.loads(line) for line in process.stdout]
    assert process.returncode == 0, events[-1]
    return events


def kill_after(path: Path, num_events: int) -> int:
    """Kill the process when it has said so much; returns the last step that it told."""
    step = 0
    with start(path) as process:
        for _ in range(num_events):
            event = json.loads(process.stdout.readline() or "{}")
            step = event.get("step", step)
        process.kill()
    return step


def test_a_killed_run_ends_with_the_same_bits(tmp_path):
    tiny_model(tmp_path / "base")
    rows = [{"prompt": f"{i} plus 1", "completion": str(i + 1)} for i in range(80)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    expected = finish(plan(tmp_path, "untouched"))
    rng, steps = random.Random(), []

    for _ in range(NUM_KILLS):
        steps.append(kill_after(plan(tmp_path, "killed"), rng.randint(1, 20)))
    events = finish(plan(tmp_path, "killed"))

    outputs = [tmp_path / name / "output" / "adapter_model.safetensors" for name in ("untouched", "killed")]
    assert outputs[0].read_bytes() == outputs[1].read_bytes(), f"killed at steps {steps}"
    assert events[-1]["steps"] == expected[-1]["steps"]
