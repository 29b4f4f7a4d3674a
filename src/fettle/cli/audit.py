"""`fettle audit`: who has changed what, when, and from where."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from fettle.cli.installation import Audit
from fettle.cli.options import Json
from fettle.cli.output import console, print_json, print_table
from fettle.cli.session import opened
from fettle.errors import Conflict
from fettle.store.files import write_whole
from fettle.types.access import AuditEvent

app = typer.Typer(no_args_is_help=True)
COLUMNS = ["number", "when", "who", "from", "project", "what", "id", "fields"]
_PAGE = 1000
Project = Annotated[str | None, typer.Option(help="Of this project only.", show_default="all")]


@app.callback()
def audit() -> None:
    """List and export the log of all changes."""


@app.command("list")
def list_events(
    project: Project = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Changes at most.")] = 50,
    as_json: Json = False,
) -> None:
    """List the last changes, the newest at the end."""
    with opened() as platform:
        found = platform.audit.newest(limit=limit, project_id=platform.projects.get(project).id if project else None)
    if as_json:
        print_json({"events": found})
    elif found:
        print_table(COLUMNS, [_row(event) for event in found])
    else:
        console().print("Nothing was changed yet.")


@app.command()
def export(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A new file; without it, the log goes to standard output.")
    ] = None,
    project: Project = None,
) -> None:
    """Write the whole log as JSON Lines, the oldest change first."""
    if file and file.exists():
        raise Conflict(f"{file} is there already", hint="Name a new file.", param="file")
    with opened() as platform:
        name = platform.projects.get(project).id if project else None
        lines = (json.dumps(event.model_dump(mode="json")) + "\n" for event in _all(platform.audit, name))
        if file:
            write_whole(file, "".join(lines).encode())
        else:
            sys.stdout.writelines(lines)


def _all(log: Audit, project: str | None) -> Iterator[AuditEvent]:
    after = 0
    while found := log.page(after=after, limit=_PAGE, project_id=project):
        yield from found
        after = found[-1].id


def _row(event: AuditEvent) -> list[object]:
    changed = ", ".join(event.detail.get("fields", ()))
    state = event.detail.get("state")
    told = f"{event.action} {event.kind}" + (f": {state}" if state else "")
    return [str(event.id), event.at, event.who, event.origin, event.project_id, told, event.subject, changed]
