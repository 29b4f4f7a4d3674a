import struct

import pytest

from fettle.registry.model_card import loss_curve, model_card
from fettle.types.ids import now
from fettle.types.resources import BaseModelEntry, CustomModel, TuningJob
from fettle.types.tuning import EvaluationEvent, Metrics, StepEvent, TuningResult, TuningSpec

METRICS = Metrics(loss=0.25, token_accuracy=0.9, num_tokens=1000)


@pytest.fixture
def base() -> BaseModelEntry:
    facts = {"path": "/m", "source": "packaged", "family": "llama", "licence": "MIT", "methods": ("lora",)}
    return BaseModelEntry.model_validate({"name": "pocket", "parameters": 9, "context": 64, "size_bytes": 9, **facts})


@pytest.fixture
def job() -> TuningJob:
    spec = TuningSpec(base="pocket", method="lora", name="tickets", adapter={"rank": 8})
    result = TuningResult(
        steps=40,
        epochs=2.0,
        stopped_early=True,
        best_step=30,
        train=METRICS,
        validation=METRICS,
        trained_parameters=1234,
        total_parameters=99,
        trained_tokens=5000,
        seconds=12.0,
    )
    return TuningJob(id="job_1", spec=spec, dataset_hash="hash", train_path="/t", created_at=now(), result=result)


@pytest.fixture
def model() -> CustomModel:
    fields = {"id": "model_1", "name": "tickets", "version": 2, "base": "pocket", "method": "lora", "kind": "lora"}
    kept = {"job_id": "job_1", "dataset_hash": "hash", "artifact": "content", "size_bytes": 7, "created_at": now()}
    return CustomModel.model_validate(fields | kept)


def test_a_card_says_what_was_made_of_what_and_how_well(
    model: CustomModel, job: TuningJob, base: BaseModelEntry
) -> None:
    card = model_card(model, job, base, has_curve=True)
    for fact in ("# tickets:2", "licence MIT", "| adapter.rank | 8 |", "0.2500", "90.00%", "stopped early", "1,234"):
        assert fact in card
    for named in ("`hash`", "`content`", "`job_1`", "![", "| early_stopping.patience | 6 |"):
        assert named in card


def test_samples_cannot_break_the_table(model: CustomModel, job: TuningJob, base: BaseModelEntry) -> None:
    card = model_card(model, job, base, has_curve=False, samples=[("a | b\nc", "{}")])
    assert "| a \\| b<br>c | {} |" in card
    assert "![" not in card


def test_the_curve_is_a_picture() -> None:
    step = {"total_steps": 3, "epoch": 1.0, "token_accuracy": 0.5, "learning_rate": 0.1, "gradient_norm": 1.0}
    steps = [
        StepEvent.model_validate(step | {"step": n, "loss": 3.0 / n, "tokens_per_second": 1.0, "seconds_left": 0.0})
        for n in (1, 2, 3)
    ]
    evaluation = EvaluationEvent(step=3, epoch=1.0, train=METRICS, validation=METRICS, is_best=True)
    picture = loss_curve(steps, [evaluation], "tickets:1")
    assert picture.startswith(b"\x89PNG\r\n")
    width, height = struct.unpack(">II", picture[16:24])
    assert width > height > 100
