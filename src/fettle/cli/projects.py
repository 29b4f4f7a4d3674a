"""`fettle projects`: tenants, each with rows and keys of its own."""

from typing import Annotated

import typer

from fettle.cli.options import Json
from fettle.cli.output import console, print_json, print_table
from fettle.cli.session import opened

app = typer.Typer(no_args_is_help=True)


@app.callback()
def projects() -> None:
    """Make, list and end projects, whose keys see nothing of each other."""


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Small letters, digits and dashes.")],
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    as_json: Json = False,
) -> None:
    """Make a project."""
    with opened() as platform:
        project = platform.projects.create(name, description)
    if as_json:
        print_json(project)
    else:
        console().print(f"[bold]{project.id}[/] is there. `fettle keys create --project {project.id}` opens it.")


@app.command("list")
def list_projects(as_json: Json = False) -> None:
    """List projects, the oldest first."""
    with opened() as platform:
        found, keys = platform.projects.list(), platform.keys.list()
    if as_json:
        print_json({"projects": found})
        return
    counts = {
        project.id: sum(key.project_id == project.id and key.state == "active" for key in keys) for project in found
    }
    print_table(
        ["project", "description", "active keys", "made"],
        [(project.id, project.description, counts[project.id], project.created_at) for project in found],
    )


@app.command()
def delete(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Nothing may be at work in it.")],
    as_json: Json = False,
) -> None:
    """End a project: its keys open nothing any more, and its name is not given again; its rows and the log stay."""
    with opened() as platform:
        ended = platform.projects.delete(name)
    if as_json:
        print_json(ended)
    else:
        console().print(f"[bold]{ended.id}[/] is deleted. Nobody sees its rows any more.")
