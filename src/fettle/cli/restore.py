"""`fettle restore`: an installation made again of a backup."""

from pathlib import Path
from typing import Annotated

import typer

from fettle.cli.options import Json
from fettle.cli.output import console, print_json
from fettle.cli.session import check_here
from fettle.services.backup import restore as restore_from
from fettle.settings import load_settings

app = typer.Typer()


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `fettle backup` has written.")],
    as_json: Json = False,
) -> None:
    """Make the home folder, which must be empty, and its database of a backup."""
    check_here("restore")
    settings = load_settings()
    about = restore_from(settings, file.absolute())
    if as_json:
        print_json({"home": str(settings.home), "backup": about})
    else:
        made = f"{about.created_at:%Y-%m-%d %H:%M} UTC"
        console().print(f"[bold]{settings.home}[/] is as {about.home} was on {made}.")
