"""The only place where messages become tokens, and where it is decided which of them are learned.

What stands before an answer in training is, token by token, what `Template.prompt` gives at serving.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from fettle.data.examples import Example
from fettle.errors import InvalidInput


class TextEncoder(Protocol):
    """What is needed of a tokenizer."""

    @property
    def has_template(self) -> bool:
        """Whether it has a chat template."""
        ...

    @property
    def special_texts(self) -> Sequence[str]:
        """The texts that stand for control tokens, e.g. '<|end|>'."""
        ...

    @property
    def eos_ids(self) -> Sequence[int]:
        """Tokens that end an answer; the first is the usual one."""
        ...

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        """Token ids; control tokens in the text are understood."""
        ...

    def encode_plain(self, text: str) -> list[int]:
        """Token ids of text in which control tokens are only letters."""
        ...

    def render(self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool) -> str:
        """The conversation as one text, by the chat template."""
        ...


class Said(Protocol):
    """A turn of a conversation."""

    @property
    def role(self) -> str:
        """Who says it."""
        ...

    @property
    def content(self) -> str:
        """What is said."""
        ...


class Encoded(NamedTuple):
    """A row's tokens; `scored[i]` says that token i is to be predicted."""

    token_ids: list[int]
    scored: list[bool]


# A control token's text inside what somebody wrote is kept as letters: it travels through the chat template as this.
_QUOTED = re.compile("\ue000(\\d+)\ue001")


class Template:
    """Messages to tokens, with one tokenizer's own chat template."""

    def __init__(self, tokenizer: TextEncoder) -> None:
        self._tokenizer = tokenizer
        self._specials = tuple(tokenizer.special_texts)
        self._special = re.compile("|".join(map(re.escape, sorted(self._specials, key=len, reverse=True))) or "(?!)")

    def prompt(self, messages: Sequence[Said]) -> list[int]:
        """The tokens after which a model is to answer.

        Raises:
            InvalidInput: the model has no chat template, or the template refuses these messages.
        """
        if not self._tokenizer.has_template:
            raise InvalidInput(
                "this model has no chat template",
                hint="Use /v1/completions, or tune it on rows first.",
                param="messages",
            )
        pieces = self._pieces(messages)
        if pieces is None:
            return self._encode(self._render(messages, is_prompt=True))
        return [token for before, answer in pieces for token in self._encode(before) + self._encode(answer)]

    def text_prompt(self, text: str) -> list[int]:
        """The tokens of a bare text, for models that continue texts."""
        return self._tokenizer.encode(text, add_special_tokens=True)

    def row_prompt(self, text: str) -> list[int]:
        """The tokens of a prompt, as rows of prompt and completion have it in training."""
        if self._tokenizer.has_template:
            return self.prompt([_User(text)])
        return self.text_prompt(text)

    def encode(self, example: Example) -> Encoded:
        """The tokens of a training row and which of them are learned: the answers and the tokens that end them.

        Raises:
            InvalidInput: the row needs a chat template, or the model's template rewrites earlier turns.
        """
        if example.prompt_format == "prompt" and not self._tokenizer.has_template:
            return self._raw(example)
        if not self._tokenizer.has_template:
            raise InvalidInput(f"line {example.line}: `messages` need a model with a chat template", param="messages")
        return self._conversation(example)

    def _conversation(self, example: Example) -> Encoded:
        encoded = Encoded([], [])
        pieces = self._pieces(example.turns)
        if pieces is None:
            raise InvalidInput(
                f"line {example.line}: the chat template rewrites earlier turns, so they cannot be learned together",
                hint="Give each answer a row of its own.",
                param="messages",
            )
        answers = [turn for turn in example.turns if turn.role == "assistant"]
        for (before, answer), turn in zip(pieces, answers, strict=False):
            _extend(encoded, self._encode(before), is_scored=False)
            self._answer(encoded, self._encode(answer), is_scored=turn.is_learned)
        return encoded

    def _answer(self, encoded: Encoded, tokens: list[int], *, is_scored: bool) -> None:
        """An answer up to its end token is learned; what the template puts behind that is not."""
        ends = [place for place, token in enumerate(tokens) if token in self._tokenizer.eos_ids]
        if not ends:
            tokens = [*tokens, *self._tokenizer.eos_ids[:1]]
            ends = [len(tokens) - 1]
        _extend(encoded, tokens[: ends[-1] + 1], is_scored=is_scored)
        _extend(encoded, tokens[ends[-1] + 1 :], is_scored=False)

    def _raw(self, example: Example) -> Encoded:
        encoded = Encoded([], [])
        _extend(encoded, self.row_prompt(example.turns[0].content), is_scored=False)
        answer = [*self._tokenizer.encode_plain(example.answer), *self._tokenizer.eos_ids[:1]]
        _extend(encoded, answer, is_scored=True)
        return encoded

    def _pieces(self, turns: Sequence[Said]) -> list[tuple[str, str]] | None:
        """The rendered text as (what comes before, answer) for each answer, the last one open or not.

        None if the template does not only append: then the text before an answer changes when it is answered.
        """
        pieces, done = [], ""
        answered = [place for place, turn in enumerate(turns) if turn.role == "assistant"]
        for place in answered:
            before = self._render(turns[:place], is_prompt=True)
            whole = self._render(turns[: place + 1], is_prompt=False)
            if not (before.startswith(done) and whole.startswith(before)):
                return None
            pieces.append((before[len(done) :], whole[len(before) :]))
            done = whole
        if not answered or answered[-1] != len(turns) - 1:
            last = self._render(turns, is_prompt=True)
            return [*pieces, (last[len(done) :], "")] if last.startswith(done) else None
        return pieces

    def _render(self, turns: Sequence[Said], *, is_prompt: bool) -> str:
        messages = [{"role": turn.role, "content": self._quoted(turn.content)} for turn in turns]
        return self._tokenizer.render(messages, add_generation_prompt=is_prompt)

    def _quoted(self, content: str) -> str:
        return self._special.sub(lambda found: f"\ue000{self._specials.index(found.group())}\ue001", content)

    def _encode(self, rendered: str) -> list[int]:
        parts = _QUOTED.split(rendered)
        tokens = self._tokenizer.encode(parts[0]) if parts[0] else []
        for number, text in zip(parts[1::2], parts[2::2], strict=True):
            tokens += self._tokenizer.encode_plain(self._specials[int(number)])
            tokens += self._tokenizer.encode(text) if text else []
        return tokens


class _User(NamedTuple):
    content: str
    role: str = "user"


def _extend(encoded: Encoded, tokens: list[int], *, is_scored: bool) -> None:
    encoded.token_ids.extend(tokens)
    encoded.scored.extend([is_scored] * len(tokens))
