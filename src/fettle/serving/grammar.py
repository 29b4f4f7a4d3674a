"""Which tokens may come next, so that an answer is what its grammar says; the work is done by `llguidance`."""

import json
import re
from collections.abc import Callable, Collection
from functools import cached_property, lru_cache

import torch
from llguidance import LLMatcher, LLParserLimits, LLTokenizer, grammar_from
from torch import Tensor

from fettle.errors import FettleError, InvalidInput, UnsupportedModel
from fettle.types.generation import Grammar

#: What a kind of grammar is called, and the field of a request that it came in.
NAMES = {
    "json": ("JSON schema", "response_format"),
    "regex": ("regular expression", "structured_outputs"),
    "choice": ("list of choices", "structured_outputs"),
    "grammar": ("grammar", "structured_outputs"),
    "lark": ("grammar of tool calls", "tools"),
}
#: One space, or a new line with its indentation: a model that likes blanks cannot go on with them for ever.
WHITESPACE = r"(\n[ \t]{0,40}| )?"
_MAX_COMPILED = 64
#: The library follows references by recursion and ends the process where its stack ends, some thousand deep.
MAX_REFERENCES, MAX_LINES, MAX_CHARACTERS = 500, 500, 16_000


class GrammarState:
    """How far one answer has come in its grammar."""

    def __init__(self, matcher: LLMatcher, end_ids: Collection[int], all_end_ids: Collection[int]) -> None:
        """The beginning.

        Args:
            matcher: of this answer alone.
            end_ids: tokens that end this answer; they are allowed when it may end.
            all_end_ids: tokens that end answers; they are part of no text.
        """
        self._matcher = matcher
        self._end_ids, self._all_end_ids = sorted(end_ids), sorted({*end_ids, *all_end_ids})

    @property
    def is_done(self) -> bool:
        """Whether nothing can be added to the answer any more."""
        return self._matcher.is_stopped() and not self._matcher.is_error()

    @property
    def error(self) -> str:
        """Why the grammar cannot be followed any further: mostly as it is too large; "" as long as it can."""
        return self._matcher.get_error().partition("\n")[0]

    def add(self, token: int) -> None:
        """Go on by a token.

        Raises:
            FettleError: the grammar cannot be followed any further.
        """
        if not self._matcher.consume_token(token):
            raise FettleError(f"the answer's grammar cannot be followed any further: {self.error}")

    def forbidden(self, size: int) -> Tensor:
        """Which of `size` tokens may not come next, as booleans; all of them if the grammar cannot be followed."""
        mask = bytearray(self._matcher.compute_logit_bias())
        if self._matcher.is_error():
            return torch.ones(size, dtype=torch.bool)
        allowed = torch.zeros(size, dtype=torch.bool)
        known = torch.frombuffer(mask, dtype=torch.uint8)[:size]
        allowed[: len(known)] = known > 0
        allowed[self._all_end_ids] = False
        if self._matcher.is_accepting():
            # Where nothing is left but to end, it ends, though the request wants end tokens to be ignored.
            allowed[self._end_ids if self._end_ids and allowed.any() else self._all_end_ids] = True
        return ~allowed


class Grammars:
    """The grammars that one tokenizer's answers follow; each is compiled once, and the last ones are kept."""

    def __init__(self, tokenizer_json: Callable[[], str], vocab_size: int, end_ids: Collection[int]) -> None:
        """Grammars for a tokenizer.

        Args:
            tokenizer_json: gives tokenizer.json; called when the first grammar is needed.
            vocab_size: ids that the tokenizer knows.
            end_ids: tokens that end a text.
        """
        self._tokenizer_json, self._vocab_size, self._end_ids = tokenizer_json, vocab_size, sorted(end_ids)
        self._compiled = lru_cache(maxsize=_MAX_COMPILED)(self._compile)

    def begin(self, grammar: Grammar, end_ids: Collection[int]) -> GrammarState:
        """A new answer's state; `end_ids` are the tokens that end it.

        Raises:
            InvalidInput: the grammar has a fault, or needs what is not supported.
            UnsupportedModel: no grammar can be followed with this tokenizer.
        """
        return GrammarState(self._compiled(grammar).deep_copy(), end_ids, self._tokenizer.eos_tokens)

    @cached_property
    def _tokenizer(self) -> LLTokenizer:
        try:
            return LLTokenizer(self._tokenizer_json(), n_vocab=self._vocab_size, eos_token=self._end_ids or None)
        except Exception as error:  # the library does not say which
            raise UnsupportedModel(
                f"answers of this model can follow no grammar, as its tokenizer cannot be read: {error}",
                hint="Ask without response_format, structured_outputs and required tools.",
            ) from error

    def _compile(self, grammar: Grammar) -> LLMatcher:
        _check_size(grammar)
        limits = LLParserLimits(verbose_errors=False)
        try:
            matcher = LLMatcher(self._tokenizer, _source(grammar), log_level=0, limits=limits)
        except ValueError as error:
            raise _fault(grammar, str(error)) from error
        if matcher.is_error():
            raise _fault(grammar, matcher.get_error())
        return matcher


def _check_size(grammar: Grammar) -> None:
    """Refuse what is too long a way from rule to rule; of a tool's schema each has a line of its own."""
    lines = grammar.text.splitlines()
    counts = {"references": max((line.count('"$ref"') for line in lines), default=0)}
    most = {"references": MAX_REFERENCES, "lines": MAX_LINES, "characters": MAX_CHARACTERS}
    if grammar.kind == "grammar":
        counts |= {"lines": len(lines), "characters": len(grammar.text)}
    if large := [f"{count} {what}; the limit is {most[what]}" for what, count in counts.items() if count > most[what]]:
        raise _fault(grammar, f"it is too large: {', '.join(large)}")


def _source(grammar: Grammar) -> str:
    """The grammar in the library's own notation."""
    if grammar.kind == "json":
        return LLMatcher.grammar_from_json_schema(grammar.text, {"whitespace_pattern": WHITESPACE})
    return grammar_from(grammar.kind, grammar.text)


def _fault(grammar: Grammar, told: str) -> InvalidInput:
    told = told.replace("\n<non-verbose/>", "").strip()
    name, param = NAMES[grammar.kind]
    if found := re.search(r"Unimplemented keys: (\[.*?\])", told):
        words = ", ".join(map(repr, json.loads(found[1])))
        message = f"the JSON schema uses {words}, which cannot be enforced"
        return InvalidInput(message, hint="Leave it out, and check it in the answer.", param=param)
    return InvalidInput(f"the {name} cannot be followed: {told}", param=param)
