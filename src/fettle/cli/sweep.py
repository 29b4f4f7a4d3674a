"""`fettle sweep`: a grid of settings and seeds, trained together and compared; the best becomes a custom model."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from fettle.adapters.methods import METHODS
from fettle.cli.options import Json, parse_assignments
from fettle.cli.output import console, print_json, print_pairs, print_table
from fettle.cli.progress import TuningProgress
from fettle.cli.session import opened
from fettle.cli.tune import default_name
from fettle.errors import InvalidInput
from fettle.services.platform import Platform
from fettle.services.sweep_grid import grid_specs
from fettle.types.resources import TuningJob
from fettle.types.sweeps import SweepPoint, SweepResult
from fettle.types.tuning import EvaluationEvent, MessageEvent, StepEvent, TuningEvent

app = typer.Typer()


@app.command()
def sweep(
    file: Annotated[Path | None, typer.Argument(help="JSONL file of examples (.gz and .zst too).")] = None,
    base: Annotated[str, typer.Option(help="Base model; `fettle models list` shows them.")] = "pocket",
    method: Annotated[str, typer.Option(help=f"What is trained: one of {', '.join(METHODS)}.")] = "lora",
    name: Annotated[str | None, typer.Option(help="Name of the custom model; by default that of the file.")] = None,
    validation: Annotated[
        Path | None, typer.Option(help="File of held-out examples; else a share is split off.")
    ] = None,
    grid: Annotated[
        list[str] | None, typer.Option("--grid", metavar="KEY=VALUE,...", help="A setting with the values to try.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Runs of every combination, each with another seed.")] = 1,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting that all runs share.")
    ] = None,
    keep_all: Annotated[bool, typer.Option("--keep-all", help="Register every run, the best one last.")] = False,
    resume: Annotated[str | None, typer.Option(metavar="SWEEP", help="Go on with a sweep that was cut off.")] = None,
    as_json: Json = False,
) -> None:
    """Tune with every combination of settings, compare, and keep the best.

    The runs share one base in memory. For example: --grid learning_rate=1e-3,4e-3 --grid rank=8,32 --seeds 3
    """
    with opened() as platform:
        if resume:
            _only_resume(file, validation, name, grid, assignments, seeds != 1)
        sweep_id = resume or _created(platform, file, base, method, name, validation, grid, seeds, assignments)
        result = _followed(platform, sweep_id, keep_all=keep_all)
    print_json(result) if as_json else _tell(result)


def _created(
    platform: Platform,
    file: Path | None,
    base: str,
    method: str,
    name: str | None,
    validation: Path | None,
    grid: list[str] | None,
    seeds: int,
    assignments: list[str] | None,
) -> str:
    """A new sweep's id."""
    if file is None:
        hint = "For example: fettle sweep train.jsonl --grid learning_rate=1e-3,4e-3"
        raise InvalidInput("no FILE is given", hint=hint, param="file")
    fixed = {key: _value(text) for key, text in parse_assignments(assignments or []).items()}
    tried = {key: values_of(text) for key, text in parse_assignments(grid or []).items()}
    name = name or default_name(file)
    specs = grid_specs(fixed, tried, seeds=seeds, base=base, method=method, name=name)
    sweep_id = platform.sweeps.create_all(specs, file, validation)
    count = f"{len(specs)} runs: {len(specs) // seeds} settings, {seeds} seeds each"
    console(errors=True).print(f"sweep [bold]{sweep_id}[/] has {count}")
    return sweep_id


def values_of(text: str) -> list[Any]:
    """'1e-3,4e-3' as its values: numbers, true, null and lists as in JSON, anything else is text."""
    with suppress(ValueError):
        return list(json.loads(f"[{text}]"))
    return [_value(part.strip()) for part in text.split(",")]


def _value(text: str) -> Any:
    with suppress(ValueError):
        return json.loads(text)
    return text


def _only_resume(*given: object) -> None:
    if any(given):
        told = "a sweep goes on as it was begun: no FILE, --validation, --name, --grid, --seeds or --set with --resume"
        raise InvalidInput(told, param="resume")


class SweepProgress(TuningProgress):
    """Shows the events of all runs on stderr: one bar for all, and a line for what a run says or finds best."""

    def __init__(self, jobs: list[TuningJob]) -> None:
        """A display of the runs of these jobs."""
        super().__init__(f"{len(jobs)} runs")
        self._numbers = {job.id: number for number, job in enumerate(jobs, start=1)}
        self._steps: dict[str, StepEvent] = {}

    def take(self, job: TuningJob, event: TuningEvent) -> None:
        """Show one event of one job."""
        number = self._numbers[job.id]
        if isinstance(event, StepEvent):
            self._steps[job.id] = event
            self._bar.update(self._task, completed=self._sum("step"), total=self._sum("total_steps"), told="")
        elif isinstance(event, EvaluationEvent) and event.is_best:
            loss = f"validation loss {event.validation.loss:.4f}"
            self._bar.console.print(f"run {number}  step {event.step}  {loss}, its best so far")
        elif isinstance(event, MessageEvent) and event.level != "info":
            self(event.model_copy(update={"text": f"run {number}: {event.text}"}))

    def _sum(self, name: str) -> int:
        return sum(getattr(event, name) for event in self._steps.values())


def _followed(platform: Platform, sweep_id: str, *, keep_all: bool) -> SweepResult:
    """Run the sweep to its end; when interrupted, say how to go on."""
    try:
        with SweepProgress(platform.sweeps.jobs_of(sweep_id)) as progress:
            return platform.sweeps.run_all(sweep_id, progress.take, keep_all=keep_all)
    except KeyboardInterrupt:
        again = f"fettle sweep --resume {sweep_id}"
        console(errors=True).print(f"The last checkpoints are kept. Go on with: [bold]{again}[/]")
        raise


def _tell(result: SweepResult) -> None:
    names = list(result.points[0].settings)
    columns = [*names, "validation loss", "token accuracy", "steps", "runs", "ended"]
    print_table(columns, [[*point.settings.values(), *_cells(point)] for point in result.points])
    (best,) = [run for run in result.runs if run.job == result.best]
    settings = {key: str(value) for key, value in best.settings.items()}
    print_pairs({"best": best.job, **settings, "seed": str(best.seed), "model": result.model, "sweep": result.id})


def _cells(point: SweepPoint) -> list[Any]:
    loss = with_deviation(point.loss, point.loss_deviation, "{:.4f}")
    accuracy = with_deviation(point.token_accuracy, point.token_accuracy_deviation, "{:.1%}")
    return [loss, accuracy, point.steps, point.num_runs, point.ended]


def with_deviation(mean: float | None, deviation: float | None, form: str) -> str:
    """'0.5123 ± 0.0101', or what there is of it."""
    return " ± ".join(form.format(value) for value in (mean, deviation) if value is not None)
