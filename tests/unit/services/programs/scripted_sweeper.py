"""Trains nothing: the validation loss of a run is ten times its rate, plus its seed over 1000; it halves on the way.

The first row's prompt says how it goes: with "die" the process is killed once, after the first run has ended; with
"fail 0.002" the runs with this rate fail; with "fail all" all do; with "hold" it waits, once, after the first run has
ended.
"""

import json
import os
import signal
import sys
from pathlib import Path

from fettle.types.sweeps import SweepPlan
from fettle.types.tuning import EvaluationEvent, MessageEvent, Metrics, StepEvent, TuningPlan, TuningResult

plan = SweepPlan.model_validate_json(Path(sys.argv[1]).read_text())
order, _, detail = json.loads(Path(plan.plans[0].train_path).read_text().splitlines()[0])["prompt"].partition(" ")


def say(number: int, event: dict[str, object]) -> None:
    print(json.dumps({"type": "run", "run": number, "event": event}), flush=True)


def metrics(loss: float) -> Metrics:
    return Metrics(loss=loss, token_accuracy=1 / (1 + loss), num_tokens=10)


def step(number: int) -> None:
    told = StepEvent(
        step=1,
        total_steps=2,
        epoch=1,
        loss=1.0,
        token_accuracy=0.5,
        learning_rate=0.1,
        gradient_norm=1.0,
        tokens_per_second=10.0,
        seconds_left=1.0,
    )
    say(number, told.model_dump(mode="json"))


def train(number: int, one: TuningPlan) -> None:
    rate, seed = one.spec.hyperparameters.learning_rate or 0, one.spec.hyperparameters.seed
    if order == "fail" and detail in ("all", str(rate)):
        error = {"code": "training_failed", "message": f"diverged at rate {rate}", "hint": "lower it", "param": ""}
        say(number, {"type": "error", **error})
        return
    step(number)
    best = 10 * rate + seed / 1000
    for place, loss in enumerate((best, 2 * best), start=1):
        told = EvaluationEvent(
            step=place, epoch=place, train=metrics(1), validation=metrics(loss), is_best=loss == best
        )
        say(number, told.model_dump(mode="json"))
    output = Path(one.output_path)
    output.mkdir(parents=True)
    (output / "adapter_config.json").write_text("{}")
    (output / "adapter_model.safetensors").write_bytes(f"rate {rate} seed {seed}".encode())
    (output / "fettle.json").write_text(json.dumps({"prompt_format": "prompt"}))
    result = TuningResult(
        steps=2,
        epochs=1,
        stopped_early=seed % 2 == 0,
        best_step=1,
        train=metrics(1),
        validation=metrics(2 * best),
        trained_parameters=1,
        total_parameters=2,
        trained_tokens=3,
        seconds=4,
    )
    say(number, {"type": "result", **result.model_dump(mode="json")})


for number, one in enumerate(plan.plans):
    text = f"{one.spec.hyperparameters.seed} is run {number} of {len(plan.plans)}"
    say(number, MessageEvent(text=text).model_dump(mode="json"))
    train(number, one)
    killed = Path(one.work_path).parents[1] / "killed"
    if order == "die" and not killed.exists():
        killed.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    held = killed.with_name("held")
    if order == "hold" and not held.exists():
        held.touch()
        signal.pause()
print(json.dumps({"type": "result"}), flush=True)
