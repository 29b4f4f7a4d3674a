"""From rows of examples to questions with an expected answer."""

from typing import NamedTuple

from fettle.types.generation import Message


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
