"""The faults of a file's rows: all are counted, the first ones are kept, and one error tells them."""

from collections.abc import Sequence
from pathlib import Path

from fettle.data.files import Fault
from fettle.errors import InvalidRows

#: Faults that a message shows.
MAX_SHOWN = 20
#: Faults that are kept, so that a file in which every row is bad does not fill the memory.
MAX_KEPT = 1000


class Faults:
    """Faults as they are found.

    Attributes:
        kept: the first ones.
        count: how many there are.
        num_rows: in how many rows.
    """

    def __init__(self) -> None:
        self.kept: list[Fault] = []
        self.count = 0
        self.num_rows = 0

    def add(self, found: Sequence[Fault]) -> None:
        """Take in the faults of one row."""
        self.kept += found[: MAX_KEPT - len(self.kept)]
        self.count += len(found)
        self.num_rows += 1

    def refuse(self, path: Path | str, num_rows: int) -> None:
        """Raise if there are faults.

        Raises:
            InvalidRows: there are.
        """
        if self.count:
            raise invalid_rows(path, [str(fault) for fault in self.kept], self.count, self.num_rows, num_rows)


def invalid_rows(path: Path | str, faults: Sequence[str], num_faults: int, num_bad: int, num_rows: int) -> InvalidRows:
    """The error for a file of which `num_bad` of `num_rows` rows cannot be used."""
    rows = "row" if num_rows == 1 else "rows"
    shown = shortened(faults, num_faults)
    hint = f"`fettle data check {path} --json` lists them all." if len(shown) < num_faults else ""
    return InvalidRows(f"{num_bad:,} of {num_rows:,} {rows} in {path} cannot be used:", faults=shown, hint=hint)


def shortened(lines: Sequence[str], count: int) -> list[str]:
    """The first of `count` lines, and how many more there are."""
    more = count - min(len(lines), MAX_SHOWN)
    return [*lines[:MAX_SHOWN], *([f"... and {more:,} more"] if more else [])]
