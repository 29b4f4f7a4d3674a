"""`fettle jobs`: tuning jobs, and what they measured."""

from typing import Annotated, Any

import typer

from fettle.cli.options import Json
from fettle.cli.output import console, print_json, print_pairs, print_table
from fettle.cli.progress import TuningProgress
from fettle.cli.session import opened
from fettle.types.resources import JobState
from fettle.types.told import JobTold

app = typer.Typer(no_args_is_help=True)
COLUMNS = ["job", "custom model", "base", "method", "state", "made"]
Id = Annotated[str, typer.Argument(metavar="JOB", help="Id of a job; `fettle jobs list` shows them.")]


@app.callback()
def jobs() -> None:
    """List, follow and end tuning jobs, and show what they measured."""


@app.command("list")
def list_jobs(as_json: Json = False) -> None:
    """List tuning jobs, the oldest first."""
    with opened() as platform:
        found = platform.jobs.list()
    if as_json:
        print_json({"jobs": found})
    elif found:
        print_table(COLUMNS, [_row(job) for job in found])
    else:
        console().print("No jobs yet: `fettle tune FILE` makes one.")


@app.command()
def show(job: Id, as_json: Json = False) -> None:
    """Show how a job is, and how it was ordered."""
    with opened() as platform:
        _tell(platform.jobs.get(job), as_json=as_json)


@app.command()
def follow(job: Id, as_json: Json = False) -> None:
    """Show all that a job has told, and what it tells until it ends, whoever runs it."""
    with opened() as platform, TuningProgress(job) as progress:
        ended = platform.jobs.follow(job, progress)
    _tell(ended, as_json=as_json)
    if ended.state != "succeeded":
        raise typer.Exit(1)


@app.command()
def pause(job: Id, as_json: Json = False) -> None:
    """End a job's worker; `fettle tune --resume JOB` goes on from its last checkpoint."""
    _stop(job, "paused", as_json=as_json)


@app.command()
def cancel(job: Id, as_json: Json = False) -> None:
    """End a job."""
    _stop(job, "cancelled", as_json=as_json)


@app.command()
def metrics(job: Id) -> None:
    """Print a job's losses and accuracies by step, as CSV in the columns of OpenAI's result files."""
    with opened() as platform:
        typer.echo(platform.jobs.metrics(job), nl=False)


def _stop(job: str, state: JobState, *, as_json: bool) -> None:
    with opened() as platform:
        ended = platform.jobs.stop(job, state)
    print_json(ended) if as_json else console().print(f"{ended.id} is {ended.state}.")


def _tell(job: JobTold, *, as_json: bool) -> None:
    if as_json:
        print_json(job)
        return
    about = dict(zip(COLUMNS, _row(job), strict=True))
    rest = {"priority": job.priority, "made the model": job.model, "error": job.error}
    print_pairs(about | {name: value for name, value in rest.items() if value})


def _row(job: JobTold) -> list[Any]:
    return [job.id, job.spec.name, job.spec.base, job.spec.method, job.state, job.created_at]
