"""`fettle clusters`: units of this machine that are reserved for tuning or for serving."""

from typing import Annotated, Any, get_args

import typer

from fettle.cli.options import Json
from fettle.cli.output import bytes_text, console, print_json, print_pairs, print_table
from fettle.cli.session import opened
from fettle.errors import InvalidInput
from fettle.types.clusters import Cluster, ClusterReport, ClusterSpec, ClusterType, ShapeOffer

app = typer.Typer(no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="CLUSTER", help="Name or id; `fettle clusters list` shows them.")]
_TYPES = " or ".join(get_args(ClusterType))
_COLUMNS = ["cluster", "type", "state", "units", "serves", "endpoints", "unit-hours"]
_SHAPE_COLUMNS = ["shape", "cores", "memory", "GPUs", "price", "models up to", "endpoints", "free units"]


@app.callback()
def clusters() -> None:
    """Reserve units of this machine for tuning or serving."""


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is called.")],
    type_: Annotated[str, typer.Option("--type", help=f"What it is for: {_TYPES}.")],
    shape: Annotated[str, typer.Option(help="What a unit is; `fettle clusters shapes` shows them.")] = "cpu-tiny",
    units: Annotated[
        int | None, typer.Option(help="How many.", show_default="2 for fine_tuning, 1 for hosting")
    ] = None,
    base: Annotated[str | None, typer.Option(help="Base model that a hosting cluster is kept for.")] = None,
    as_json: Json = False,
) -> None:
    """Reserve units under a name."""
    spec = ClusterSpec.checked({"name": name, "type": type_, "shape": shape, "units": units, "base": base})
    with opened() as platform:
        cluster = platform.clusters.create(spec)
        made = platform.clusters.report(cluster)
    print_json(made) if as_json else _say(made, f"has {_units(made)}")


@app.command("list")
def list_clusters(as_json: Json = False) -> None:
    """List clusters, the oldest first."""
    with opened() as platform:
        found = [platform.clusters.report(cluster) for cluster in platform.clusters.list()]
    if as_json:
        print_json({"clusters": found})
    elif found:
        print_table(_COLUMNS, [_row(cluster) for cluster in found])
    else:
        console().print("No clusters: `fettle clusters create NAME --type hosting` makes one.")


@app.command()
def show(cluster: Name, as_json: Json = False) -> None:
    """Show what a cluster holds, serves and has cost."""
    with opened() as platform:
        found = platform.clusters.report(platform.clusters.get(cluster))
    if as_json:
        print_json(found)
    else:
        print_pairs({column: cell for column, cell in zip(_COLUMNS, _row(found), strict=True) if cell != ""})
        reserved = f"{found.reserved.cores:g} cores, {bytes_text(found.reserved.memory_bytes)}"
        print_pairs({"reserved": reserved, "cost": str(found.cost), "made": found.created_at, "id": found.id})


@app.command()
def resize(
    cluster: Name, units: Annotated[int, typer.Argument(help="Units from now on.")], as_json: Json = False
) -> None:
    """Give a cluster more units, or fewer."""
    with opened() as platform:
        found = platform.clusters.report(platform.clusters.resize(cluster, units))
    print_json(found) if as_json else _say(found, f"has {_units(found)}")


@app.command()
def delete(
    cluster: Name,
    cascade: Annotated[bool, typer.Option("--cascade", help="Delete what is on it, too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Give a cluster's units back."""
    with opened() as platform:
        found = platform.clusters.get(cluster)
        confirm(f"Delete the cluster {found.name}?", is_sure=yes, asks=not as_json)
        found = platform.clusters.report(platform.clusters.delete(found.id, cascade=cascade))
    print_json(found) if as_json else _say(found, "is deleted")


@app.command()
def shapes(
    base: Annotated[str | None, typer.Option(help="Only those that this base model fits on.")] = None,
    as_json: Json = False,
) -> None:
    """List what a unit can be, and how many could be had now."""
    with opened() as platform:
        offers = platform.clusters.offers(base)
    if as_json:
        print_json({"shapes": offers})
    else:
        # Price of a unit for an hour; parameters of the greatest base model that fits.
        print_table(_SHAPE_COLUMNS, [_shape_row(offer) for offer in offers])


def confirm(question: str, *, is_sure: bool, asks: bool) -> None:
    """Ask before something is deleted.

    Raises:
        InvalidInput: a program, which cannot be asked, has not said that it is sure.
    """
    if not is_sure and not asks:
        raise InvalidInput("a program must say --yes to delete", param="yes")
    if not is_sure:
        typer.confirm(question, abort=True)


def _say(cluster: Cluster, what: str) -> None:
    console().print(f"[bold]{cluster.name}[/] {what}.")


def _units(cluster: Cluster) -> str:
    return f"{cluster.units} {'unit' if cluster.units == 1 else 'units'} of {cluster.shape}"


def _row(one: ClusterReport) -> list[Any]:
    endpoints = f"{one.capacity.used} of {one.capacity.total}" if one.capacity else ""
    units = f"{one.units} x {one.shape}"
    return [one.name, one.type, one.state, units, one.serves or "", endpoints, f"{one.unit_hours:.2f}"]


def _shape_row(offer: ShapeOffer) -> list[Any]:
    shape, unit = offer.shape, offer.shape.unit
    size = [unit.cores, bytes_text(unit.memory_bytes), unit.gpus, str(shape.price_per_unit_hour)]
    largest = f"{shape.max_parameters // 1_000_000:,} M"
    return [shape.name, *size, largest, shape.max_endpoints, offer.free_units]
