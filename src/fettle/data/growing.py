"""Arrays that grow: what is read row by row, kept as compactly as it will be used."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


class Growing:
    """An array that values are appended to; it doubles its room when it is full."""

    def __init__(self, dtype: type[np.generic]) -> None:
        """Empty, of numbers of this type."""
        self._room: npt.NDArray[Any] = np.empty(1024, dtype)
        self._used = 0

    def __len__(self) -> int:
        return self._used

    def extend(self, values: Sequence[Any]) -> None:
        """Append the values."""
        end = self._used + len(values)
        if end > len(self._room):
            self._room = np.concatenate([self._room, np.empty(max(end, len(self._room)), self._room.dtype)])
        self._room[self._used : end] = values
        self._used = end

    def array(self) -> npt.NDArray[Any]:
        """A copy of all that was appended."""
        return self._room[: self._used].copy()
