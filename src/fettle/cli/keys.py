"""`fettle keys`: who may call the server."""

from datetime import timedelta
from typing import Annotated, Any

import typer

from fettle.cli.options import Json
from fettle.cli.output import console, print_json, print_table
from fettle.cli.session import opened
from fettle.types.access import DEFAULT_PROJECT, ROLES, KeyChange, KeySpec, KeyTold
from fettle.types.ids import now

app = typer.Typer(no_args_is_help=True)
COLUMNS = ["key", "begins", "name", "project", "role", "state", "expires", "last used"]
Project = Annotated[str | None, typer.Option(help="Of this project only.", show_default="all")]


@app.callback()
def keys() -> None:
    """Make, list, change and revoke API keys."""


@app.command()
def create(
    name: Annotated[str, typer.Option(help="Whose it is, or what for.")] = "",
    project: Annotated[str, typer.Option(help="Whose rows, models and files it opens.")] = DEFAULT_PROJECT,
    role: Annotated[str, typer.Option(help=f"What it may: {', '.join(ROLES)}; each may what the one before may.")] = (
        "user"
    ),
    scope: Annotated[
        list[str] | None, typer.Option(help="Nothing but this of what the role may, e.g. models:use; repeat.")
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, max=36500, help="Days until it expires.", show_default="never")] = (
        None
    ),
    requests_per_minute: Annotated[int | None, typer.Option(help="Requests in a minute, at most.")] = None,
    tokens_per_day: Annotated[
        int | None, typer.Option(help="Tokens of prompts and answers in a UTC day, at most.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a key. It is shown this once, and stored nowhere."""
    spec = KeySpec.checked(
        {
            "name": name,
            "project_id": project,
            "role": role,
            "scopes": scope or (),
            "expires_at": now() + timedelta(days=days) if days else None,
            "requests_per_minute": requests_per_minute,
            "tokens_per_day": tokens_per_day,
        }
    )
    with opened() as platform:
        made, key = platform.keys.create(spec)
    if as_json:
        print_json({"api_key": key, "key": shown(made)})
    else:
        console().print(f"API key (shown this once): [bold]{key}[/]")
        console().print(f"Its id is {made.id}; it may what a {made.role} of the project {made.project_id} may.")


@app.command("list")
def list_keys(project: Project = None, as_json: Json = False) -> None:
    """List keys, the oldest first; what is shown of a key does not open anything."""
    with opened() as platform:
        found = platform.keys.list(project)
    if as_json:
        print_json({"keys": [shown(key) for key in found]})
    elif found:
        print_table(COLUMNS, [_row(key) for key in found])
    else:
        console().print("No keys but the one of `fettle up`: `fettle keys create` makes one.")


@app.command()
def change(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its id, or how it begins: see `fettle keys list`.")],
    name: Annotated[str | None, typer.Option(help="Whose it is, or what for.", show_default="as it is")] = None,
    days: Annotated[
        int | None,
        typer.Option(min=0, max=36500, help="Days from now until it expires; 0: never.", show_default="as it is"),
    ] = None,
    requests_per_minute: Annotated[
        int | None, typer.Option(min=0, help="Requests in a minute, at most; 0: any number.", show_default="as it is")
    ] = None,
    tokens_per_day: Annotated[
        int | None, typer.Option(min=0, help="Tokens in a UTC day, at most; 0: any number.", show_default="as it is")
    ] = None,
    as_json: Json = False,
) -> None:
    """Give a key other limits, at once also for a server that runs."""
    expiry = None if days is None else (now() + timedelta(days=days) if days else 0)
    given = {"expires_at": expiry, "requests_per_minute": requests_per_minute, "tokens_per_day": tokens_per_day}
    limits = {field: value or None for field, value in given.items() if value is not None}
    changes = KeyChange.checked(limits | ({} if name is None else {"name": name}))
    with opened() as platform:
        changed = platform.keys.change(key, changes)
    if as_json:
        print_json(shown(changed))
    else:
        console().print(f"{changed.id} ({changed.prefix}...) is changed; `fettle keys list` shows it.")


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its id, or how it begins: see `fettle keys list`.")],
    as_json: Json = False,
) -> None:
    """End a key at once, also for a server that runs."""
    with opened() as platform:
        ended = platform.keys.revoke(key)
    if as_json:
        print_json(shown(ended))
    else:
        console().print(f"{ended.id} ({ended.prefix}...) opens nothing any more.")


def shown(key: KeyTold) -> dict[str, Any]:
    """All that is recorded of a key, without its hash."""
    return key.told.model_dump(mode="json")


def _row(key: KeyTold) -> list[Any]:
    state = "expired" if key.state == "active" and key.expires_at and key.expires_at <= now() else key.state
    return [key.id, key.prefix, key.name, key.project_id, key.role, state, key.expires_at, key.last_used_at]
