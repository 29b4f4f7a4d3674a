"""A sweep's jobs are trained in one worker, compared, and the best becomes a custom model."""

from pathlib import Path
from statistics import stdev

import pytest

from fettle.errors import InvalidInput, NotFound, TrainingFailed, WorkerDied
from fettle.services.platform import Platform
from fettle.services.sweep_grid import grid_specs
from fettle.types.tuning import MessageEvent, StepEvent, TuningSpec
from tests.unit.services.conftest import Rows

ABOUT = {"base": "small", "method": "lora", "name": "tickets"}


def specs(*rates: float, seeds: int = 1, **settings: object) -> list[TuningSpec]:
    return grid_specs(settings, {"learning_rate": rates}, seeds=seeds, **ABOUT)


def states(platform: Platform, sweep_id: str) -> list[str]:
    return [job.state for job in platform.sweeps.jobs_of(sweep_id)]


def weights(platform: Platform, name: str) -> str:
    return (platform.custom_models.path(platform.custom_models.get(name)) / "adapter_model.safetensors").read_text()


def test_the_run_with_the_lowest_validation_loss_becomes_the_model(platform: Platform, rows: Rows) -> None:
    sweep_id = platform.sweeps.create_all(specs(0.002, 0.001, 0.003), rows("go"))
    result = platform.sweeps.run_all(sweep_id)
    assert weights(platform, "tickets") == "rate 0.001 seed 17"
    assert (result.best, result.model) == (result.runs[1].job, "tickets:1")
    assert [model.full_name for model in platform.custom_models.list()] == ["tickets:1"]
    assert states(platform, sweep_id) == ["succeeded"] * 3
    assert [job.model_id is None for job in platform.sweeps.jobs_of(sweep_id)] == [True, False, True]
    for job in platform.sweeps.jobs_of(sweep_id):
        assert not (platform.sweeps.folder(job.id) / "output").exists()


def test_every_run_is_a_job_with_its_own_events(platform: Platform, rows: Rows) -> None:
    seen = []
    sweep_id = platform.sweeps.create_all(specs(0.002, 0.001), rows("go"))
    platform.sweeps.run_all(sweep_id, lambda job, event: seen.append((job.id, type(event))))
    jobs = platform.tuning_jobs.list()
    assert [job.sweep for job in jobs] == [sweep_id, sweep_id]
    for job in jobs:
        told = [event.type for event in platform.tuning_jobs.events(job.id)]
        assert told == ["created", "running", "message", "step", "evaluation", "evaluation", "succeeded"]
        assert [kind for job_id, kind in seen if job_id == job.id][:2] == [MessageEvent, StepEvent]


def test_runs_that_differ_in_their_seeds_only_are_told_as_mean_and_deviation(platform: Platform, rows: Rows) -> None:
    sweep_id = platform.sweeps.create_all(specs(0.002, 0.001, seeds=3, rank=4), rows("go"))
    result = platform.sweeps.run_all(sweep_id)
    assert [point.settings for point in result.points] == [{"learning_rate": 0.001}, {"learning_rate": 0.002}]
    losses = [0.027, 0.028, 0.029]
    assert result.points[0].loss == pytest.approx(0.028)
    assert result.points[0].loss_deviation == pytest.approx(stdev(losses))
    assert result.points[0].num_runs == 3
    assert [run.seed for run in result.runs] == [17, 18, 19] * 2
    assert [run.loss for run in result.runs[3:]] == pytest.approx(losses)
    assert result.points[0].ended == "all steps, early stop"
    assert result.best == result.runs[3].job


def test_all_runs_can_be_kept_and_the_best_is_the_newest_version(platform: Platform, rows: Rows) -> None:
    sweep_id = platform.sweeps.create_all(specs(0.001, 0.003, 0.002), rows("go"))
    result = platform.sweeps.run_all(sweep_id, keep_all=True)
    assert [run.model for run in result.runs] == ["tickets:3", "tickets:1", "tickets:2"]
    assert weights(platform, "tickets") == "rate 0.001 seed 17"


def test_a_killed_sweep_goes_on_and_keeps_the_runs_that_had_ended(platform: Platform, rows: Rows) -> None:
    sweep_id = platform.sweeps.create_all(specs(0.001, 0.002, 0.003), rows("die"))
    with pytest.raises(WorkerDied, match=f"(?s)signal 9.*fettle sweep --resume {sweep_id}"):
        platform.sweeps.run_all(sweep_id)
    assert states(platform, sweep_id) == ["failed"] * 3
    assert not platform.custom_models.list()
    texts = []
    result = platform.sweeps.run_all(
        sweep_id, lambda _job, event: texts.append(event.text) if isinstance(event, MessageEvent) else None
    )
    assert texts == ["17 is run 0 of 2", "17 is run 1 of 2"]
    assert states(platform, sweep_id) == ["succeeded"] * 3
    assert result.best == result.runs[0].job
    assert platform.sweeps.run_all(sweep_id) == result, "what is done is not done again"


def test_an_interrupted_sweep_can_go_on(platform: Platform, rows: Rows) -> None:
    def interrupt(_job: object, event: object) -> None:
        if isinstance(event, StepEvent):
            raise KeyboardInterrupt

    sweep_id = platform.sweeps.create_all(specs(0.001, 0.002), rows("go"))
    with pytest.raises(KeyboardInterrupt):
        platform.sweeps.run_all(sweep_id, interrupt)
    assert states(platform, sweep_id) == ["cancelled"] * 2


def test_a_run_that_fails_is_told_and_the_others_are_compared(platform: Platform, rows: Rows) -> None:
    sweep_id = platform.sweeps.create_all(specs(0.001, 0.002), rows("fail 0.001"))
    result = platform.sweeps.run_all(sweep_id)
    assert [run.state for run in result.runs] == ["failed", "succeeded"]
    assert result.runs[0].ended == "diverged at rate 0.001"
    assert result.points[-1].loss is None
    assert result.best == result.runs[1].job


def test_when_all_runs_fail_the_first_error_is_raised(platform: Platform, rows: Rows) -> None:
    sweep_id = platform.sweeps.create_all(specs(0.001, 0.002), rows("fail all"))
    with pytest.raises(TrainingFailed, match=r"(?s)all 2 runs .* have failed; the first: diverged at rate 0\.001"):
        platform.sweeps.run_all(sweep_id)
    assert states(platform, sweep_id) == ["failed"] * 2


def test_all_faults_of_a_sweep_are_told_at_once_and_nothing_is_recorded(platform: Platform, tmp_path: Path) -> None:
    made = grid_specs(
        {"validation_fraction": 0.0}, {"rnak": [1, 2], "first_layer": [0, 99]}, seeds=1, **ABOUT | {"method": "dpo"}
    )
    with pytest.raises(InvalidInput) as caught:
        platform.sweeps.create_all(made, tmp_path / "absent.jsonl")
    for fault in ("'rnak'. Did you mean 'rank'?", "layers 99 to", "absent.jsonl", "method 'dpo'", "no rows are held"):
        assert fault in caught.value.message
    assert caught.value.message.count("rnak") == 1
    assert not platform.tuning_jobs.list()


def test_only_methods_whose_runs_can_share_batches_are_swept(platform: Platform, rows: Rows) -> None:
    for method in ("full", "tfew"):
        with pytest.raises(InvalidInput, match=f"'{method}' cannot be trained in a sweep"):
            platform.sweeps.create_all(grid_specs({}, {}, seeds=2, **ABOUT | {"method": method}), rows("go"))


def test_a_sweep_that_does_not_exist_is_not_found(platform: Platform, rows: Rows) -> None:
    sweep_id = platform.sweeps.create_all(specs(0.001), rows("go"))
    with pytest.raises(NotFound, match="unknown sweep 'sweep_none'") as caught:
        platform.sweeps.result("sweep_none")
    assert sweep_id in caught.value.hint
