"""Several small jobs on one base: one after the other, and jointly; in the contender's process, and as workers."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from meter import RATE, Job, Meter
from ours import plan_of

from fettle.errors import FettleError
from fettle.tuning.sweep import tune_jointly
from fettle.tuning.tune import tune
from fettle.types.record import Record
from fettle.types.sweeps import SweepPlan
from fettle.types.tuning import TuningPlan, TuningResult

NUM_JOBS = 8


class InSequence:
    """Jobs with splits, orders and rates of their own, one after the other; timed from the loading of the base."""

    warmup = 0

    def __init__(self, job: Job) -> None:
        self.job, self.folder = job, Path(job.folder)
        self.plans = [self._plan(number) for number in range(NUM_JOBS)]

    def _plan(self, number: int) -> TuningPlan:
        folder = self.folder / str(number)
        folder.mkdir()
        path = folder / "train.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in self.job.rows), encoding="utf-8")
        settings = {"learning_rate": RATE * (number + 1) / NUM_JOBS, "seed": number, "validation_fraction": 0.2}
        plan = plan_of(self.job, folder, self.job.settings | settings)
        return plan.model_copy(update={"train_path": str(path)})

    def train(self, meter: Meter) -> float:
        """Returns the mean of the jobs' last validation losses."""
        meter.start()
        results = self.results()
        meter.stamp(sum(result.trained_tokens for result in results))
        return mean(result.validation.loss for result in results if result.validation)

    def results(self) -> Sequence[TuningResult]:
        """Of all jobs."""
        return [tune(plan, lambda _: None) for plan in self.plans]


class Joint(InSequence):
    """The same jobs in one run."""

    def results(self) -> Sequence[TuningResult]:
        """Of all jobs."""
        results: dict[int, TuningResult] = {}

        def end(number: int, result: TuningResult | FettleError) -> None:
            if isinstance(result, FettleError):
                raise result
            results[number] = result

        tune_jointly(self.plans, lambda _number, _event: None, end)
        return [results[number] for number in sorted(results)]


class Workers(InSequence):
    """The same jobs as `fettle tune` runs them: a process for each, timed from its start to its end."""

    def results(self) -> Sequence[TuningResult]:
        """Of all jobs."""
        told = [self._told("fettle.workers.tune", plan) for plan in self.plans]
        return [_result(lines[-1]) for lines in told]

    def _told(self, worker: str, plan: Record) -> list[dict[str, Any]]:
        path = self.folder / "plan.json"
        path.write_text(plan.model_dump_json(), encoding="utf-8")
        done = subprocess.run([sys.executable, "-m", worker, str(path)], stdout=subprocess.PIPE, text=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]


class JointWorker(Workers):
    """The same jobs as `fettle sweep` runs them: one process."""

    def results(self) -> Sequence[TuningResult]:
        """Of all jobs."""
        told = self._told("fettle.workers.sweep", SweepPlan(plans=tuple(self.plans)))
        events = [line["event"] for line in told if line["type"] == "run"]
        results = [event for event in events if event["type"] == "result"]
        assert len(results) == NUM_JOBS, "a job has failed"
        return [_result(event) for event in results]


def _result(event: dict[str, Any]) -> TuningResult:
    return TuningResult.model_validate({name: value for name, value in event.items() if name != "type"})
