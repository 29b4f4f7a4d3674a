"""Rows that say the same, prompts with several answers, prompts in two files: found by hashes of 8 bytes."""

from array import array
from typing import TYPE_CHECKING

from fettle.data.faults import MAX_SHOWN
from fettle.types.data import Lines

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class Repeats:
    """The hashes of all rows of a file and of their prompts, and where they stand."""

    def __init__(self) -> None:
        self._lines, self._rows, self._prompts = array("Q"), array("Q"), array("Q")

    def add(self, line: int, *, row: int, prompt: int) -> None:
        """Take in a row's 64-bit hashes."""
        self._lines.append(line)
        self._rows.append(row)
        self._prompts.append(prompt)

    def duplicates(self) -> tuple[Lines, tuple[int, ...]]:
        """Rows that occurred before, and for each of the lines shown the line of its first occurrence."""
        import numpy as np

        _, first, group = np.unique(_numbers(self._rows), return_index=True, return_inverse=True)
        again = np.flatnonzero(first[group] != np.arange(len(group)))
        lines = _numbers(self._lines)
        originals = lines[first[group[again[:MAX_SHOWN]]]]
        return self._shown(again), tuple(originals.tolist())

    def conflicts(self) -> Lines:
        """Rows whose prompt occurs with another answer too."""
        import numpy as np

        _, first = np.unique(_numbers(self._rows), return_index=True)
        distinct = np.sort(first)
        _, group, sizes = np.unique(_numbers(self._prompts)[distinct], return_inverse=True, return_counts=True)
        return self._shown(distinct[sizes[group] > 1])

    def prompts_in(self, other: "Repeats") -> Lines:
        """Rows whose prompt is one of the other file's too."""
        import numpy as np

        return self._shown(np.flatnonzero(np.isin(_numbers(self._prompts), _numbers(other._prompts))))

    def _shown(self, places: "npt.NDArray[np.int64]") -> Lines:
        return Lines(count=len(places), lines=tuple(self._lines[place] for place in places[:MAX_SHOWN]))


def _numbers(values: "array[int]") -> "npt.NDArray[np.uint64]":
    import numpy as np

    return np.frombuffer(values, dtype=np.uint64) if values else np.empty(0, np.uint64)
