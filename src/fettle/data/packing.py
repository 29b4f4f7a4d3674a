"""Encoded rows -> optimizer steps -> flat batches without padding.

Shapes: T tokens of all the batch's rows in a row, N scored places.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Rows laid end to end.

    Attributes:
        tokens: (T,) token ids.
        positions: (T,) each token's place in its own row.
        lengths: tokens per row.
        at: (N,) places whose next token is scored.
        targets: (N,) those next tokens.
    """

    tokens: Ints
    positions: Ints
    lengths: tuple[int, ...]
    at: Ints
    targets: Ints


class EncodedRows:
    """Many rows in three flat arrays, which may be memory maps: a million rows are not a million lists."""

    def __init__(
        self, tokens: npt.NDArray[np.integer], scored: npt.NDArray[np.generic], lengths: npt.ArrayLike
    ) -> None:
        self.tokens, self.scored = tokens, scored
        self.lengths: Ints = np.asarray(lengths, dtype=np.int64)
        self._starts: Ints = np.concatenate(([0], np.cumsum(self.lengths)))

    def __len__(self) -> int:
        return len(self.lengths)

    def select(self, rows: Sequence[int]) -> "EncodedRows":
        """A copy of these rows only, in this order."""
        return EncodedRows(self._join(self.tokens, rows), self._join(self.scored, rows), self.lengths[list(rows)])

    def num_scored(self, rows: Sequence[int]) -> int:
        """How many tokens of these rows a loss is taken on (a row's first token has nothing before it to predict it)."""
        return sum(int(np.count_nonzero(self._of(self.scored, row)[1:])) for row in rows)

    def pack(self, rows: Sequence[int]) -> Batch:
        """Lay these rows end to end."""
        lengths = self.lengths[list(rows)]
        tokens = self._join(self.tokens, rows).astype(np.int64)
        ends = np.cumsum(lengths)
        positions = np.arange(len(tokens)) - np.repeat(ends - lengths, lengths)
        is_scored = self._join(self.scored, rows).astype(bool)
        places = np.flatnonzero(is_scored & (positions > 0))
        return Batch(tokens, positions, tuple(lengths.tolist()), places - 1, tokens[places])

    def _of(self, array: npt.NDArray[np.generic], row: int) -> npt.NDArray[np.generic]:
        return array[self._starts[row] : self._starts[row + 1]]

    def _join(self, array: npt.NDArray[np.generic], rows: Sequence[int]) -> npt.NDArray[np.generic]:
        return np.concatenate([self._of(array, row) for row in rows]) if len(rows) else array[:0]


def collect(encoded: Iterable[tuple[Sequence[int], Sequence[bool]]]) -> EncodedRows:
    """Gather (token ids, scored) pairs into flat arrays."""
    tokens, scored, lengths = [], [], []
    for ids, marks in encoded:
        tokens.append(np.asarray(ids, dtype=np.int32))
        scored.append(np.asarray(marks, dtype=bool))
        lengths.append(len(ids))
    if not lengths:
        return EncodedRows(np.empty(0, np.int32), np.empty(0, bool), [])
    return EncodedRows(np.concatenate(tokens), np.concatenate(scored), lengths)


def plan_epoch(num_rows: int, *, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """The rows of each optimizer step: shuffled by seed and epoch, the same on every machine; the last may be short."""
    order = np.random.default_rng([seed, epoch]).permutation(num_rows)
    return [order[start : start + batch_size].tolist() for start in range(0, num_rows, batch_size)]


def split_by_tokens(rows: Sequence[int], length_of: Callable[[int], int], max_tokens: int) -> list[list[int]]:
    """Cut a step's rows into pieces of at most `max_tokens` tokens; a longer row is a piece of its own."""
    pieces: list[list[int]] = []
    room = 0
    for row in sorted(rows, key=lambda row: (-length_of(row), row)):
        if not pieces or length_of(row) > room:
            pieces.append([])
            room = max_tokens
        pieces[-1].append(row)
        room -= length_of(row)
    return pieces
