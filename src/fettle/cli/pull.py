"""`fettle pull`: another base model."""

from typing import Annotated

import typer

from fettle.cli.options import Json
from fettle.cli.output import bytes_text, console, print_json, print_pairs
from fettle.cli.session import opened_here
from fettle.types.foreign import FOREIGN

app = typer.Typer()


@app.command()
def pull(
    source: Annotated[str, typer.Argument(help="A folder with safetensors, or a hub name such as org/model.")],
    name: Annotated[
        str | None, typer.Option(help="What it is called here; by default the last part of SOURCE.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Bring another base model, from a folder or a hub."""
    with opened_here("pull") as platform:
        base = platform.base_models.pull(source, name)
    if as_json:
        print_json(base)
        return
    console().print(f"[bold]{base.name}[/] can be tuned and served.\n")
    print_pairs(
        {
            "family": base.family + (", through transformers" if base.family in FOREIGN else ""),
            "parameters": base.parameters,
            "context": base.context,
            "size": bytes_text(base.size_bytes),
            "licence": base.licence,
            "methods": ", ".join(base.methods),
            "folder": base.path,
        }
    )
