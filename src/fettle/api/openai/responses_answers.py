"""What OpenAI's clients receive from /v1/responses: an answer that grows by events, told as a stream or as a whole."""

import time
from collections.abc import Iterator
from typing import Any

from fettle.api.errors import error_body
from fettle.api.openai.answers import Usage, chat_logprobs
from fettle.api.openai.responses_shapes import FunctionTool, ResponseRequest, told_item
from fettle.api.openai.tools import CallReader, ForcedReader
from fettle.api.streaming import encode
from fettle.errors import FettleError, TooManyRequests
from fettle.types.generation import GenerateChunk, SamplingParams
from fettle.types.ids import new_id, now
from fettle.types.responses import StoredResponse

Fields = dict[str, Any]
Events = Iterator[Fields]


class ResponseAnswer:
    """The answer to one request as its chunks come; each step gives the events that tell it.

    Attributes:
        id: of the response.
        output: its items so far, as the client is told of them.
        status: in_progress, completed, incomplete or failed.
    """

    def __init__(self, asked: ResponseRequest, reader: CallReader | ForcedReader, sampling: SamplingParams) -> None:
        """An answer of which nothing is said; `reader` takes its calls out of its text."""
        self.id, self.output, self.status = new_id("resp"), list[Fields](), "in_progress"
        self._asked, self._reader, self._usage = asked, reader, Usage()
        self._shared = _told_settings(asked, sampling)
        self._created_at = int(time.time())
        self._completed_at: int | None = None
        self._error: Fields | None = None
        #: The message that is being written; None when none is.
        self._open: Fields | None = None
        #: The call whose arguments are being written; None when none is.
        self._call: Fields | None = None
        #: Of tokens whose text is still held back: they are told with it, or dropped with the call they made.
        self._logprobs: list[Fields] = []

    @property
    def is_kept(self) -> bool:
        """Whether the client wants it to be kept."""
        return self._asked.is_stored

    def begun(self) -> Events:
        """Say that there is an answer to come."""
        yield {"type": "response.created", "response": self.told()}
        yield {"type": "response.in_progress", "response": self.told()}

    def add(self, chunk: GenerateChunk) -> Events:
        """Take in the next chunk."""
        self._usage.see(0, chunk)
        said = self._reader.read(chunk)
        self._logprobs += chat_logprobs(chunk.logprobs)["content"] if self._asked.wants_logprobs else []
        if said.text:
            yield from self._say(said.text)
        for call in said.calls:
            yield from self._begin_call(call.id, call.name)
            yield from self._say_arguments(call.arguments)
            yield from self._end_call("completed")
        for part in said.parts:
            if part.id:
                yield from self._begin_call(part.id, part.name)
            if part.arguments:
                yield from self._say_arguments(part.arguments)
        if chunk.finish_reason:
            yield from self._end("incomplete" if chunk.finish_reason == "length" else "completed")

    def ended(self) -> Events:
        """Say that it is whole, or why it is not; the last event."""
        yield {"type": f"response.{self.status}", "response": self.told()}

    def failed(self, error: FettleError) -> Events:
        """Say what went wrong; the last event."""
        self.status = "failed"
        code = "rate_limit_exceeded" if isinstance(error, TooManyRequests) else "server_error"
        self._error = {"code": code, "message": error_body(error)["error"]["message"]}
        yield from self.ended()

    def stored(self) -> StoredResponse:
        """The response as it is kept."""
        return StoredResponse(
            id=self.id,
            previous=self._asked.previous_response_id,
            input_items=tuple(map(told_item, self._asked.input)),
            answer=self.told(),
            created_at=now(),
        )

    def told(self) -> Fields:
        """The response as it is now."""
        is_cut = self.status == "incomplete"
        return {
            "id": self.id,
            "object": "response",
            "created_at": self._created_at,
            "completed_at": self._completed_at,
            "status": self.status,
            "error": self._error,
            "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
            "output": list(self.output),
            "usage": None if self.status == "in_progress" else told_usage(self._usage),
            **self._shared,
        }

    def _say(self, text: str) -> Events:
        if self._open is None:
            yield from self._begin_message()
        assert self._open, "it has just begun"
        (part,) = self._open["content"]
        part["text"] += text
        logprobs, self._logprobs = self._logprobs, []
        part["logprobs"] += logprobs
        yield {"type": "response.output_text.delta", **self._place(), "delta": text, "logprobs": logprobs}

    def _begin_message(self) -> Events:
        item: Fields = {"id": new_id("msg"), "type": "message", "role": "assistant", "status": "in_progress"}
        self.output.append({**item, "content": []})
        yield self._item_event("added")
        part: Fields = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        self._open = self.output[-1] = {**item, "content": [part]}
        yield {"type": "response.content_part.added", **self._place(), "part": dict(part)}

    def _end_message(self, status: str) -> Events:
        if self._open is None:
            return
        self._open["status"] = status
        (part,) = self._open["content"]
        told = {"text": part["text"], "logprobs": part["logprobs"]}
        yield {"type": "response.output_text.done", **self._place(), **told}
        yield {"type": "response.content_part.done", **self._place(), "part": part}
        yield self._item_event("done")
        self._open = None

    def _begin_call(self, call_id: str, name: str) -> Events:
        self._logprobs.clear()
        yield from self._end_message("completed")
        yield from self._end_call("completed")
        item: Fields = {"id": new_id("fc"), "type": "function_call", "call_id": call_id, "name": name}
        self._call = {**item, "arguments": "", "status": "in_progress"}
        self.output.append(self._call)
        yield self._item_event("added")

    def _say_arguments(self, text: str) -> Events:
        assert self._call, "it has begun"
        self._call["arguments"] += text
        yield {"type": "response.function_call_arguments.delta", **self._item_place(), "delta": text}

    def _end_call(self, status: str) -> Events:
        if self._call is None:
            return
        told = {"name": self._call["name"], "arguments": self._call["arguments"]}
        yield {"type": "response.function_call_arguments.done", **self._item_place(), **told}
        self._call["status"] = status
        yield self._item_event("done")
        self._call = None

    def _end(self, status: str) -> Events:
        if not self.output:
            # An answer that ends at once still has a message, as a chat's has.
            yield from self._begin_message()
        if self._open and self._logprobs:
            yield from self._say("")
        yield from self._end_message(status)
        yield from self._end_call(status)
        self.status = status
        self._completed_at = int(time.time()) if status == "completed" else None

    def _item_event(self, what: str) -> Fields:
        return {
            "type": f"response.output_item.{what}",
            "output_index": len(self.output) - 1,
            "item": dict(self.output[-1]),
        }

    def _item_place(self) -> Fields:
        return {"item_id": self.output[-1]["id"], "output_index": len(self.output) - 1}

    def _place(self) -> Fields:
        return {**self._item_place(), "content_index": 0}


class EventWriter:
    """Writes events as bytes, numbered from 0."""

    def __init__(self) -> None:
        """Nothing written yet."""
        self._number = 0

    def written(self, events: Events) -> bytes:
        """The events one after the other, each under its name."""
        return b"".join(map(self._one, events))

    def _one(self, event: Fields) -> bytes:
        body = encode({**event, "sequence_number": self._number})
        self._number += 1
        return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), body)


def told_usage(usage: Usage) -> Fields:
    """The `usage` object of a response."""
    counted: Fields = dict(usage.told())
    cached = counted.get("prompt_tokens_details", {}).get("cached_tokens", 0)
    return {
        "input_tokens": counted["prompt_tokens"],
        # Keeping a prompt for later requests costs nothing here, so no tokens are counted for it.
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": counted["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": counted["total_tokens"],
    }


def _told_settings(asked: ResponseRequest, sampling: SamplingParams) -> Fields:
    """What a response repeats of its request."""
    choice = asked.tool_choice or "auto"
    return {
        "model": asked.model,
        "instructions": asked.instructions,
        "previous_response_id": asked.previous_response_id,
        "max_output_tokens": asked.max_output_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_logprobs": asked.top_logprobs or 0,
        "text": {"format": asked.format.model_dump(by_alias=True, exclude_none=True)},
        "tools": [_told_tool(tool) for tool in asked.tools or ()],
        "tool_choice": choice if isinstance(choice, str) else choice.model_dump(),
        "parallel_tool_calls": asked.parallel_tool_calls is not False,
        "store": asked.is_stored,
        "metadata": asked.metadata or {},
        "background": False,
        "truncation": "disabled",
    }


def _told_tool(tool: FunctionTool) -> Fields:
    return tool.model_dump(include={"type", "name", "description", "parameters", "strict"})
