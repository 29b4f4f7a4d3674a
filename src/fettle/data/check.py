"""What is in a file of examples, before anything is started with it.

A file is read once, row by row. What is kept of each row are 24 bytes: its line and two hashes of 8 bytes, by which
copies are found. That two different rows of a million are taken for copies has a probability of 1 in 37 million.
"""

from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b, sha256
from pathlib import Path

import msgspec

from fettle.data.examples import Example, read_examples
from fettle.data.faults import MAX_SHOWN, Faults, invalid_rows
from fettle.data.files import Fault
from fettle.data.lengths import Lengths
from fettle.data.repeats import Repeats
from fettle.data.sentences import Sentences
from fettle.data.template import Template
from fettle.errors import FettleError, InvalidInput, InvalidRows
from fettle.types.data import DataReport, Lines

FEW_EXAMPLES = 50
ENOUGH = "50 to 100 good ones are a start"


def check_file(
    path: Path | str,
    template: Template | Sentences | None = None,
    context: int | None = None,
    validation_path: Path | str | None = None,
) -> DataReport:
    """Look at every row of a file, and of the validation file that belongs to it.

    Args:
        path: JSONL of examples.
        template: what makes tokens of rows for the base model; None counts no tokens.
        context: tokens that the base model reads at most.
        validation_path: held-out examples; rows that are in both files are named.

    Raises:
        FettleError: a file cannot be read at all. Bad rows are in the report.
    """
    check = _Check(path, template, context)
    if validation_path is None:
        return check.report(None)
    return check.report(_Check(validation_path, template, context))


def raise_if_bad(report: DataReport) -> None:
    """Refuse files that cannot be tuned on, with every fault.

    Raises:
        InvalidRows: some rows cannot be used.
        InvalidInput: no row is left.
    """
    parts = [report, *([report.validation] if report.validation else [])]
    errors = [error for part in parts for error in _errors(part)]
    if len(errors) > 1:
        raise InvalidRows("\n".join(error.message for error in errors), hint=errors[0].hint)
    if errors:
        raise errors[0]


def _errors(report: DataReport) -> Iterator[FettleError]:
    if report.bad_rows:
        yield invalid_rows(report.path, report.faults, report.num_faults, report.bad_rows, report.rows)
    elif report.examples <= report.too_long.count:
        yield InvalidInput(f"no row of {report.path} fits the context of {report.context} tokens")


class _Check:
    """One file, read through."""

    def __init__(self, path: Path | str, template: Template | Sentences | None, context: int | None) -> None:
        self.path, self.template, self.context = Path(path), template, context
        self.faults, self.repeats, self.lengths = Faults(), Repeats(), Lengths()
        self.num_rows, self.num_too_long, self.num_with_choices = 0, 0, 0
        self.too_long: list[int] = []
        self.formats: Counter[str] = Counter()
        self.ignored: Counter[str] = Counter()
        self._hash = sha256()
        for found in read_examples(self.path):
            self.num_rows += 1
            faults = self._take(found) if isinstance(found, Example) else found
            if faults:
                self.faults.add(faults)

    def _take(self, example: Example) -> list[Fault]:
        """Note what is to be known of an example; the faults that show only when it is encoded."""
        if self.template:
            try:
                encoded = [self.template.encode(example.answered(text)) for text in example.answers]
            except FettleError as error:
                return [Fault(example.line, error.message)]
            self._measure(example.line, max(len(row.token_ids) for row in encoded), sum(encoded[0].scored))
        prompt = msgspec.json.encode([(turn.role, turn.content) for turn in example.prompt])
        turns = [(turn.role, turn.content, turn.is_learned) for turn in example.turns]
        row = msgspec.json.encode([*turns, *example.wrong])
        self.repeats.add(example.line, row=_short_hash(row), prompt=_short_hash(prompt))
        self._hash.update(row + b"\n")
        self.formats[example.prompt_format] += 1
        self.num_with_choices += bool(example.wrong)
        self.ignored.update(example.ignored)
        return []

    def _measure(self, line: int, length: int, num_learned: int) -> None:
        self.lengths.add(length, num_learned)
        if self.context and length > self.context:
            self.num_too_long += 1
            self.too_long += [line][: MAX_SHOWN - len(self.too_long)]

    def report(self, validation: "_Check | None") -> DataReport:
        """What was found; with that of the validation file, and what the two have in common."""
        duplicates, originals = self.repeats.duplicates()
        report = DataReport(
            path=str(self.path),
            rows=self.num_rows,
            examples=sum(self.formats.values()),
            bad_rows=self.faults.num_rows,
            num_faults=self.faults.count,
            faults=tuple(map(str, self.faults.kept)),
            formats=dict(self.formats),
            with_choices=self.num_with_choices,
            prompt_format="chat" if self.formats["chat"] and not self.formats["prompt"] else "prompt",
            ignored_fields=dict(self.ignored),
            tokens=self.lengths.summary(),
            context=self.context,
            too_long=Lines(count=self.num_too_long, lines=tuple(self.too_long)),
            duplicates=duplicates,
            originals=originals,
            conflicts=self.repeats.conflicts(),
            leaked=validation.repeats.prompts_in(self.repeats) if validation else Lines(),
            content_hash=self._hash.hexdigest(),
            validation=validation.report(None) if validation else None,
        )
        return report.model_copy(update={"notices": tuple(_notices(report))})


def _short_hash(content: bytes) -> int:
    return int.from_bytes(blake2b(content, digest_size=8).digest())


def _notices(report: DataReport) -> Iterator[str]:
    """What does not stop anybody, but should be known."""
    if 0 < report.examples < FEW_EXAMPLES:
        yield f"{_counted(report.examples, 'example')}: {ENOUGH}"
    if len(report.formats) > 1:
        both = " and ".join(f"{count:,} of {name}" for name, count in sorted(report.formats.items()))
        yield f"rows of both forms ({both}): text prompts will be treated as in the rows of prompt and completion"
    if report.too_long.count:
        yield (
            f"{_counted(report.too_long.count, 'row')} over the context of {report.context:,} tokens "
            f"{_at(report.too_long)}: tuning leaves them out"
        )
    if report.duplicates.count:
        pairs = zip(report.duplicates.lines, report.originals, strict=True)
        shown = ", ".join(f"{line} as {first}" for line, first in list(pairs)[:3])
        yield f"{_counted(report.duplicates.count, 'row')} said before (line {shown}): copies weigh more in tuning"
    if report.conflicts.count:
        rows = _counted(report.conflicts.count, "row")
        yield f"{rows} with a prompt that has other answers too {_at(report.conflicts)}"
    if report.leaked.count:
        rows = f"{_counted(report.leaked.count, 'validation row')} with a prompt of the training file"
        yield f"{rows} {_at(report.leaked)}: validation will look better than it is"
    if report.ignored_fields:
        names = ", ".join(f"`{name}` ({count:,})" for name, count in sorted(report.ignored_fields.items())[:10])
        yield f"fields that tuning ignores: {names}"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _at(lines: Lines) -> str:
    shown = ", ".join(map(str, lines.lines[:5]))
    return f"({'line' if lines.count == 1 else 'lines'} {shown}{', ...' if lines.count > 5 else ''})"
