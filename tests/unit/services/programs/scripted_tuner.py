"""A tuner that learns nothing; the first row's prompt says how it goes, its checkpoint is the number of its step."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

from fettle.types.tuning import EvaluationEvent, MessageEvent, Metrics, StepEvent, TuningPlan, TuningResult

STEPS = 6
METRICS = Metrics(loss=0.5, token_accuracy=0.8, num_tokens=10)

plan = TuningPlan.model_validate_json(Path(sys.argv[1]).read_text())
order, _, detail = json.loads(Path(plan.train_path).read_text().splitlines()[0])["prompt"].partition(" ")
work, output = Path(plan.work_path), Path(plan.output_path)
work.mkdir(parents=True, exist_ok=True)
checkpoint = work / "step"
begin = int(checkpoint.read_text()) if checkpoint.exists() else 0


def say(event: object) -> None:
    print(json.dumps(event), flush=True)


def step(number: int) -> None:
    checkpoint.write_text(str(number))
    told = StepEvent(
        step=number,
        total_steps=STEPS,
        epoch=number / STEPS,
        loss=1 / number,
        token_accuracy=0.5,
        learning_rate=0.1,
        gradient_norm=1.0,
        tokens_per_second=10.0,
        seconds_left=1.0,
    )
    say(told.model_dump(mode="json"))


def write_output() -> None:
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    (output / "adapter_config.json").write_text("{}")
    of = str(plan.continues_path) if order == "continues" else plan.spec.name
    (output / "adapter_model.safetensors").write_bytes(b"weights of " + of.encode())
    (output / "fettle.json").write_text(json.dumps({"prompt_format": "prompt"}))


say(MessageEvent(text=f"beginning at step {begin}").model_dump(mode="json"))
if order == "error":
    error = {"code": "training_failed", "message": "the loss is no number", "hint": "lower the rate", "param": ""}
    say({"type": "error", **error})
    sys.exit(1)
for number in range(begin + 1, STEPS + 1):
    step(number)
    if order == "die" and begin < number == int(detail) and begin == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    if order == "hold" and number == int(detail) and begin == 0:
        signal.pause()
say(EvaluationEvent(step=STEPS, epoch=1, train=METRICS, validation=METRICS, is_best=True).model_dump(mode="json"))
write_output()
result = TuningResult(
    steps=STEPS,
    epochs=1,
    stopped_early=False,
    best_step=STEPS,
    train=METRICS,
    validation=METRICS,
    trained_parameters=1,
    total_parameters=2,
    trained_tokens=3,
    seconds=4,
)
say({"type": "result", **result.model_dump(mode="json")})
