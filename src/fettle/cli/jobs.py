"""`fettle jobs`: tuning jobs, and what they measured."""

from typing import Annotated

import typer

from fettle.cli.options import Json
from fettle.cli.output import console, print_json, print_table
from fettle.cli.session import opened

app = typer.Typer(no_args_is_help=True)
COLUMNS = ["job", "custom model", "base", "method", "state", "made"]


@app.callback()
def jobs() -> None:
    """List tuning jobs, and show what they measured."""


@app.command("list")
def list_jobs(as_json: Json = False) -> None:
    """List tuning jobs, the oldest first."""
    with opened() as platform:
        found = platform.tuning_jobs.list()
    if as_json:
        print_json({"jobs": found})
    elif found:
        rows = [(job.id, job.spec.name, job.spec.base, job.spec.method, job.state, job.created_at) for job in found]
        print_table(COLUMNS, rows)
    else:
        console().print("No jobs yet: `fettle tune FILE` makes one.")


@app.command()
def metrics(
    job: Annotated[str, typer.Argument(metavar="JOB", help="Id of a job; `fettle jobs list` shows them.")],
) -> None:
    """Print a job's losses and accuracies by step, as CSV in the columns of OpenAI's result files."""
    with opened() as platform:
        typer.echo(platform.tuning_jobs.metrics(job), nl=False)
