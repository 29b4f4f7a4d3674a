"""From rows of examples to questions with an expected answer."""

from itertools import islice
from pathlib import Path
from typing import NamedTuple

from fettle.data.examples import parse
from fettle.data.files import Fault, Row, read_rows
from fettle.errors import InvalidRows
from fettle.types.generation import Message

MAX_FAULTS = 20


class Question(NamedTuple):
    """What a model is asked, and the answer that the file gives."""

    line: int
    messages: tuple[Message, ...]
    expected: str

    @property
    def prompt(self) -> str:
        """The question as one text, for people: the one message, or who said what."""
        if len(self.messages) == 1:
            return self.messages[0].content
        return "\n".join(f"{message.role}: {message.content}" for message in self.messages)


def read_questions(path: Path, *, limit: int | None = None) -> list[Question]:
    """A question per row: its prompt with its completion, or a conversation with its last answer.

    Raises:
        InvalidRows: some cannot be used; the first of them are named.
        FettleError: the file cannot be read.
    """
    read = [_question(line, row) for line, row in islice(read_rows(path), limit)]
    faults = [fault for found in read if isinstance(found, list) for fault in found]
    if faults:
        raise InvalidRows(
            f"{_count(read)} of {len(read)} rows in {path} cannot be used:",
            faults=[*faults[:MAX_FAULTS], *(["..."] if len(faults) > MAX_FAULTS else [])],
            hint=f"`fettle data check {path}` lists them all.",
        )
    return [found for found in read if isinstance(found, Question)]


def _question(line: int, row: Row | Fault) -> Question | list[str]:
    if isinstance(row, Fault):
        return [str(row)]
    found = parse(row)
    if isinstance(found, list):
        return [f"line {line}: {fault}" for fault in found]
    return Question(line, found.prompt_messages, found.reference)


def _count(read: list[Question | list[str]]) -> int:
    return sum(isinstance(found, list) for found in read)
