"""From rows of examples to questions with an expected answer."""

from itertools import islice
from pathlib import Path
from typing import NamedTuple

from fettle.data.examples import Example, read_examples, refuse
from fettle.types.generation import Message


class Question(NamedTuple):
    """What a model is asked, and the answer that the file gives.

    With `choices` it is not to write an answer but to choose one of these.
    """

    line: int
    messages: tuple[Message, ...]
    expected: str
    choices: tuple[str, ...] = ()

    @property
    def prompt(self) -> str:
        """The question as one text, for people: the one message, or who said what."""
        if len(self.messages) == 1:
            return self.messages[0].content
        return "\n".join(f"{message.role}: {message.content}" for message in self.messages)


def read_questions(path: Path, *, limit: int | None = None) -> list[Question]:
    """A question per row: its prompt with its completion, a conversation with its last answer, or a choice.

    Raises:
        InvalidRows: some cannot be used.
        FettleError: the file cannot be read.
    """
    read = list(islice(read_examples(path), limit))
    bad = [found for found in read if not isinstance(found, Example)]
    refuse(path, [fault for faults in bad for fault in faults], len(read), len(bad))
    return [_question(found) for found in read if isinstance(found, Example)]


def _question(example: Example) -> Question:
    messages = [{"role": turn.role, "content": turn.content} for turn in example.prompt]
    choices = example.answers if example.wrong else ()
    return Question(example.line, tuple(Message.checked(message) for message in messages), example.answer, choices)
