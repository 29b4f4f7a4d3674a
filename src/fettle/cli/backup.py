"""`fettle backup`: all of an installation in one file."""

from pathlib import Path
from typing import Annotated

import typer

from fettle.cli.options import Json
from fettle.cli.output import bytes_text, console, print_json
from fettle.cli.session import check_here
from fettle.services.backup import back_up
from fettle.settings import load_settings

app = typer.Typer()


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where it is written; must not be there yet.")],
    as_json: Json = False,
) -> None:
    """Write all of this installation to one file, while it runs."""
    check_here("backup")
    about = back_up(load_settings(), file.absolute())
    size = file.stat().st_size
    if as_json:
        print_json({"file": str(file), "size_bytes": size, **about.model_dump(mode="json")})
    else:
        console().print(f"[bold]{file}[/] holds {about.home} ({bytes_text(size)}). `fettle restore {file}` reads it.")
