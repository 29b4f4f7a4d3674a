"""`fettle sweep`: a grid of settings and seeds, trained together and compared; the best becomes a custom model."""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from fettle.adapters.methods import METHODS
from fettle.cli.installation import Installation
from fettle.cli.options import Json, parse_assignments
from fettle.cli.output import console, print_json, print_pairs, print_table
from fettle.cli.progress import TuningProgress
from fettle.cli.session import opened
from fettle.cli.tune import default_name
from fettle.errors import InvalidInput
from fettle.services.sweep_grid import grid_specs
from fettle.types.resources import MAX_PRIORITY
from fettle.types.sweeps import SweepPoint, SweepResult
from fettle.types.told import JobTold
from fettle.types.tuning import EvaluationEvent, MessageEvent, StepEvent, TuningEvent, TuningSpec

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
    cluster: Annotated[
        str | None, typer.Option(help="Fine-tuning cluster to run on.", show_default="none: all threads")
    ] = None,
    priority: Annotated[
        int, typer.Option(min=-MAX_PRIORITY, max=MAX_PRIORITY, help="Of what waits, a server runs the highest first.")
    ] = 0,
    keep_all: Annotated[bool, typer.Option("--keep-all", help="Register every run, the best one last.")] = False,
    resume: Annotated[str | None, typer.Option(metavar="SWEEP", help="Go on with a sweep that was cut off.")] = None,
    as_json: Json = False,
) -> None:
    """Tune with every combination of settings, compare, and keep the best.

    The runs share one base in memory. For example: --grid learning_rate=1e-3,4e-3 --grid rank=8,32 --seeds 3
    """
    with opened() as platform:
        if resume:
            _only_resume(file, validation, name, grid, assignments, seeds != 1, cluster, priority)
            sweep_id = resume
        else:
            file = _given(file)
            specs = _specs(file, base, method, name, grid, seeds, assignments)
            sweep_id = platform.sweeps.create(
                specs, file, validation, cluster=cluster, priority=priority, keep_all=keep_all
            )
            count = f"{len(specs)} runs: {len(specs) // seeds} settings, {seeds} seeds each"
            console(errors=True).print(f"sweep [bold]{sweep_id}[/] has {count}")
        result = _followed(platform, sweep_id, keep_all=keep_all, is_begun=bool(resume))
    print_json(result) if as_json else _tell(result)


def _given(file: Path | None) -> Path:
    if file is None:
        hint = "For example: fettle sweep train.jsonl --grid learning_rate=1e-3,4e-3"
        raise InvalidInput("no FILE is given", hint=hint, param="file")
    return file


def _specs(
    file: Path,
    base: str,
    method: str,
    name: str | None,
    grid: list[str] | None,
    seeds: int,
    assignments: list[str] | None,
) -> list[TuningSpec]:
    """The spec of every run."""
    fixed = {key: _value(text) for key, text in parse_assignments(assignments or []).items()}
    tried = {key: values_of(text) for key, text in parse_assignments(grid or []).items()}
    return grid_specs(fixed, tried, seeds=seeds, base=base, method=method, name=name or default_name(file))


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
        told = "a sweep goes on as it was begun: no FILE or other options but --keep-all with --resume"
        raise InvalidInput(told, param="resume")


class SweepProgress(TuningProgress):
    """Shows the events of all runs on stderr: one bar for all, and a line for what a run says or finds best."""

    def __init__(self, jobs: Sequence[JobTold]) -> None:
        """A display of the runs of these jobs."""
        super().__init__(f"{len(jobs)} runs")
        self._numbers = {job.id: number for number, job in enumerate(jobs, start=1)}
        self._steps: dict[str, StepEvent] = {}

    def take(self, job_id: str, event: TuningEvent) -> None:
        """Show one event of one job."""
        number = self._numbers[job_id]
        if isinstance(event, StepEvent):
            self._steps[job_id] = event
            self._bar.update(self._task, completed=self._sum("step"), total=self._sum("total_steps"), told="")
        elif isinstance(event, EvaluationEvent) and event.is_best:
            loss = f"validation loss {event.validation.loss:.4f}"
            self._bar.console.print(f"run {number}  step {event.step}  {loss}, its best so far")
        elif isinstance(event, MessageEvent) and event.level != "info":
            self(event.model_copy(update={"text": f"run {number}: {event.text}"}))

    def _sum(self, name: str) -> int:
        return sum(getattr(event, name) for event in self._steps.values())


def _followed(platform: Installation, sweep_id: str, *, keep_all: bool, is_begun: bool) -> SweepResult:
    """See the sweep to its end; when interrupted, say how to go on."""
    try:
        with SweepProgress(platform.sweeps.jobs_of(sweep_id)) as progress:
            return platform.sweeps.run(sweep_id, progress.take, keep_all=keep_all, is_begun=is_begun)
    except KeyboardInterrupt:
        console(errors=True).print(platform.sweeps.on_leaving(sweep_id))
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
