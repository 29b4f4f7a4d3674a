"""What answers at a server, asked as OpenAI's clients ask."""

import asyncio
from array import array
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from fettle.cli.remote.connection import TIMEOUT, Connection, error_of, event_in, given, told
from fettle.types.encoding import Encoded, EncodeRequest
from fettle.types.generation import GenerateChunk, GenerateRequest, SamplingParams


class RemoteEngines:
    """The engines behind a server."""

    def __init__(self, server: Connection) -> None:
        """The engines of `server`."""
        self._server = server

    def find(self, model: str) -> object:
        """Something, if there is a model of this name, else NotFound."""
        return self._server.get(f"/v1/models/{model}")

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[GenerateChunk, None]:
        """The chunks of an answer as they are made; the last one has its finish reason and counts."""
        path, body = await asyncio.to_thread(self._body, request)
        async with self._stream(path, body) as answer:
            last: dict[str, Any] = {"request_id": ""}
            async for line in answer.aiter_lines():
                if event := event_in(line):
                    last |= _told(event)
                    if text := _text(event):
                        yield GenerateChunk(request_id=event["id"], text=text)
            yield GenerateChunk(**last)

    async def encode(self, request: EncodeRequest) -> Encoded:
        """Of which class texts are."""
        body = {"model": request.model, "input": list(request.inputs)}
        found = await asyncio.to_thread(self._server.post, "/v1/classify", body)
        return Encoded(
            values=tuple(array("f", one["probs"]).tobytes() for one in found["data"]),
            labels=tuple(found["labels"]),
            prompt_tokens=found["usage"]["prompt_tokens"],
        )

    async def stop(self) -> None:
        """Nothing was started for this."""

    @asynccontextmanager
    async def _stream(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[httpx.Response, None]:
        client = httpx.AsyncClient(base_url=self._server.root, headers=self._server.headers, timeout=TIMEOUT)
        with told(self._server.root):
            async with client, client.stream("POST", path, json=body) as answer:
                if answer.is_error:
                    await answer.aread()
                    raise error_of(answer)
                yield answer

    def _body(self, request: GenerateRequest) -> tuple[str, dict[str, Any]]:
        shared = {"model": request.model, "stream": True, "stream_options": {"include_usage": True}}
        shared |= _sampling(request.sampling)
        if request.messages is not None:
            turns = [{"role": turn.role, "content": turn.content} for turn in request.messages]
            return "/v1/chat/completions", {**shared, "messages": turns}
        # OpenAI's clients mean few tokens where they say none.
        room = shared.get("max_tokens") or self._room(request)
        return "/v1/completions", {**shared, "prompt": request.text, "max_tokens": room}

    def _room(self, request: GenerateRequest) -> int:
        found = self._server.post("/tokenize", {"model": request.model, "prompt": request.text})
        return max(1, int(found["max_model_len"]) - int(found["count"]))


def _sampling(params: SamplingParams) -> dict[str, Any]:
    return given(
        params.model_dump(mode="json", include={"max_tokens", "temperature", "top_p", "top_k", "seed", "stop"})
    )


def _text(event: Mapping[str, Any]) -> str:
    """What the only choice of an event says."""
    choice: Mapping[str, Any] = next(iter(event["choices"]), {})
    return str(choice.get("text") or choice.get("delta", {}).get("content") or "")


def _told(event: Mapping[str, Any]) -> dict[str, Any]:
    """What else is known of the answer from here on."""
    choice: Mapping[str, Any] = next(iter(event["choices"]), {})
    usage = event.get("usage") or {}
    counts = {name: usage.get(name) for name in ("prompt_tokens", "completion_tokens")}
    return given({"request_id": event["id"], "finish_reason": choice.get("finish_reason"), **counts})
