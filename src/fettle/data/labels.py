"""Rows of texts with their labels: which classes there are, what is wrong with them, and the rows as tokens."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fettle.data.examples import Example, read_examples
from fettle.data.faults import shortened
from fettle.data.packing import Batch, EncodedRows, Ints, encoded_where_fitting
from fettle.data.template import Encoded
from fettle.errors import InvalidInput

HINT = 'A classifier is tuned on rows such as {"text": "free money!", "label": "spam"}.'


class LabelledRows:
    """Texts as tokens, each with the number of its class.

    Attributes:
        rows: the tokens.
        classes: (number of rows,), indices into the labels.
        left_out: line numbers of rows that exceed the context.
    """

    def __init__(self, rows: EncodedRows, classes: Ints, left_out: Sequence[int] = ()) -> None:
        self.rows, self.classes, self.left_out = rows, classes, list(left_out)

    @classmethod
    def of(
        cls, examples: Iterable[Example], encode: Callable[[Example], Encoded], labels: Sequence[str], context: int
    ) -> "LabelledRows":
        """Encode examples whose answers are among `labels`; those longer than `context` tokens are left out."""
        numbers = {label: number for number, label in enumerate(labels)}
        left_out: list[int] = []
        found = list(
            encoded_where_fitting(
                ((example.line, example) for example in examples),
                lambda example: (encode(example), numbers[example.answer]),
                lambda pair: len(pair[0].token_ids),
                context,
                left_out,
            )
        )
        return cls(EncodedRows(row for row, _ in found), np.array([one for _, one in found], np.int64), left_out)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lengths(self) -> Ints:
        """Tokens of each row."""
        return self.rows.lengths

    def key(self, index: int) -> bytes:
        """A hash of the row's tokens."""
        return self.rows.key(index)

    def pack(self, rows: Sequence[int]) -> Batch:
        """The texts with these indices, end to end; `at` is where each begins, and `targets` are their classes."""
        batch = self.rows.pack(rows)
        starts = np.cumsum([0, *batch.lengths[:-1]], dtype=np.int64)
        return replace(batch, at=starts, targets=self.classes[list(rows)])


def labels_of(examples: Iterable[Example]) -> tuple[str, ...]:
    """The labels that occur, in order: numbers by their size, texts by their letters."""
    found = {example.answer for example in examples}
    by_size = all(label.isdecimal() for label in found)
    return tuple(sorted(found, key=lambda label: (int(label) if by_size else 0, label)))


def check_labels(train: Path, validation: Path | None = None) -> None:
    """Let files through that a classifier can be tuned on; rows that are no examples at all are not looked at.

    Raises:
        InvalidInput: they cannot; with all reasons.
    """
    seen = [_Seen(path) for path in [train, *([validation] if validation else [])]]
    faults = [fault for one in seen for fault in one.faults()] + seen[0].too_few()
    if validation:
        faults += seen[0].lacks(seen[1])
    if faults:
        raise InvalidInput("\n".join(faults), hint=HINT, param="train")


class _Seen:
    """What was found in a file."""

    def __init__(self, path: Path) -> None:
        self.path, self.counts = path, Counter[str]()
        self.first_lines: dict[str, int] = {}
        self.strange: list[str] = []
        for example in read_examples(path):
            if isinstance(example, Example):
                self._take(example)

    def _take(self, example: Example) -> None:
        if why := _why_no_class(example):
            self.strange.append(f"line {example.line}: {why}")
        else:
            self.counts[example.answer] += 1
            self.first_lines.setdefault(example.answer, example.line)

    def faults(self) -> list[str]:
        """Rows that are no text with a label."""
        if not self.strange:
            return []
        shown = "".join(f"\n  {line}" for line in shortened(self.strange, len(self.strange)))
        return [f"{len(self.strange):,} rows of {self.path} are no text with one label:{shown}"]

    def too_few(self) -> list[str]:
        """Whether there is nothing to tell apart, or nothing to learn it from."""
        if len(self.counts) == 1:
            (label,) = self.counts
            return [f"every row of {self.path} has the label {label!r}; expected two labels or more"]
        if self.counts and self.counts.total() == len(self.counts):
            return [
                f"no label of {self.path} occurs twice in {len(self.counts):,} rows: are they answers, not classes?"
            ]
        return []

    def lacks(self, validation: "_Seen") -> list[str]:
        """Labels of the validation file that are not in this one."""
        lacking = [label for label in validation.counts if label not in self.counts]
        named = ", ".join(f"{label[:40]!r} (line {validation.first_lines[label]})" for label in lacking[:10])
        more = ", ..." if len(lacking) > 10 else ""
        return [f"labels of {validation.path} that {self.path} does not have: {named}{more}"] if lacking else []


def _why_no_class(example: Example) -> str:
    if example.wrong:
        return "has answers to choose from"
    if [turn.role for turn in example.prompt] != ["user"]:
        return f"is a conversation of {len(example.turns)} turns"
    return ""
