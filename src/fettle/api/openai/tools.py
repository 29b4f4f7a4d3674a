"""Tools in chats: which ones an answer may or must call, and its calls as clients receive them."""

import json
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import AfterValidator, Field, model_validator

from fettle.api.openai.answers import Choice
from fettle.data.forced_calls import CallPart, ForcedCalls
from fettle.data.tool_calls import CallFinder
from fettle.types.generation import GenerateChunk, Tool, ToolCall
from fettle.types.record import Record

Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]


def _is_object(value: str) -> str:
    try:
        found = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError("the arguments of a call are a JSON object")
    return value


Arguments = Annotated[str, AfterValidator(_is_object)]


class Function(Record):
    """A function that may be called."""

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ChatTool(Record):
    """A tool, as clients write it."""

    type: Literal["function"]
    function: Function

    @property
    def tool(self) -> Tool:
        """The tool as the engine knows it."""
        asked = self.function
        fields = {"name": asked.name, "description": asked.description or ""}
        return Tool(**fields) if asked.parameters is None else Tool(**fields, parameters=json.dumps(asked.parameters))


class NamedFunction(Record):
    """A function by its name."""

    name: Name


class NamedTool(Record):
    """The tool that must be called."""

    type: Literal["function"]
    function: NamedFunction


class CalledFunction(Record):
    """What an earlier answer called."""

    name: Name
    arguments: Arguments
    # The client adds it for its user, and sends it back.
    parsed_arguments: Any = None


class ChatToolCall(Record):
    """A call in an earlier answer, as clients send it back."""

    id: str = Field(min_length=1)
    type: Literal["function"] = "function"
    function: CalledFunction
    index: int | None = None

    @property
    def call(self) -> ToolCall:
        """The call as the engine knows it."""
        return ToolCall(id=self.id, name=self.function.name, arguments=self.function.arguments)


class ToolUse(Record):
    """The fields of a chat for tools."""

    tools: tuple[ChatTool, ...] | None = Field(default=None, max_length=128)
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None

    @property
    def callable_tools(self) -> tuple[Tool, ...]:
        """What the answer may call."""
        return () if self.tool_choice == "none" else tuple(tool.tool for tool in self.tools or ())

    @property
    def must_call(self) -> tuple[str, ...]:
        """What the answer must call, any of it; nothing if it need not."""
        if isinstance(self.tool_choice, NamedTool):
            return (self.tool_choice.function.name,)
        return tuple(tool.name for tool in self.callable_tools) if self.tool_choice == "required" else ()

    @property
    def reason_of_calls(self) -> str:
        """Why an answer ends that has called something; who names a tool is told that it just ended, as OpenAI does."""
        return "stop" if isinstance(self.tool_choice, NamedTool) else "tool_calls"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        names = [tool.function.name for tool in self.tools or ()]
        twice = sorted({name for name in names if names.count(name) > 1})
        faults = [f"'tools' has {name!r} more than once" for name in twice]
        if self.tool_choice not in (None, "none", "auto") and not names:
            faults.append("'tool_choice' demands a call, but 'tools' is empty")
        elif isinstance(self.tool_choice, NamedTool) and self.tool_choice.function.name not in names:
            faults.append(f"'tool_choice' names {self.tool_choice.function.name!r}; the tools are {', '.join(names)}")
        if faults:
            raise ValueError("\n".join(faults))
        return self


class Said(NamedTuple):
    """What a chunk or a whole choice says, its calls apart from its text.

    Attributes:
        text: that is part of no call.
        calls: that are complete with it.
        first_call: number of the first of them in the answer.
        finish_reason: why the answer ends here; None where it goes on.
        parts: of calls that are told piece by piece, instead of `calls`.
    """

    text: str
    calls: list[ToolCall]
    first_call: int
    finish_reason: str | None
    parts: Sequence[CallPart] = ()


class CallReader:
    """Takes the calls out of one choice's chunks."""

    def __init__(self, asked: ToolUse) -> None:
        """Nothing said yet."""
        names = [tool.name for tool in asked.callable_tools]
        most = 1 if asked.parallel_tool_calls is False else None
        self._finder = CallFinder(names, most=most) if names else None
        self._reason = asked.reason_of_calls

    def read(self, chunk: GenerateChunk | Choice) -> Said:
        """What the chunk, or the whole choice, says; a call is told when it is complete."""
        if self._finder is None:
            return Said(chunk.text, [], 0, chunk.finish_reason)
        first, (text, calls) = self._finder.num_found, self._finder.add(chunk.text)
        if chunk.finish_reason:
            more, late = self._finder.rest()
            text, calls = text + more, [*calls, *late]
        has_ended = chunk.finish_reason == "stop" and self._finder.num_found > 0
        return Said(text, calls, first, self._reason if has_ended else chunk.finish_reason)


class ForcedReader:
    """Takes the calls out of one choice that says nothing else: their arguments are told as they come."""

    def __init__(self, asked: ToolUse) -> None:
        """Nothing said yet."""
        self._calls, self._reason = ForcedCalls(asked.must_call), asked.reason_of_calls

    def read(self, chunk: GenerateChunk) -> Said:
        """What the chunk says."""
        parts, reason = self._calls.add(chunk.text), chunk.finish_reason
        text = self._calls.rest() if reason else ""
        has_ended = reason == "stop" and self._calls.num_found > 0
        return Said(text, [], 0, self._reason if has_ended else reason, parts)


def stream_reader(asked: ToolUse) -> CallReader | ForcedReader:
    """What reads a choice as it streams: calls that the answer must be are certain from their first letter."""
    return ForcedReader(asked) if asked.must_call else CallReader(asked)


def call_deltas(said: Said) -> list[dict[str, Any]]:
    """The calls as a stream tells them, with their numbers: whole, or piece by piece."""
    whole = [{"index": said.first_call + place, **_told(call)} for place, call in enumerate(said.calls)]
    return whole + [_told_part(part) for part in said.parts]


def told_calls(calls: Iterable[ToolCall]) -> list[dict[str, Any]]:
    """The calls as a whole answer has them."""
    return [_told(call) for call in calls]


def _told_part(part: CallPart) -> dict[str, Any]:
    if part.id:
        return {"index": part.number, **_told(ToolCall(id=part.id, name=part.name, arguments=part.arguments))}
    return {"index": part.number, "function": {"arguments": part.arguments}}


def _told(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
