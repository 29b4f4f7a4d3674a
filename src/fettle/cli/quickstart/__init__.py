"""`fettle quickstart`: examples -> check -> tune twice -> evaluate -> serve -> ask, with everything measured."""

from typing import Annotated

import typer

from fettle.cli.options import Json
from fettle.cli.output import print_json
from fettle.cli.quickstart.ask import need_openai
from fettle.cli.quickstart.show import show
from fettle.cli.quickstart.steps import Scale, run_all
from fettle.cli.session import opened_here

app = typer.Typer()


@app.command()
def quickstart(
    rows: Annotated[int, typer.Option(min=100, max=100_000, help="Examples to tune on.")] = 3000,
    test_rows: Annotated[int, typer.Option(min=10, max=2000, help="Held-out examples to measure on.")] = 150,
    base: Annotated[str, typer.Option(help="Base model to tune.")] = "pocket",
    as_json: Json = False,
) -> None:
    """Tune, measure and serve example models: the whole way.

    Makes an example set (support requests and the JSON ticket each becomes), tunes a base model on it in
    two ways, evaluates all three, serves them from one engine and asks them over HTTP. Ends by itself.
    """
    need_openai()
    with opened_here("quickstart") as platform:
        outcome = run_all(platform, Scale(base, num_train=rows, num_test=test_rows))
    print_json(outcome) if as_json else show(outcome)
