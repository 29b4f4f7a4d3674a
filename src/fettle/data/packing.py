"""Encoded rows in flat arrays, and the batches that a step is made of: no padding, the same on every machine."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from fettle.data.examples import Example
from fettle.data.faults import Faults, shortened
from fettle.data.files import Fault
from fettle.data.growing import Growing
from fettle.data.template import Encoded, Template
from fettle.errors import InvalidInput, InvalidRows

Ints: TypeAlias = npt.NDArray[np.int64]
T = TypeVar("T")


@dataclass(frozen=True)
class Entering:
    """The residual stream in front of layer `layer`: float32, or the bits of bf16 as uint16."""

    layer: int
    stream: npt.NDArray[Any]


@dataclass(frozen=True)
class Batch:
    """Rows laid end to end, T tokens in all, of which N are predicted with loss.

    Attributes:
        tokens: (T,) ids.
        positions: (T,) place in its row, from 0.
        lengths: tokens of each row; their sum is T.
        at: (N,) indices into `tokens`; what follows each of them is scored.
        targets: (N,) the ids that follow.
        entering: (T, C) the residual stream as it enters a layer, where the layers below need not be computed.
    """

    tokens: Ints
    positions: Ints
    lengths: list[int]
    at: Ints
    targets: Ints
    entering: "Entering | None" = field(default=None, kw_only=True)

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return len(self.lengths)


class Rows(Protocol):
    """What the loop needs of a file's rows: how long each is, and batches of them."""

    left_out: list[int]

    def __len__(self) -> int: ...

    @property
    def lengths(self) -> Ints:
        """Tokens of each row."""
        ...

    def key(self, index: int) -> bytes:
        """What a row's tokens and their layout are, as 16 bytes."""
        ...

    def pack(self, rows: Sequence[int]) -> Batch:
        """The rows with these indices, end to end in this order."""
        ...


class EncodedRows:
    """All rows of a file as arrays: 5 bytes per token and 8 per row, whatever their number.

    Attributes:
        tokens: int32 ids of all rows, end to end.
        scored: for each of them, whether predicting it costs loss.
        offsets: row i is tokens[offsets[i] : offsets[i + 1]].
        left_out: line numbers of rows that exceed the context.
    """

    def __init__(self, rows: Iterable[Encoded]) -> None:
        tokens, scored, offsets = Growing(np.int32), Growing(np.bool_), Growing(np.int64)
        offsets.extend([0])
        for row in rows:
            tokens.extend(row.token_ids)
            scored.extend(row.scored)
            offsets.extend([len(tokens)])
        self.tokens, self.scored, self.offsets = tokens.array(), scored.array(), offsets.array()
        self.left_out: list[int] = []

    @classmethod
    def of_arrays(cls, tokens: npt.NDArray[Any], scored: npt.NDArray[Any], lengths: npt.NDArray[Any]) -> "EncodedRows":
        """Rows that are laid end to end already; the arrays may be memory maps."""
        rows = cls(())
        rows.tokens, rows.scored = tokens, scored
        rows.offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        return rows

    @classmethod
    def of(cls, examples: Iterable[tuple[int, Example]], template: Template, context: int) -> "EncodedRows":
        """Encode (line number, example) pairs; those longer than `context` tokens are left out and their lines kept.

        Raises:
            InvalidRows: the chat template refuses some of them.
        """
        left_out: list[int] = []

        def length(row: Encoded) -> int:
            return len(row.token_ids)

        rows = cls(encoded_where_fitting(examples, template.encode, length, context, left_out))
        rows.left_out = left_out
        return rows

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Ints:
        """Tokens of each row."""
        return np.diff(self.offsets)

    @property
    def num_scored(self) -> int:
        """Tokens that are predicted with loss, in all rows together."""
        return int(self.scored.sum()) - int(self.scored[self.offsets[:-1]].sum())

    def row(self, index: int) -> Encoded:
        """One row, as it was encoded."""
        span = slice(self.offsets[index], self.offsets[index + 1])
        return Encoded(self.tokens[span].tolist(), self.scored[span].tolist())

    def key(self, index: int) -> bytes:
        """A hash of the row's tokens."""
        span = slice(self.offsets[index], self.offsets[index + 1])
        return blake2b(self.tokens[span].astype(np.int32).tobytes(), digest_size=16).digest()

    def pack(self, rows: Sequence[int]) -> Batch:
        """The rows with these indices, end to end in this order."""
        lengths = self.lengths[list(rows)].astype(np.int64)
        starts = np.repeat(self.offsets[list(rows)], lengths)
        positions = np.arange(len(starts)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        source = starts + positions
        tokens = self.tokens[source].astype(np.int64)
        # A row's first token has nothing before it that could predict it.
        followers = np.flatnonzero(self.scored[source] & (positions > 0))
        return Batch(tokens, positions, lengths.tolist(), at=followers - 1, targets=tokens[followers])


def encoded_where_fitting(
    examples: Iterable[tuple[int, Example]],
    encode: Callable[[Example], T],
    length: Callable[[T], int],
    context: int,
    left_out: list[int],
) -> Iterator[T]:
    """Every (line number, example) that takes at most `context` tokens, encoded; the others' lines go to `left_out`.

    Raises:
        InvalidRows: after the last one, if some cannot be encoded.
    """
    faults = Faults()
    for line, example in examples:
        try:
            encoded = encode(example)
        except InvalidInput as error:
            faults.add([Fault(line, error.message)])
            continue
        if length(encoded) > context:
            left_out.append(line)
        else:
            yield encoded
    if faults.count:
        raise InvalidRows(
            f"{faults.num_rows:,} rows cannot be used with this base model and method:",
            faults=shortened([str(fault) for fault in faults.kept], faults.count),
        )


def pack(rows: Sequence[Encoded]) -> Batch:
    """Rows end to end."""
    return EncodedRows(rows).pack(range(len(rows)))


def plan_epoch(num_rows: int, *, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Row indices of each optimizer step of an epoch: every row once, in an order that seed and epoch determine.

    The last step takes what is left. The order is the same on every machine and in every version of NumPy.
    """
    order = shuffled(num_rows, seed=seed, epoch=epoch).tolist()
    return [order[start : start + batch_size] for start in range(0, num_rows, batch_size)]


def split_by_tokens(rows: Sequence[int], lengths: npt.NDArray[Any] | Sequence[int], max_tokens: int) -> list[list[int]]:
    """Cut a step's rows, in order, into parts of at most `max_tokens` tokens; a longer row is a part of its own."""
    parts: list[list[int]] = []
    room = 0
    for row in rows:
        length = int(lengths[row])
        if not parts or length > room:
            parts.append([])
            room = max_tokens
        parts[-1].append(row)
        room -= length
    return parts


def shuffled(count: int, *, seed: int, epoch: int = 0) -> Ints:
    """0 to count - 1 in an order that only `seed` and `epoch` determine."""
    return np.argsort(hashed(np.arange(count), seed=seed, stream=epoch), kind="stable")


def hashed(values: npt.NDArray[Any], *, seed: int, stream: int = 0) -> npt.NDArray[np.uint64]:
    """64 well-mixed bits of each value. Source: Steele, Lea, Flood 2014, splitmix64's output function."""
    start = _mix(_mix(np.array([seed], np.uint64)) + np.uint64(stream))
    return _mix(_mix(values.astype(np.uint64)) + start)


def _mix(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
