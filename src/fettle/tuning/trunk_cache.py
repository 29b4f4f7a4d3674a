"""What frozen lower layers make of each row, computed once.

Every later epoch, evaluation and job on the same base, cut and rows begins at the first layer that is trained.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fettle.data.packing import Batch, Entering, Ints, Rows, split_by_tokens
from fettle.models.decoder import Decoder
from fettle.tuning.forward import as_array, prepared
from fettle.tuning.trunk_store import TrunkStore

TOKENS_AT_ONCE = 8192


class CachedRows:
    """Rows whose batches begin above the cut."""

    def __init__(self, rows: Rows, store: TrunkStore) -> None:
        """Rows that are all in the store.

        Raises:
            KeyError: some are not.
        """
        entries = store.entries()
        self._rows, self._layer, self._states = rows, store.cut.layer, store.states()
        self._starts = np.array([entries[rows.key(index)] for index in range(len(rows))], dtype=np.int64)
        self.left_out = rows.left_out

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def lengths(self) -> Ints:
        """Tokens of each row."""
        return self._rows.lengths

    def key(self, index: int) -> bytes:
        """The row's own."""
        return self._rows.key(index)

    def pack(self, rows: Sequence[int]) -> Batch:
        """As the rows themselves, with their states."""
        batch = self._rows.pack(rows)
        spans = zip(self._starts[list(rows)].tolist(), batch.lengths, strict=True)
        stream = np.concatenate([self._states[start : start + length] for start, length in spans])
        return replace(batch, entering=Entering(self._layer, stream))


def missing(rows: Rows, store: TrunkStore) -> list[int]:
    """Rows whose states are not kept yet; of copies, the first; the longest first."""
    kept, lengths = store.entries(), rows.lengths
    first = {rows.key(index): index for index in reversed(range(len(rows)))}
    # Rows of like length share a rectangle of attention.
    return sorted((index for key, index in first.items() if key not in kept), key=lambda index: -int(lengths[index]))


@torch.no_grad()
def fill(store: TrunkStore, decoder: Decoder, rows: Rows, on_part: Callable[[int], object] = lambda _: None) -> None:
    """Compute and keep what is missing; `on_part` is told how many tokens were computed.

    Raises:
        OSError: the disk is full; what was kept before is whole.
    """
    with store.locked():
        for part in split_by_tokens(missing(rows, store), rows.lengths, TOKENS_AT_ONCE):
            states = _states(store, decoder, rows.pack(part))
            store.append([rows.key(index) for index in part], rows.lengths[part], states)
            on_part(len(states))


def _states(store: TrunkStore, decoder: Decoder, batch: Batch) -> npt.NDArray[Any]:
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=store.cut.arithmetic == torch.bfloat16):
        states = decoder.below(store.cut.layer, *prepared(decoder, batch))
    return as_array(states[: len(batch.tokens)])
