"""`fettle up`: the HTTP server."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fettle.cli.logs import write_logs
from fettle.cli.options import Json
from fettle.cli.output import console
from fettle.cli.session import check_here
from fettle.settings import load_settings

if TYPE_CHECKING:
    from fettle.api.server import Address

app = typer.Typer(add_completion=False)


@app.command()
def up(
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; 0 takes a free one.", show_default="8000")
    ] = None,
    base: Annotated[
        list[str] | None,
        typer.Option(help="Base model to load at once; repeat for several. Others load when first asked."),
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="PEM file of the server's certificate: serve https.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file of the certificate's private key.")] = None,
    new_key: Annotated[bool, typer.Option("--new-key", help="Make a new API key; the old one ends.")] = False,
    as_json: Json = False,
) -> None:
    """Serve all models over an OpenAI-compatible HTTP API."""
    check_here("up")
    from fettle.api.server import serve
    from fettle.services.platform import Platform

    settings = load_settings(host=host, port=port, tls_cert=tls_cert, tls_key=tls_key)
    write_logs(settings.log_level, settings.log_format)
    platform = Platform(settings)
    try:
        packaged = [model.name for model in platform.base_models.list() if model.source == "packaged"]
        loaded = [*(base or packaged), *platform.endpoints.active_names()]
        announce = _print_json if as_json else _print
        serve(platform, settings, preload=loaded, renew_key=new_key, announce=announce)
    finally:
        platform.close()


def _print(address: "Address") -> None:
    if address.api_key:
        console().print(f"API key (shown this once): [bold]{address.api_key}[/]")
    console().print(f"Fettle serves at [bold]{address.base_url}[/]. Ctrl-C ends it.")
    sys.stdout.flush()


def _print_json(address: "Address") -> None:
    """One line, at once: a program that started this reads it and goes on."""
    print(json.dumps({"base_url": address.base_url, "api_key": address.api_key}), flush=True)
