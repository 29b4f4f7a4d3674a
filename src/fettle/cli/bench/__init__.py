"""`fettle bench`: measurements."""

import typer

from fettle.cli.bench import serve

app = typer.Typer(no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Measure a server under load."""


app.command("serve")(serve.serve)
