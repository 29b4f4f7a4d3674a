"""Rows of several answers to one prompt, in flat arrays; a batch has each prompt once, whatever the answers' number."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np

from fettle.data.examples import Example
from fettle.data.growing import Growing
from fettle.data.packing import Batch, Ints, encoded_where_fitting
from fettle.data.template import Template
from fettle.errors import InvalidInput


class Alternatives(NamedTuple):
    """A row's tokens: those that all answers share, and those of each answer, the right one first."""

    prefix: list[int]
    answers: list[list[int]]


@dataclass(frozen=True)
class ChoiceBatch(Batch):
    """Rows laid end to end, each as its prefix and then its answers, the right one first.

    Attributes:
        prefixes: tokens of each row's prefix.
        answers: tokens of each of a row's answers, by row.
        answer_of: (N,) which answer each scored token belongs to, numbered through the batch.
    """

    prefixes: list[int]
    answers: list[list[int]]
    answer_of: Ints


class ChoiceRows:
    """All rows of a file as arrays.

    Attributes:
        left_out: line numbers of rows of which an answer exceeds the context.
    """

    def __init__(self, rows: Iterable[Alternatives]) -> None:
        tokens, starts, first_parts = Growing(np.int32), Growing(np.int64), Growing(np.int64)
        starts.extend([0])
        first_parts.extend([0])
        for row in rows:
            for part in (row.prefix, *row.answers):
                tokens.extend(part)
                starts.extend([len(tokens)])
            first_parts.extend([len(starts) - 1])
        self._tokens, self._starts, self._first_parts = tokens.array(), starts.array(), first_parts.array()
        self.left_out: list[int] = []

    @classmethod
    def of(
        cls, examples: Iterable[tuple[int, Example]], template: Template, context: int, *, min_answers: int = 1
    ) -> "ChoiceRows":
        """Encode (line number, example) pairs; where an answer exceeds `context`, the row is left out.

        Raises:
            InvalidRows: the chat template refuses some of them, or they have too few answers.
        """
        left_out: list[int] = []

        def encode(example: Example) -> Alternatives:
            if len(example.answers) < min_answers:
                raise InvalidInput("has one answer only; expected `chosen` and `rejected`, or `choices` and `answer`")
            return alternatives(template, example)

        def length(row: Alternatives) -> int:
            return len(row.prefix) + max(map(len, row.answers))

        rows = cls(encoded_where_fitting(examples, encode, length, context, left_out))
        rows.left_out = left_out
        return rows

    def __len__(self) -> int:
        return len(self._first_parts) - 1

    @property
    def lengths(self) -> Ints:
        """Tokens of each row: its prefix once and all its answers."""
        lengths: Ints = np.diff(self._starts[self._first_parts])
        return lengths

    def row(self, index: int) -> Alternatives:
        """One row, as it was encoded."""
        bounds = self._starts[self._first_parts[index] : self._first_parts[index + 1] + 1]
        prefix, *answers = (self._tokens[start:end].tolist() for start, end in pairwise(bounds))
        return Alternatives(prefix, answers)

    def key(self, index: int) -> bytes:
        """A hash of the row's tokens and of where its parts begin."""
        bounds = self._starts[self._first_parts[index] : self._first_parts[index + 1] + 1]
        content = self._tokens[bounds[0] : bounds[-1]].astype(np.int32).tobytes()
        return blake2b(content + np.diff(bounds).tobytes(), digest_size=16, person=b"choices").digest()

    def pack(self, rows: Sequence[int]) -> ChoiceBatch:
        """The rows with these indices, end to end in this order."""
        return pack_choices([self.row(index) for index in rows])


def alternatives(template: Template, example: Example) -> Alternatives:
    """An example's tokens. Before an answer they do not depend on it, so they are the same for all answers.

    Raises:
        InvalidInput: the template cannot encode it.
    """
    encoded = [template.encode(example.answered(text)) for text in example.answers]
    start = encoded[0].scored.index(True)
    return Alternatives(encoded[0].token_ids[:start], [row.token_ids[start:] for row in encoded])


def pack_choices(rows: Sequence[Alternatives]) -> ChoiceBatch:
    """Rows end to end."""
    tokens, positions, at, targets, answer_of = [], [], [], [], []
    num_answers = place = 0
    for row in rows:
        end_of_prefix = place + len(row.prefix) - 1
        tokens += row.prefix
        positions.append(range(len(row.prefix)))
        place = end_of_prefix + 1
        for answer in row.answers:
            # The prefix's last token predicts the first of every answer.
            at += [end_of_prefix, *range(place, place + len(answer) - 1)]
            targets += answer
            tokens += answer
            positions.append(range(len(row.prefix), len(row.prefix) + len(answer)))
            answer_of += [num_answers] * len(answer)
            num_answers, place = num_answers + 1, place + len(answer)
    answers = [[len(answer) for answer in row.answers] for row in rows]
    prefixes = [len(row.prefix) for row in rows]
    lengths = [prefix + sum(sizes) for prefix, sizes in zip(prefixes, answers, strict=True)]
    flat = list(chain.from_iterable(positions))
    arrays = [np.array(values, dtype=np.int64) for values in (tokens, flat, at, targets, answer_of)]
    return ChoiceBatch(arrays[0], arrays[1], lengths, arrays[2], arrays[3], prefixes, answers, arrays[4])
