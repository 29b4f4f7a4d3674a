"""`fettle classify`: of which class texts are."""

import asyncio
import sys
from array import array
from typing import Annotated, Any

import typer

from fettle.cli.installation import Installation
from fettle.cli.options import Json
from fettle.cli.output import print_json, print_table
from fettle.cli.session import opened
from fettle.types.encoding import Encoded, EncodeRequest

app = typer.Typer()
#: Classes that are shown of each text.
MAX_SHOWN = 5


@app.command()
def classify(
    model: Annotated[str, typer.Argument(help="A classifier that was tuned here (NAME or NAME:VERSION).")],
    texts: Annotated[list[str], typer.Argument(help="Texts; - reads one from standard input.")],
    as_json: Json = False,
) -> None:
    """Say of which class texts are."""
    given = tuple(sys.stdin.read() if text == "-" else text for text in texts)
    request = EncodeRequest.checked({"model": model, "inputs": given, "task": "classify"})
    with opened() as platform:
        encoded = asyncio.run(_encoded(platform, request))
    found = [ranked(values, encoded.labels) for values in encoded.values]
    if as_json:
        told = [{"text": text, "label": next(iter(probs)), "probs": probs} for text, probs in _paired(given, found)]
        print_json({"model": model, "data": told})
        return
    for text, probs in _paired(given, found):
        rows = [[label, f"{share:.1%}"] for label, share in list(probs.items())[:MAX_SHOWN]]
        print_table(["label", "probability"], rows, title=text if len(given) > 1 else "")


def ranked(values: bytes, labels: tuple[str, ...]) -> dict[str, float]:
    """Each label's probability, the likeliest first."""
    probs = zip(labels, array("f", values), strict=True)
    return dict(sorted(probs, key=lambda pair: -pair[1]))


def _paired(texts: tuple[str, ...], found: list[dict[str, float]]) -> list[tuple[str, dict[str, Any]]]:
    return list(zip(texts, found, strict=True))


async def _encoded(platform: Installation, request: EncodeRequest) -> Encoded:
    try:
        return await platform.engines.encode(request)
    finally:
        await platform.engines.stop()
