"""What OpenAI's clients send to /v1/responses, and the chat that it means."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, TypeAdapter, model_validator

from fettle.api.openai.shapes import ChatRequest, Ignored, StreamOptions, only, text_of
from fettle.api.openai.structured import NamedSchema
from fettle.api.openai.tools import Arguments, Function, Name
from fettle.errors import InvalidInput
from fettle.types.ids import new_id
from fettle.types.record import Record

LOGPROBS = "message.output_text.logprobs"
MAX_LABELS, MAX_LABEL_NAME, MAX_LABEL = 16, 64, 512
Text = Annotated[str, text_of(input_text="text", output_text="text", text="text", refusal="refusal")]
Fields = dict[str, Any]


class MessageItem(Record):
    """A turn of the conversation."""

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: Text
    # What an answer's items have besides, as clients send them back.
    id: str | None = None
    status: Ignored = None
    phase: Ignored = None


class CallItem(Record):
    """A call in an earlier answer."""

    type: Literal["function_call"]
    call_id: str = Field(min_length=1)
    name: Name
    arguments: Arguments
    id: str | None = None
    status: Ignored = None
    parsed_arguments: Ignored = None


class OutputItem(Record):
    """What a called function gave."""

    type: Literal["function_call_output"]
    call_id: str = Field(min_length=1)
    output: Text
    id: str | None = None
    status: Ignored = None


def _type(item: Any) -> str | None:
    found = item.get("type", "message") if isinstance(item, dict) else getattr(item, "type", None)
    return found if isinstance(found, str) else None


Item = Annotated[
    Annotated[MessageItem, Tag("message")]
    | Annotated[CallItem, Tag("function_call")]
    | Annotated[OutputItem, Tag("function_call_output")],
    Discriminator(
        _type,
        custom_error_type="unknown_item",
        custom_error_message="an item is an object of type 'message', 'function_call' or 'function_call_output'",
    ),
]


_items_of = TypeAdapter(tuple[Item, ...])


def read_items(told: Iterable[Fields]) -> tuple[Item, ...]:
    """Items of an earlier answer, as they were told."""
    return _items_of.validate_python(tuple(told))


def told_item(item: Item) -> Fields:
    """An item as clients are told of it."""
    about = {"type": item.type, "status": "completed"}
    if isinstance(item, CallItem):
        call = {"call_id": item.call_id, "name": item.name, "arguments": item.arguments}
        return {"id": item.id or new_id("fc"), **about, **call}
    if isinstance(item, OutputItem):
        return {"id": item.id or new_id("fco"), **about, "call_id": item.call_id, "output": item.output}
    said = {"type": "output_text", "annotations": []} if item.role == "assistant" else {"type": "input_text"}
    return {"id": item.id or new_id("msg"), **about, "role": item.role, "content": [{**said, "text": item.content}]}


def _items(value: Any) -> Any:
    """The items; a text is what a user says."""
    if isinstance(value, str):
        return ({"type": "message", "role": "user", "content": value},)
    if isinstance(value, list) and value:
        return tuple(value)
    raise ValueError("it should be a text, or a list of one item or more")


class TextFormat(Record):
    """What kind of text the answer is; a schema is always enforced, `strict` or not."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str | None = Field(default=None, min_length=1)
    content: Fields | None = Field(default=None, alias="schema")
    description: str | None = None
    strict: bool | None = None

    @model_validator(mode="after")
    def _only_schemas_have_one(self) -> "TextFormat":
        if (self.content is not None and self.name is not None) != (self.type == "json_schema"):
            raise ValueError("'name' and 'schema' belong to the type 'json_schema', and are needed there")
        return self

    @property
    def response_format(self) -> Fields:
        """As chats have it."""
        if self.type != "json_schema":
            return {"type": self.type}
        about = self.model_dump(by_alias=True, exclude={"type"}, exclude_none=True)
        return {"type": self.type, "json_schema": NamedSchema(**about).model_dump(by_alias=True)}


class TextConfig(Record):
    """The field `text`."""

    format: TextFormat | None = None
    verbosity: Annotated[str | None, only("medium")] = None


class FunctionTool(Function):
    """A function that may be called."""

    type: Literal["function"]
    # What clients say today of functions that are called as usual.
    allowed_callers: Annotated[Any, only(["direct"])] = None
    defer_loading: Annotated[Any, only(False)] = None


class NamedFunctionTool(Record):
    """The function that must be called."""

    type: Literal["function"]
    name: Name


class Reasoning(Record):
    """The field `reasoning`."""

    effort: Annotated[str | None, only("none")] = None
    summary: Annotated[str | None, only()] = None
    generate_summary: Annotated[str | None, only()] = None


LabelName = Annotated[str, Field(max_length=MAX_LABEL_NAME)]
Labels = Annotated[dict[LabelName, Annotated[str, Field(max_length=MAX_LABEL)]], Field(max_length=MAX_LABELS)]


class ResponseRequest(Record):
    """The body of POST /v1/responses."""

    model: str = Field(min_length=1, max_length=512)
    input: Annotated[tuple[Item, ...], BeforeValidator(_items)]
    instructions: str | None = None
    previous_response_id: str | None = Field(default=None, min_length=1)
    store: bool | None = None
    metadata: Labels | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_output_tokens: int | None = Field(default=None, ge=1)
    text: TextConfig | None = None
    tools: tuple[FunctionTool, ...] | None = Field(default=None, max_length=128)
    tool_choice: Literal["none", "auto", "required"] | NamedFunctionTool | None = None
    parallel_tool_calls: bool | None = None
    include: tuple[Literal["message.output_text.logprobs"], ...] | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    reasoning: Reasoning | None = None
    truncation: Annotated[str | None, only("disabled")] = None
    background: Annotated[bool | None, only(False)] = None
    access_programs: Annotated[Any, only()] = None
    context_management: Annotated[Any, only([])] = None
    conversation: Annotated[Any, only()] = None
    image: Annotated[Any, only()] = None
    max_tool_calls: Annotated[Any, only()] = None
    moderation: Annotated[Any, only()] = None
    prompt: Annotated[Any, only()] = None
    # Harmless: nothing is answered differently.
    user: Ignored = None
    service_tier: Ignored = None
    safety_identifier: Ignored = None
    prompt_cache_key: Ignored = None
    prompt_cache_options: Ignored = None
    prompt_cache_retention: Ignored = None

    @property
    def is_stored(self) -> bool:
        """Whether the answer is kept, as it is unless that is not wanted."""
        return self.store is not False

    @property
    def format(self) -> TextFormat:
        """What kind of text the answer is."""
        return (self.text and self.text.format) or TextFormat()

    @property
    def wants_logprobs(self) -> bool:
        """Whether the tokens' log-probabilities are told."""
        return LOGPROBS in (self.include or ())

    @model_validator(mode="after")
    def _can_be_done(self) -> "ResponseRequest":
        faults = []
        if self.stream_options is not None and not self.stream:
            faults.append("'stream_options' is given but 'stream' is not true")
        if self.top_logprobs is not None and not self.wants_logprobs:
            faults.append(f"'top_logprobs' is given but 'include' does not name '{LOGPROBS}'")
        if self.format.type != "text" and self.tool_choice not in (None, "none", "auto"):
            faults.append("'tool_choice' demands a call, so 'text.format' has nothing to say; leave out one")
        if faults:
            raise ValueError("\n".join(faults))
        return self

    def chat(self, earlier: Iterable[Item]) -> ChatRequest:
        """The same as a chat, behind the `earlier` items of its conversation.

        Raises:
            InvalidInput: tools or calls do not fit together.
        """
        items = (*earlier, *self.input)
        _check_calls(items)
        told = [{"role": "system", "content": self.instructions}] if self.instructions else []
        fields = {
            "model": self.model,
            "messages": (*told, *_messages(items)),
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_completion_tokens": self.max_output_tokens,
            "response_format": self.format.response_format,
            "tools": tuple(_tool(tool) for tool in self.tools or ()) or None,
            "tool_choice": _choice(self.tool_choice),
            "parallel_tool_calls": self.parallel_tool_calls,
            "logprobs": self.wants_logprobs or None,
            "top_logprobs": self.top_logprobs,
        }
        return ChatRequest.checked({name: value for name, value in fields.items() if value is not None})


def _messages(items: Iterable[Item]) -> Iterator[Fields]:
    """The turns of a chat: calls belong to what the assistant says before them."""
    turn: Fields | None = None
    for item in items:
        if isinstance(item, CallItem):
            turn = turn or {"role": "assistant"}
            function = {"name": item.name, "arguments": item.arguments}
            turn["tool_calls"] = (*turn.get("tool_calls", ()), {"id": item.call_id, "function": function})
            continue
        if turn:
            yield turn
        turn = _turn(item)
        if turn["role"] != "assistant":
            yield turn
            turn = None
    if turn:
        yield turn


def _turn(item: MessageItem | OutputItem) -> Fields:
    if isinstance(item, OutputItem):
        return {"role": "tool", "tool_call_id": item.call_id, "content": item.output}
    return {"role": item.role, "content": item.content}


def _check_calls(items: Iterable[Item]) -> None:
    called: set[str] = set()
    faults = []
    for item in items:
        if isinstance(item, CallItem):
            called.add(item.call_id)
        elif isinstance(item, OutputItem) and item.call_id not in called:
            faults.append(f"there is an output for the call {item.call_id!r}, but no such call before it")
    if faults:
        raise InvalidInput("\n".join(faults), hint="Send the call as well, or 'previous_response_id'.", param="input")


def _tool(tool: FunctionTool) -> Fields:
    return {"type": "function", "function": tool.model_dump(include=set(Function.model_fields), exclude_none=True)}


def _choice(asked: str | NamedFunctionTool | None) -> Any:
    return {"type": "function", "function": {"name": asked.name}} if isinstance(asked, NamedFunctionTool) else asked
