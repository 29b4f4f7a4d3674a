"""The quickstart's steps in their order; each prints what it does and hands on what it measured."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from fettle.cli.output import console
from fettle.cli.progress import EvaluationProgress, TuningProgress
from fettle.cli.quickstart.examples import ExampleSet, write_examples
from fettle.cli.quickstart.measure import Speeds, ask_everything, count_equal, measure_speeds
from fettle.cli.quickstart.server import running_server
from fettle.data.check import raise_if_bad
from fettle.services.data_checks import check_data
from fettle.services.platform import Platform
from fettle.types.evaluation import EvaluationReport, MetricScore
from fettle.types.record import Record
from fettle.types.resources import CustomModel
from fettle.types.tuning import Hyperparameters, TuningSpec

# Passes over the rows that fit into a few minutes on two cores.
EPOCHS = {"lora": 2, "tfew": 3}
MAX_TOKENS = 96
EXAMPLES_SHOWN = 3
NUM_STEPS = 6


class Scale(NamedTuple):
    """On what the quickstart is done."""

    base: str
    num_train: int
    num_test: int


class ModelOutcome(Record):
    """What was measured of one model."""

    model: str
    method: str
    exact_match: MetricScore
    scores: dict[str, MetricScore]
    tokens_per_second: float
    size_bytes: int | None = None
    trained_parameters: int | None = None
    total_parameters: int | None = None
    tuning_seconds: float | None = None
    equal_over_http: int = 0


class Exchange(Record):
    """One held-out question and what each model said."""

    prompt: str
    expected: str
    answers: dict[str, str]


class Outcome(Record):
    """Everything that the quickstart measured."""

    train_rows: int
    test_rows: int
    models: list[ModelOutcome]
    speeds: Speeds
    served_tokens_per_second: float
    examples: list[Exchange]
    test_path: str
    seconds: float


class Evaluated(NamedTuple):
    """A report and the answers it is about."""

    report: EvaluationReport
    answers: list[dict[str, Any]]

    @property
    def texts(self) -> list[str]:
        """The answers alone."""
        return [answer["answer"] for answer in self.answers]


def run_all(platform: Platform, scale: Scale) -> Outcome:
    """All steps from nothing to the measured outcome."""
    start = time.monotonic()
    folder = platform.settings.home / "quickstart"
    files = _make_examples(platform, folder, scale)
    base = scale.base
    tuned = {method: _tune(platform, files, base, method, place) for place, method in enumerate(EPOCHS, start=2)}
    names = [base, *(model.name for model in tuned.values())]
    evaluated = _evaluate(platform, names, files.test)
    speeds, served, equal = _serve(platform, names, evaluated)
    return Outcome(
        train_rows=scale.num_train,
        test_rows=scale.num_test,
        models=[
            _base_outcome(base, evaluated[base], speeds, equal[base]),
            *(_outcome(platform, model, evaluated[model.name], speeds, equal[model.name]) for model in tuned.values()),
        ],
        speeds=speeds,
        served_tokens_per_second=served,
        examples=_examples(evaluated),
        test_path=str(files.test),
        seconds=time.monotonic() - start,
    )


@contextmanager
def step(number: int, title: str) -> Iterator[None]:
    """Say which step begins, and afterwards how long it took."""
    start = time.monotonic()
    console(errors=True).print(f"[bold]{number}/{NUM_STEPS}[/] {title}")
    yield
    console(errors=True).print(f"    [dim]{time.monotonic() - start:.1f} s[/]")


def _make_examples(platform: Platform, folder: Path, scale: Scale) -> ExampleSet:
    with step(1, f"Make {scale.num_train:,} examples and {scale.num_test} held-out ones in {folder}, and check them"):
        files = write_examples(folder, num_train=scale.num_train, num_test=scale.num_test)
        report = check_data(
            files.train, files.test, scale.base, base_models=platform.base_models, settings=platform.settings
        )
        raise_if_bad(report)
        tokens = f", {report.tokens.total:,} tokens" if report.tokens else ""
        console(errors=True).print(
            f"    {report.examples:,} good rows{tokens}; {report.leaked.count} held-out ones leaked"
        )
        for notice in report.notices:
            console(errors=True).print(f"    note: {notice}", markup=False)
    return files


def _tune(platform: Platform, files: ExampleSet, base: str, method: str, number: int) -> CustomModel:
    spec = TuningSpec(
        base=base, method=method, name=f"tickets-{method}", hyperparameters=Hyperparameters(epochs=EPOCHS[method])
    )
    with step(number, f"Tune {base} with {method}"), TuningProgress(spec.name) as progress:
        job = platform.tuning_jobs.create(spec, files.train, None)
        return platform.tuning_jobs.run(job.id, progress)


def _evaluate(platform: Platform, names: list[str], test: Path) -> dict[str, Evaluated]:
    with step(4, f"Evaluate {', '.join(names)} on the held-out examples"):
        return {name: _evaluate_one(platform, name, test) for name in names}


def _evaluate_one(platform: Platform, name: str, test: Path) -> Evaluated:
    with EvaluationProgress(name) as progress:
        report = platform.evaluations.run(name, test, max_tokens=MAX_TOKENS, on_event=progress)
    with Path(report.predictions_path).open(encoding="utf-8") as file:
        return Evaluated(report, [json.loads(line) for line in file])


def _serve(
    platform: Platform, names: list[str], evaluated: dict[str, Evaluated]
) -> tuple[Speeds, float, dict[str, int]]:
    prompts = [answer["prompt"] for answer in evaluated[names[0]].answers]
    home = platform.settings.home
    with running_server(home, home / "logs" / "quickstart-server.log") as server:
        with step(5, f"Ask all models the same {len(prompts)} questions over {server.url}, in one batch"):
            served = ask_everything(server, names, prompts, max_tokens=MAX_TOKENS)
        with step(6, "Measure what mixing models in a batch costs"):
            speeds = measure_speeds(server, names, prompts)
    equal = count_equal(served.texts, {name: one.texts for name, one in evaluated.items()})
    return speeds, served.tokens_per_second, equal


def _base_outcome(base: str, evaluated: Evaluated, speeds: Speeds, equal: int) -> ModelOutcome:
    scores = evaluated.report.scores
    return ModelOutcome(
        model=base,
        method="none",
        exact_match=scores["exact_match"],
        scores=scores,
        tokens_per_second=speeds.alone[base],
        equal_over_http=equal,
    )


def _outcome(platform: Platform, model: CustomModel, evaluated: Evaluated, speeds: Speeds, equal: int) -> ModelOutcome:
    result = platform.tuning_jobs.get(model.job_id).result
    return ModelOutcome(
        model=model.name,
        method=model.method,
        exact_match=evaluated.report.scores["exact_match"],
        scores=evaluated.report.scores,
        tokens_per_second=speeds.alone[model.name],
        size_bytes=model.size_bytes,
        trained_parameters=result.trained_parameters if result else None,
        total_parameters=result.total_parameters if result else None,
        tuning_seconds=result.seconds if result else None,
        equal_over_http=equal,
    )


def _examples(evaluated: dict[str, Evaluated]) -> list[Exchange]:
    rows = zip(*(one.answers for one in evaluated.values()), strict=True)
    return [
        Exchange(
            prompt=answers[0]["prompt"],
            expected=answers[0]["expected"],
            answers={name: answer["answer"] for name, answer in zip(evaluated, answers, strict=True)},
        )
        for answers, _ in zip(rows, range(EXAMPLES_SHOWN), strict=False)
    ]
