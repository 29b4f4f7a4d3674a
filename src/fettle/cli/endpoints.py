"""`fettle endpoints`: names under which hosting clusters serve models."""

from typing import Annotated

import typer

from fettle.cli.clusters import confirm
from fettle.cli.options import Json
from fettle.cli.output import console, print_json, print_pairs, print_table
from fettle.cli.session import opened
from fettle.types.endpoints import Endpoint, EndpointSpec

app = typer.Typer(no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="ENDPOINT", help="Name or id; `fettle endpoints list` shows them.")]


@app.callback()
def endpoints() -> None:
    """Serve models under names of their own."""


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What clients say in `model`.")],
    model: Annotated[str, typer.Argument(help="NAME:VERSION, NAME:LABEL, NAME (the newest), or a base model.")],
    cluster: Annotated[
        str | None, typer.Option(help="A hosting cluster.", show_default="the first that has room")
    ] = None,
    as_json: Json = False,
) -> None:
    """Serve a model under a name; a label or the newest version is followed when it moves."""
    with opened() as platform:
        endpoint = platform.endpoints.create(EndpointSpec.checked({"name": name, "model": model, "cluster": cluster}))
        on = platform.clusters.get(endpoint.cluster_id).name
    if as_json:
        print_json(endpoint)
    else:
        console().print(f'[bold]{name}[/] serves {model} on {on}.\n\nTry it:  fettle generate {name} "..."   fettle up')


@app.command("list")
def list_endpoints(as_json: Json = False) -> None:
    """List endpoints, the oldest first."""
    with opened() as platform:
        found = platform.endpoints.list()
        names = {cluster.id: cluster.name for cluster in platform.clusters.list()}
    if as_json:
        print_json({"endpoints": found})
    elif found:
        rows = [(one.name, one.state, one.model, one.base, names[one.cluster_id], one.created_at) for one in found]
        print_table(["endpoint", "state", "model", "base", "cluster", "made"], rows)
    else:
        console().print("No endpoints yet: `fettle endpoints create NAME MODEL` makes one.")


@app.command()
def show(endpoint: Name, as_json: Json = False) -> None:
    """Show all that is known of an endpoint."""
    with opened() as platform:
        found = platform.endpoints.get(endpoint)
    print_json(found) if as_json else print_pairs(found.model_dump(mode="json"))


@app.command()
def activate(endpoint: Name, as_json: Json = False) -> None:
    """Have an endpoint answer again."""
    with opened() as platform:
        _tell(platform.endpoints.activate(endpoint), as_json=as_json)


@app.command()
def deactivate(endpoint: Name, as_json: Json = False) -> None:
    """Have an endpoint refuse requests; the others on its cluster go on."""
    with opened() as platform:
        _tell(platform.endpoints.deactivate(endpoint), as_json=as_json)


@app.command()
def delete(
    endpoint: Name, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False, as_json: Json = False
) -> None:
    """Give up an endpoint; its name and its room on the cluster are free again."""
    with opened() as platform:
        found = platform.endpoints.get(endpoint)
        confirm(f"Delete the endpoint {found.name}?", is_sure=yes, asks=not as_json)
        _tell(platform.endpoints.delete(found.id), as_json=as_json)


def _tell(endpoint: Endpoint, *, as_json: bool) -> None:
    print_json(endpoint) if as_json else console().print(f"[bold]{endpoint.name}[/] is {endpoint.state}.")
