from pathlib import Path

import pytest

from fettle.errors import NotFound, WorkerDied
from fettle.services.platform import Platform, WorkerModules
from fettle.settings import Settings
from fettle.types.evaluation import EvaluationReport, ProgressEvent
from tests.unit.services.conftest import Create, Rows


def answered_by(report: EvaluationReport) -> str:
    """Whose weights answered, as the scripted evaluator says."""
    return Path(report.predictions_path).read_text()


def test_a_model_is_evaluated_as_it_was_asked_for(platform: Platform, create: Create, rows: Rows) -> None:
    model = platform.tuning_jobs.run(create().id)
    events: list[ProgressEvent] = []
    report = platform.evaluations.run(
        "tickets", rows("go"), limit=1, max_tokens=7, metrics=("exact_match",), on_event=events.append
    )
    assert (report.rows, report.completion_tokens, set(report.scores)) == (1, 7, {"exact_match"})
    assert answered_by(report) == str(platform.custom_models.path(model))
    assert [event.done for event in events] == [1]


def test_a_base_and_a_fully_tuned_model_are_evaluated_without_an_adapter(
    platform: Platform, create: Create, rows: Rows
) -> None:
    whole = platform.tuning_jobs.run(create(name="whole", method="full").id)
    base = platform.base_models.get("small")
    assert answered_by(platform.evaluations.run("small", rows("go"))) == base.path
    assert answered_by(platform.evaluations.run("whole", rows("go"))) == str(platform.custom_models.path(whole))


def test_what_is_not_there_is_told(platform: Platform, rows: Rows, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="small"):
        platform.evaluations.run("smal", rows("go"))
    with pytest.raises(NotFound, match="there is no file"):
        platform.evaluations.run("small", tmp_path / "absent.jsonl")


def test_a_worker_that_cannot_start_is_told(settings: Settings, platform: Platform, rows: Rows) -> None:
    with (
        Platform(settings, WorkerModules(evaluate="no_such_module")) as other,
        pytest.raises(WorkerDied, match="no_such_module"),
    ):
        other.evaluations.run("small", rows("go"))
