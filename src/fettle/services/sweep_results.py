"""What came of a sweep's jobs, side by side."""

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from fettle.types.resources import TuningJob
from fettle.types.sweeps import SweepPoint, SweepResult, SweepRun
from fettle.types.tuning import Metrics, TuningSpec


def sweep_result(
    sweep_id: str, jobs: Sequence[TuningJob], best: Mapping[str, Metrics], models: Mapping[str, str]
) -> SweepResult:
    """Every run, and every point of the grid.

    Args:
        sweep_id: of the sweep.
        jobs: its jobs.
        best: the best validation of each job that has come to its end, by id.
        models: full names of the custom models that jobs made, by id.
    """
    runs = [_run(job, settings, best, models) for job, settings in zip(jobs, differing(jobs), strict=True)]
    winner = best_job(best)
    return SweepResult(
        id=sweep_id, runs=tuple(runs), points=points(runs), best=winner, model=models.get(winner) if winner else None
    )


def best_job(best: Mapping[str, Metrics]) -> str | None:
    """The job with the lowest validation loss; None if no job has come to its end."""
    return min(best, key=lambda job: best[job].loss, default=None)


def differing(jobs: Sequence[TuningJob]) -> list[dict[str, Any]]:
    """Of each job the settings that are not the same in all; the seed is none of them."""
    flat = [_flat(job.spec) for job in jobs]
    keys = [key for key in dict.fromkeys(key for one in flat for key in one) if key != "seed"]
    varying = [key for key in keys if len({json.dumps(one.get(key)) for one in flat}) > 1]
    return [{key: one.get(key) for key in varying} for one in flat]


def _flat(spec: TuningSpec) -> dict[str, Any]:
    flat: dict[str, Any] = dict(spec.adapter)
    for key, value in spec.hyperparameters.model_dump(mode="json").items():
        flat |= {f"{key}.{inner}": part for inner, part in value.items()} if isinstance(value, dict) else {key: value}
    return flat


def _run(job: TuningJob, settings: dict[str, Any], best: Mapping[str, Metrics], models: Mapping[str, str]) -> SweepRun:
    metrics = best.get(job.id)
    return SweepRun(
        job=job.id,
        settings=settings,
        seed=job.spec.hyperparameters.seed,
        state=job.state,
        loss=metrics and metrics.loss,
        token_accuracy=metrics and metrics.token_accuracy,
        steps=job.result and job.result.steps,
        ended=_ended(job),
        model=models.get(job.id),
    )


def _ended(job: TuningJob) -> str:
    if job.error:
        return job.error.splitlines()[0]
    if job.result is None:
        return job.state
    return "early stop" if job.result.stopped_early else "all steps"


def points(runs: Sequence[SweepRun]) -> tuple[SweepPoint, ...]:
    """Runs that differ in their seeds only as one; the lowest mean loss first, those without one last."""
    alike: dict[str, list[SweepRun]] = defaultdict(list)
    for run in runs:
        alike[json.dumps(run.settings)].append(run)
    found = [_point(group) for group in alike.values()]
    return tuple(sorted(found, key=lambda point: math.inf if point.loss is None else point.loss))


def _point(runs: Sequence[SweepRun]) -> SweepPoint:
    done = [run for run in runs if run.loss is not None]
    loss, loss_deviation = _mean([run.loss for run in done])
    accuracy, accuracy_deviation = _mean([run.token_accuracy for run in done])
    return SweepPoint(
        settings=runs[0].settings,
        num_runs=len(done),
        loss=loss,
        loss_deviation=loss_deviation,
        token_accuracy=accuracy,
        token_accuracy_deviation=accuracy_deviation,
        steps=_mean([run.steps for run in done])[0],
        ended=", ".join(dict.fromkeys(run.ended for run in runs)),
    )


def _mean(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Mean and standard deviation, of as many as are needed for each."""
    known = [value for value in values if value is not None]
    return (fmean(known) if known else None), (stdev(known) if len(known) > 1 else None)
