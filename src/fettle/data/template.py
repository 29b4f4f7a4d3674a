"""The only place where messages become tokens, and where it is decided which of them are learned.

What stands before an answer in training is, token by token, what `Template.prompt` gives at serving.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, Protocol

from fettle.data.examples import Example
from fettle.data.messages import Turn
from fettle.errors import InvalidInput

Fields = Mapping[str, Any]


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
    def special_ids(self) -> Collection[int]:
        """The ids of the control tokens."""
        ...

    @property
    def start_ids(self) -> Sequence[int]:
        """Tokens that a bare text begins with."""
        ...

    @property
    def eos_ids(self) -> Sequence[int]:
        """Tokens that end an answer; the first is the usual one."""
        ...

    def encode(self, text: str) -> list[int]:
        """Token ids; control tokens in the text are understood."""
        ...

    def encode_after(self, text: str) -> list[int]:
        """Token ids of a text that continues other text."""
        ...

    def render(self, messages: Sequence[Fields], *, add_generation_prompt: bool, tools: Sequence[Fields]) -> str:
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

    @property
    def extra(self) -> Fields:
        """What else the chat template may want to know, e.g. calls of tools."""
        ...


class Encoded(NamedTuple):
    """A row's tokens; `scored[i]` says that token i is to be predicted."""

    token_ids: list[int]
    scored: list[bool]


class _Piece(NamedTuple):
    """A part of a rendered conversation that is encoded by itself.

    The first `answer_size` characters are the answer of turn number `turn`, its end token included.
    """

    text: str
    turn: int = -1
    answer_size: int = 0


class Template:
    """Messages to tokens, with one tokenizer's own chat template.

    A conversation is cut where each answer begins, and each piece is encoded by itself: so the tokens before an answer
    do not depend on the answer.

    A control token's name inside what somebody wrote ("<|end|>") stays letters: a mark behind its first character
    travels through the chat template, and the text is encoded apart on both sides of it.
    """

    def __init__(self, tokenizer: TextEncoder) -> None:
        """The template of a tokenizer."""
        self._tokenizer = tokenizer
        names = sorted(tokenizer.special_texts, key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, names)) or "(?!)")
        # Looking ahead finds overlapping ones as well. A name of one character has no inside to cut.
        inner = "|".join(re.escape(name) for name in names if len(name) > 1)
        self._typed_special = re.compile(f"(?={inner or '(?!)'})")

    def prompt(self, messages: Sequence[Said], tools: Sequence[Fields] = ()) -> list[int]:
        """The tokens after which a model is to answer; `tools` are for chat templates that know them.

        Raises:
            InvalidInput: the model has no chat template, or the template refuses these messages.
        """
        if not self._tokenizer.has_template:
            raise InvalidInput(
                "this model has no chat template",
                hint="Use /v1/completions, or tune it on rows first.",
                param="messages",
            )
        extras = json.dumps([tools, *(message.extra for message in messages)], ensure_ascii=False)
        mark = _unused_character([extras, *(message.content for message in messages)])
        text = self._render(messages, mark, is_prompt=True, tools=tools)
        # A template that rewrites earlier turns is served as it is; only training needs more.
        pieces = self._pieces(messages, text, mark, tools) or [_Piece(text)]
        return [token for ids, _ in self._encode(pieces, mark) for token in ids]

    def text_prompt(self, text: str) -> list[int]:
        """The tokens of a bare text, for models that continue texts; control tokens in it are understood."""
        return [*self._tokenizer.start_ids, *self._tokenizer.encode(text)]

    def row_prompt(self, text: str) -> list[int]:
        """The tokens of a prompt, as rows of prompt and completion have it in training."""
        if self._tokenizer.has_template:
            return self.prompt([Turn("user", text)])
        return [*self._tokenizer.start_ids, *self._spelled(text, is_first=True)]

    def encode(self, example: Example) -> Encoded:
        """The tokens of a training row and which of them are learned: the answers and the tokens that end them.

        Raises:
            InvalidInput: the row needs a chat template, or the model's template rewrites earlier turns.
        """
        if self._tokenizer.has_template:
            return self._conversation(example)
        if example.prompt_format == "prompt":
            return self._raw(example)
        raise InvalidInput(
            "`messages` need a base model with a chat template",
            hint="Write the rows as `prompt` and `completion`, or take a base model that chats.",
            param="messages",
        )

    @cached_property
    def end_ids(self) -> tuple[int, ...]:
        """Tokens that end an answer: the model's own, and the one that this template teaches."""
        hello = Example(0, "prompt", (Turn("user", "a"), Turn("assistant", "b", is_learned=True)))
        try:
            last = self.encode(hello).token_ids[-1]
        except InvalidInput:
            return tuple(self._tokenizer.eos_ids)
        ends = [last] if last in self._tokenizer.special_ids else []
        return tuple(dict.fromkeys([*self._tokenizer.eos_ids, *ends]))

    def _conversation(self, example: Example) -> Encoded:
        turns = example.turns
        mark = _unused_character(turn.content for turn in turns)
        pieces = self._pieces(turns, self._render(turns, mark, is_prompt=False), mark)
        if pieces is None:
            raise InvalidInput(
                "the base model's chat template rewrites earlier turns, so serving would differ from training",
                hint="Give each answer a row of its own, or change the base model's chat template.",
                param="messages",
            )
        # What follows the last answer takes part in no prediction.
        last = pieces[-1]
        pieces[-1] = last._replace(text=last.text[: last.answer_size])
        encoded = Encoded([], [])
        for piece, (ids, size) in zip(pieces, self._encode(pieces, mark), strict=True):
            _extend(encoded, ids[:size], is_scored=piece.turn >= 0 and turns[piece.turn].is_learned)
            _extend(encoded, ids[size:], is_scored=False)
        if not self._ends_in_control(pieces[-1].text):
            _extend(encoded, list(self._tokenizer.eos_ids[:1]), is_scored=turns[-1].is_learned)
        return encoded

    def _raw(self, example: Example) -> Encoded:
        encoded = Encoded([], [])
        _extend(encoded, self.row_prompt(example.turns[0].content), is_scored=False)
        answer = [*self._spelled(example.answer, is_first=False), *self._tokenizer.eos_ids[:1]]
        _extend(encoded, answer, is_scored=True)
        return encoded

    def _pieces(self, turns: Sequence[Said], text: str, mark: str, tools: Sequence[Fields] = ()) -> list[_Piece] | None:
        """The rendered text, cut where each answer begins.

        None if the template does not only append: then the text before an answer changes when it is answered.
        """
        answered = [place for place, turn in enumerate(turns) if turn.role == "assistant"]
        try:
            before = [self._render(turns[:place], mark, is_prompt=True, tools=tools) for place in answered]
        except InvalidInput:  # The template did not accept the conversation as it was then.
            return None
        if not all(map(text.startswith, before)):
            return None
        starts = [*map(len, before), len(text)]
        pieces = [_Piece(text[: starts[0]])]
        for place, start, end in zip(answered, starts, starts[1:], strict=False):
            part = text[start:end]
            pieces.append(_Piece(part, place, self._answer_size(part, self._marked(turns[place].content, mark))))
        return pieces

    def _answer_size(self, text: str, content: str) -> int:
        """Characters of the answer that `text` begins with, the first control token behind its content included."""
        content = content.strip()
        found = text.find(content)
        end = found + len(content) if found >= 0 else 0
        control = self._special.search(text, end)
        return control.end() if control else end or len(text)

    def _encode(self, pieces: Sequence[_Piece], mark: str) -> Iterator[tuple[list[int], int]]:
        """Each piece's ids, and how many of them are its answer."""
        for number, piece in enumerate(pieces):
            ids = self._joined(piece.text, mark, is_first=number == 0)
            answer, rest = piece.text[: piece.answer_size], piece.text[piece.answer_size :]
            if not answer or not rest:
                yield ids, len(ids) if answer else 0
                continue
            answer_ids = self._joined(answer, mark, is_first=False)
            # A control token keeps the two apart; where there is none, they must not grow together.
            is_apart = ids[: len(answer_ids)] == answer_ids
            yield ids if is_apart else answer_ids + self._joined(rest, mark, is_first=False), len(answer_ids)

    def _render(self, turns: Sequence[Said], mark: str, *, is_prompt: bool, tools: Sequence[Fields] = ()) -> str:
        messages = [
            {"role": turn.role, "content": self._marked(turn.content, mark)} | self._all_marked(turn.extra, mark)
            for turn in turns
        ]
        marked = self._all_marked(list(tools), mark)
        return self._tokenizer.render(messages, add_generation_prompt=is_prompt, tools=marked)

    def _all_marked(self, value: Any, mark: str) -> Any:
        """The value, with all texts in it marked."""
        if isinstance(value, Mapping):
            return {self._marked(name, mark): self._all_marked(one, mark) for name, one in value.items()}
        if isinstance(value, list):
            return [self._all_marked(one, mark) for one in value]
        return self._marked(value, mark) if isinstance(value, str) else value

    def _spelled(self, text: str, *, is_first: bool) -> list[int]:
        """Ids of what somebody wrote: letters only."""
        mark = _unused_character([text])
        return self._joined(self._marked(text, mark), mark, is_first=is_first)

    def _joined(self, text: str, mark: str, *, is_first: bool) -> list[int]:
        """Ids of a text that is encoded apart on both sides of each mark."""
        first, *rest = text.split(mark)
        ids = self._tokenizer.encode(first) if is_first else self._tokenizer.encode_after(first)
        return ids + [token for part in rest for token in self._tokenizer.encode_after(part)]

    def _marked(self, text: str, mark: str) -> str:
        places = [found.start() + 1 for found in self._typed_special.finditer(text)]
        if not places:
            return text
        return mark.join(text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True))

    def _ends_in_control(self, text: str) -> bool:
        return text.endswith(tuple(self._tokenizer.special_texts))


def _extend(encoded: Encoded, tokens: list[int], *, is_scored: bool) -> None:
    encoded.token_ids.extend(tokens)
    encoded.scored.extend([is_scored] * len(tokens))


def _unused_character(texts: Iterable[str]) -> str:
    """A private-use character that occurs in none of the texts."""
    known = tuple(texts)
    return next(mark for mark in map(chr, range(0xF0000, 0xFFFFE)) if not any(mark in text for text in known))
