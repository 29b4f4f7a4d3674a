"""Options and arguments that several commands share, each with its help and its rule."""

from typing import Annotated

import typer

from fettle.errors import InvalidInput

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document for programs.")]


def parse_assignments(assignments: list[str]) -> dict[str, str]:
    """`["epochs=3", ...]` as a mapping.

    Raises:
        InvalidInput: some are not of the form key=value, or a key is given twice; all of them are named.
    """
    faults = [f"{text!r} is not of the form key=value" for text in assignments if not _key(text)]
    keys = [_key(text) for text in assignments]
    faults += [f"'{key}' is given twice" for key in dict.fromkeys(keys) if key and keys.count(key) > 1]
    if faults:
        raise InvalidInput("\n".join(faults), hint="For example: --set epochs=5 --set rank=16", param="set")
    return {_key(text): text.partition("=")[2].strip() for text in assignments}


def _key(text: str) -> str:
    key, equals, _ = text.partition("=")
    return key.strip() if equals else ""
