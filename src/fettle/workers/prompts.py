"""Turns a request's prompt, in whatever form it came, into the tokens that the model saw in training."""

import json
from collections.abc import Sequence
from pathlib import Path

from fettle.data.examples import Example
from fettle.data.messages import Turn
from fettle.data.template import Template
from fettle.data.tool_forms import TAGGED, call_grammar, form_of, in_plain_words
from fettle.errors import InvalidInput, UnsupportedModel
from fettle.models.chat_template import knows_tools
from fettle.models.tokenizer import Tokenizer
from fettle.types.generation import GenerateRequest, Message, SamplingParams, Tool
from fettle.types.resources import PromptFormat
from fettle.types.tokens import TokenizeRequest

FACTS_FILE = "fettle.json"


class Prompts:
    """The prompts of one base model and its adapters."""

    def __init__(self, tokenizer: Tokenizer, base_format: PromptFormat | None) -> None:
        """Prompts for a tokenizer; `base_format` is the form of the rows that the whole weights were tuned on."""
        self._tokenizer, self._template = tokenizer, Template(tokenizer)
        self.vocab_size, self.token_text = tokenizer.vocab_size, tokenizer.token_text
        self._knows_tools = knows_tools(tokenizer.chat_template or "")
        self._tool_form = form_of(tokenizer.chat_template or "") if self._knows_tools else TAGGED
        self._formats: dict[str | None, PromptFormat | None] = {None: base_format}

    @classmethod
    def load(cls, folder: Path) -> "Prompts":
        """The prompts of the model in a folder.

        Raises:
            UnsupportedModel: a file in it cannot be understood.
        """
        return cls(Tokenizer.load(folder), prompt_format(folder))

    def add_adapter(self, name: str, folder: Path) -> None:
        """Learn in which form an adapter's prompts were in training."""
        self._formats[name] = prompt_format(folder)

    def remove_adapter(self, name: str) -> None:
        """Forget an adapter."""
        self._formats.pop(name, None)

    def tokenized(self, request: GenerateRequest, adapter: str | None) -> GenerateRequest:
        """The request with token ids for a prompt.

        Raises:
            InvalidInput: the prompt is empty, has unknown token ids, or the chat template refuses it.
        """
        tokens = self._checked(self._tokens(request, adapter))
        sampling = self._ending(self._calling(request))
        return request.model_copy(update={"token_ids": tokens, "text": None, "messages": None, "sampling": sampling})

    def tokens(self, request: TokenizeRequest, adapter: str | None) -> list[int]:
        """A prompt's tokens, as `tokenized` makes them.

        Raises:
            InvalidInput: the chat template refuses the messages, or there is none.
        """
        if request.is_bare:
            return self._tokenizer.encode(request.text or "")
        asked = GenerateRequest(model=request.model, messages=request.messages, text=request.text, tools=request.tools)
        return self._tokens(asked, adapter)

    def text(self, token_ids: Sequence[int]) -> str:
        """The text of tokens; control tokens are spelled out."""
        return self._tokenizer.decode(token_ids, skip_special_tokens=False)

    def answered(self, request: GenerateRequest, adapter: str | None, answer: str) -> tuple[GenerateRequest, int]:
        """The request with an answer behind its messages, as training had it, and how many tokens the answer has.

        Raises:
            InvalidInput: as for `tokenized`, or there are no messages.
        """
        turns = [Turn(message.role, message.content) for message in request.messages or ()]
        is_row = self._formats.get(adapter) == "prompt" and [turn.role for turn in turns] == ["user"]
        said = Example(0, "prompt" if is_row else "chat", (*turns, Turn("assistant", answer, is_learned=True)))
        encoded = self._template.encode(said)
        tokens = self._checked(encoded.token_ids)
        return request.model_copy(update={"token_ids": tokens, "messages": None}), sum(encoded.scored)

    def _calling(self, request: GenerateRequest) -> SamplingParams:
        """With a grammar for an answer that must call tools, in the form in which the model knows calls."""
        if not request.must_call:
            return request.sampling
        tools = [tool for tool in request.tools if tool.name in request.must_call]
        grammar = call_grammar(self._tool_form, tools, most=None if request.parallel_tool_calls else 1)
        return request.sampling.model_copy(update={"grammar": grammar})

    def _ending(self, sampling: SamplingParams) -> SamplingParams:
        """With what ends an answer in this template: it need not be what the model's files call their last token."""
        if sampling.ignore_eos:
            return sampling
        return sampling.model_copy(update={"stop_token_ids": (*sampling.stop_token_ids, *self._template.end_ids)})

    def _tokens(self, request: GenerateRequest, adapter: str | None) -> list[int]:
        """Who tuned on rows of prompt and completion sends such prompts, and expects such completions."""
        knows_rows = self._formats.get(adapter) == "prompt"
        if request.messages is not None:
            if knows_rows and not request.tools and [message.role for message in request.messages] == ["user"]:
                return self._template.row_prompt(request.messages[0].content)
            return self._conversation(request.messages, request.tools)
        if request.text is not None:
            return self._template.row_prompt(request.text) if knows_rows else self._template.text_prompt(request.text)
        return list(request.token_ids or ())

    def _conversation(self, messages: Sequence[Message], tools: Sequence[Tool]) -> list[int]:
        if not self._knows_tools:
            return self._template.prompt(in_plain_words(messages, tools))
        return self._template.prompt(messages, [{"type": "function", "function": tool.spelled} for tool in tools])

    def _checked(self, tokens: list[int]) -> tuple[int, ...]:
        if not tokens:
            raise InvalidInput("the prompt has no tokens", hint="Write something to continue.", param="prompt")
        if wrong := sorted({token for token in tokens if not 0 <= token < self.vocab_size}):
            raise InvalidInput(
                f"the model has no tokens {', '.join(map(str, wrong[:5]))}; its ids are 0 to {self.vocab_size - 1}",
                param="prompt",
            )
        return tuple(tokens)


def prompt_format(folder: Path) -> PromptFormat | None:
    """The form of the rows that the model in a folder was tuned on; None when it was not tuned by Fettle.

    Raises:
        UnsupportedModel: the file that says so is damaged.
    """
    path = folder / FACTS_FILE
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["prompt_format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnsupportedModel(f"{path} cannot be read: {error}") from error
    if found not in ("chat", "prompt"):
        raise UnsupportedModel(f"{path} names the unknown prompt format {found!r}")
    return "chat" if found == "chat" else "prompt"
