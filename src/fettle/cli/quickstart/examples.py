"""The quickstart's example set: support requests and their tickets, with a part held out."""

import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from fettle.data.samples import support_tickets
from fettle.errors import StorageFailed

SEED = 2026


class ExampleSet(NamedTuple):
    """Two files without a common prompt."""

    train: Path
    test: Path


def write_examples(folder: Path, *, num_train: int, num_test: int) -> ExampleSet:
    """The example set, the same rows each time.

    Raises:
        StorageFailed: it cannot be written.
    """
    rows = support_tickets(num_train + num_test, SEED)
    files = ExampleSet(folder / "tickets-train.jsonl", folder / "tickets-test.jsonl")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(files.train, islice(rows, num_train))
        _write(files.test, rows)
    except OSError as error:
        raise StorageFailed(f"the example set cannot be written to {folder}: {error.strerror}") from error
    return files


def _write(path: Path, rows: Iterable[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
