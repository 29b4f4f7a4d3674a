"""`fettle status`: what this installation does now, on one screen."""

import shutil
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import typer
from pydantic import Field

from fettle.cli.options import Json
from fettle.cli.output import bytes_text, print_json, print_pairs
from fettle.cli.session import opened_here
from fettle.services.servers import RunningServer, Servers
from fettle.settings import load_settings
from fettle.types.record import Record

app = typer.Typer()
_SECONDS = 5.0


class ServerStatus(RunningServer):
    """A server, and what it says of itself."""

    state: str
    engines: dict[str, int] = Field(default_factory=dict)


class Status(Record):
    """What `fettle status` tells."""

    home: Path
    database: str
    servers: list[ServerStatus]
    jobs: dict[str, int]
    base_models: int
    custom_models: int
    clusters: dict[str, int]
    endpoints: dict[str, int]
    home_bytes: int
    free_bytes: int


@app.command()
def status(as_json: Json = False) -> None:
    """Show what runs, waits and is kept here."""
    settings = load_settings()
    with opened_here("status") as platform:
        everywhere = platform.everywhere
        found = Status(
            home=settings.home,
            database="postgresql" if settings.database_url else "sqlite",
            servers=[_asked(server) for server in Servers(settings.home).list()],
            jobs=_states(everywhere.tuning_jobs.list()),
            base_models=len(platform.base_models.list()),
            custom_models=len(everywhere.custom_models.list()),
            clusters=_states(everywhere.clusters.list()),
            endpoints=_states(everywhere.endpoints.list()),
            home_bytes=_size(settings.home),
            free_bytes=shutil.disk_usage(settings.home).free,
        )
    if as_json:
        print_json(found)
    else:
        print_pairs(_lines(found))


def _states(resources: list[Any]) -> dict[str, int]:
    return dict(Counter(resource.state for resource in resources))


def _asked(server: RunningServer) -> ServerStatus:
    """Ask a server how it is; no key is sent, so its certificate need not be one that this machine trusts."""
    url = f"{server.base_url.removesuffix('/v1')}/readyz"
    try:
        told = httpx.get(url, verify=False, timeout=_SECONDS).json()
    except (httpx.HTTPError, ValueError):
        return ServerStatus(**server.model_dump(), state="does not answer")
    return ServerStatus(**server.model_dump(), state=told["status"], engines=told["engines"])


def _size(folder: Path) -> int:
    size = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # it may go while we look
            size += path.lstat().st_size
    return size


def _lines(found: Status) -> dict[str, Any]:
    servers = [_server_line(server) for server in found.servers] or ["none; `fettle up` starts one"]
    return {
        **{"server" if place == 0 else f"server {place + 1}": line for place, line in enumerate(servers)},
        "jobs": _counts(found.jobs),
        "models": f"{found.base_models} base, {found.custom_models} custom",
        "clusters": _counts(found.clusters),
        "endpoints": _counts(found.endpoints),
        "database": found.database,
        "home": f"{found.home}, {bytes_text(found.home_bytes)}; {bytes_text(found.free_bytes)} free",
    }


def _server_line(server: ServerStatus) -> str:
    engines = f", engines: {_counts(server.engines)}" if server.engines else ""
    return f"{server.base_url}, {server.state}{engines} (pid {server.process.pid})"


def _counts(states: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none"
