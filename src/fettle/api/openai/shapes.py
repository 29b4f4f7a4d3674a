"""What OpenAI's clients send: every documented field, checked; what cannot be honoured is refused by name."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from fettle.api.openai.structured import Structured
from fettle.api.openai.tools import ChatToolCall, ToolUse
from fettle.errors import InvalidInput
from fettle.types.generation import GenerateRequest, Message, SamplingParams
from fettle.types.record import Record, field_of, told

MAX_CHOICES = 128
MAX_PROMPTS = 256
RecordT = TypeVar("RecordT", bound=Record)


def only(*allowed: Any) -> AfterValidator:
    """Refuses, by name, whatever is not in `allowed`; a field that is left out or null passes."""

    def check(value: Any) -> Any:
        if value is None or value in allowed:
            return value
        other = f" other than {' or '.join(repr(one) for one in allowed)}" if allowed else ""
        raise ValueError(f"this field{other} is not supported by this server; leave it out")

    return AfterValidator(check)


def _one_or_many(value: Any) -> Any:
    # A tuple, as the strict check that comes next takes no list for one.
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def text_of(**fields: str) -> BeforeValidator:
    """Makes one text of a content that may come as a list of parts; `fields` says where each type has its text."""

    def joined(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return "".join(_part(part, place, fields) for place, part in enumerate(value))

    return BeforeValidator(joined)


def _part(part: Any, place: int, fields: Mapping[str, str]) -> str:
    kind = part.get("type") if isinstance(part, dict) else type(part).__name__
    field = fields.get(str(kind), "")
    if not isinstance(part, dict) or not isinstance(part.get(field), str):
        first, field = next(iter(fields.items()))
        raise ValueError(
            f"part {place} is of type {kind!r}: only text parts {{'type': '{first}', '{field}': '...'}} are supported"
        )
    return str(part[field])


Ignored = Any
StopText = Annotated[str, Field(min_length=1)]
Stop = Annotated[Annotated[tuple[StopText, ...], Field(max_length=16)] | None, BeforeValidator(_one_or_many)]
Text = Annotated[str, text_of(text="text", refusal="refusal")]


class StreamOptions(Record):
    """What a stream also tells."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ChatMessage(Record):
    """One turn, as clients write it."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | None = None
    name: str | None = None
    refusal: str | None = None
    tool_call_id: str | None = None
    tool_calls: tuple[ChatToolCall, ...] | None = None
    function_call: Annotated[Any, only()] = None
    audio: Annotated[Any, only()] = None
    annotations: Ignored = None
    parsed: Ignored = None

    @property
    def message(self) -> Message:
        """The turn as the engine knows it."""
        return Message(
            role="system" if self.role == "developer" else self.role,
            content=self.content or "",
            tool_calls=tuple(call.call for call in self.tool_calls or ()),
            tool_call_id=self.tool_call_id or "",
            name=self.name or "",
        )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.tool_calls and self.role != "assistant":
            raise ValueError(f"'tool_calls' is given by {self.role!r}; only the assistant calls tools")
        if self.content is None and not self.tool_calls:
            raise ValueError("'content' is missing; only an assistant's turn with 'tool_calls' may be without")
        return self


class Generation(Structured):
    """The fields that chat and completions share; None means not given."""

    model: str = Field(min_length=1, max_length=512)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    n: int | None = Field(default=None, ge=1, le=MAX_CHOICES)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: Stop = None
    max_tokens: int | None = Field(default=None, ge=0)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    logit_bias: dict[int, Annotated[float, Field(ge=-100, le=100)]] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    # Not OpenAI's; what clients of other servers send in `extra_body`.
    top_k: int | None = Field(default=None, ge=-1)
    min_p: float | None = Field(default=None, ge=0, le=1)
    repetition_penalty: float | None = Field(default=None, gt=0, le=10)
    min_tokens: int | None = Field(default=None, ge=0)
    ignore_eos: bool | None = None
    stop_token_ids: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    # Harmless: nothing is answered differently.
    user: Ignored = None
    metadata: Ignored = None
    store: Ignored = None
    service_tier: Ignored = None
    safety_identifier: Ignored = None
    prompt_cache_key: Ignored = None
    prompt_cache_options: Ignored = None
    prompt_cache_retention: Ignored = None

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with the number of tokens."""
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def num_choices(self) -> int:
        """How many answers each prompt gets."""
        return self.n or 1

    def sampling(self, **other: Any) -> SamplingParams:
        """How tokens are chosen; `other` are the fields that the two routes name differently."""
        shared = {name: getattr(self, name) for name in SamplingParams.model_fields if name in Generation.model_fields}
        if self.top_k == -1:
            shared["top_k"] = 0
        shared["grammar"] = self.grammar
        given = {name: value for name, value in (shared | other).items() if value is not None}
        return SamplingParams.checked(given)

    @model_validator(mode="after")
    def _stream_options_need_a_stream(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise ValueError("'stream_options' is given but 'stream' is not true")
        return self


class ChatRequest(Generation, ToolUse):
    """The body of POST /v1/chat/completions."""

    messages: tuple[ChatMessage, ...] = Field(min_length=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    max_tokens: int | None = Field(default=None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    prediction: Ignored = None
    functions: Annotated[Any, only([])] = None
    function_call: Annotated[Any, only("none", "auto")] = None
    modalities: Annotated[Any, only(["text"])] = None
    audio: Annotated[Any, only()] = None
    moderation: Annotated[Any, only()] = None
    web_search_options: Annotated[Any, only()] = None
    reasoning_effort: Annotated[Any, only("none")] = None
    verbosity: Annotated[Any, only("medium")] = None

    @model_validator(mode="after")
    def _alternatives_need_logprobs(self) -> Self:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("'top_logprobs' is given but 'logprobs' is not true")
        return self

    @model_validator(mode="after")
    def _calls_are_not_held_to_a_format(self) -> Self:
        if self.must_call and self.grammars:
            raise ValueError(
                f"'tool_choice' demands a call, so '{next(iter(self.grammars))}' has nothing to say; leave out one"
            )
        return self

    def generate_request(self) -> GenerateRequest:
        """The same request as the engine knows it."""
        max_tokens = self.max_completion_tokens or self.max_tokens
        logprobs = (self.top_logprobs or 0) if self.logprobs else None
        return GenerateRequest(
            model=self.model,
            messages=tuple(message.message for message in self.messages),
            sampling=self.sampling(max_tokens=max_tokens, logprobs=logprobs),
            num_choices=self.num_choices,
            tools=self.callable_tools,
            must_call=self.must_call,
            parallel_tool_calls=self.parallel_tool_calls is not False,
        )


def _prompts(value: Any) -> Any:
    """The prompts as a list, each a text or a list of token ids."""
    if isinstance(value, str) or (isinstance(value, list) and value and isinstance(value[0], int)):
        value = [value]
    if not isinstance(value, list) or not all(_is_prompt(prompt) for prompt in value):
        raise ValueError("a prompt is a text, a list of texts, a list of token ids, or a list of such lists")
    if not 1 <= len(value) <= MAX_PROMPTS:
        raise ValueError(f"{len(value)} prompts; 1 to {MAX_PROMPTS} are possible in one request")
    return value


def _is_prompt(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and bool(value) and all(type(token) is int and token >= 0 for token in value)
    )


class CompletionRequest(Generation):
    """The body of POST /v1/completions."""

    DEFAULT_MAX_TOKENS: ClassVar[int] = 16

    prompt: Annotated[list[Any], BeforeValidator(_prompts)]
    best_of: int | None = Field(default=None, ge=1, le=MAX_CHOICES)
    echo: bool | None = None
    logprobs: int | None = Field(default=None, ge=0, le=20)
    suffix: Annotated[str | None, only("")] = None

    @model_validator(mode="after")
    def _can_be_done(self) -> Self:
        if self.best_of is not None and self.best_of != self.num_choices:
            raise ValueError(f"'best_of' is {self.best_of} and 'n' {self.num_choices}: only equal ones are supported")
        if self.max_tokens == 0 and not self.echo:
            raise ValueError("'max_tokens' is 0: it should be 1 or more, or 'echo' true")
        if len(self.prompt) * self.num_choices > MAX_PROMPTS:
            raise ValueError(f"{len(self.prompt)} prompts times n={self.num_choices}: more than {MAX_PROMPTS} answers")
        return self

    @property
    def only_scores(self) -> bool:
        """Whether the prompt itself is all that is asked for."""
        return self.max_tokens == 0

    def generate_requests(self) -> list[GenerateRequest]:
        """One request for the engine for each prompt."""
        # An engine makes at least one token; when none is wanted, it is left out of the answer.
        max_tokens = self.DEFAULT_MAX_TOKENS if self.max_tokens is None else max(1, self.max_tokens)
        sampling = self.sampling(max_tokens=max_tokens, logprobs=self.logprobs)
        return [self._request(prompt, sampling) for prompt in self.prompt]

    def _request(self, prompt: str | list[int], sampling: SamplingParams) -> GenerateRequest:
        is_text = isinstance(prompt, str)
        # The text of a prompt that was given as token ids comes with its log-probabilities.
        needs_prompt = bool(self.echo) and (self.logprobs is not None or not is_text)
        return GenerateRequest(
            model=self.model,
            text=prompt if is_text else None,
            token_ids=None if is_text else tuple(prompt),
            sampling=sampling.model_copy(update={"prompt_logprobs": needs_prompt}),
            num_choices=self.num_choices,
        )


def parsed(kind: type[RecordT], body: bytes) -> RecordT:
    """The checked request in a body of JSON; numbers are numbers, not texts.

    Raises:
        InvalidInput: with every fault.
    """
    try:
        return kind.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise InvalidInput(told(error), param=field_of(error)) from error


def schema(kind: type[Record]) -> dict[str, Any]:
    """How the OpenAPI document describes a route's body."""
    content = kind.model_json_schema(ref_template="#/components/schemas/{model}")
    definitions = content.pop("$defs", {})
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": _inlined(content, definitions)}}}
    }


def _inlined(part: Any, definitions: dict[str, Any]) -> Any:
    """The schema with its references replaced by what they refer to."""
    if isinstance(part, list):
        return [_inlined(one, definitions) for one in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _inlined(definitions[part["$ref"].rpartition("/")[2]], definitions)
    return {name: _inlined(one, definitions) for name, one in part.items()}
