"""One request and its answer, with the time at which every piece of it came; failures by their kind."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any

import httpx
import msgspec

from fettle.loadtest.workload import Ask

MAX_SHOWN = 300
DONE = b"[DONE]"
EVENT_STREAM = "text/event-stream"


class Failed(Exception):
    """The answer is not what was asked for: the kind of failure, and what the server said."""

    def __init__(self, kind: str, told: str) -> None:
        super().__init__(told)
        self.kind = kind


#: What the network does -> kind; the first that fits.
FAILURES: Mapping[type[Exception], str] = {
    TimeoutError: "timeout",
    httpx.TimeoutException: "timeout",
    httpx.ConnectError: "cannot_connect",
    httpx.RemoteProtocolError: "disconnected",
    httpx.ReadError: "disconnected",
    httpx.WriteError: "disconnected",
    httpx.HTTPError: "network",
}


class Said(msgspec.Struct):
    """What a choice says: in a stream the next piece, else all of it."""

    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: Any = None

    @property
    def is_something(self) -> bool:
        """Whether it holds (a part of) at least one token."""
        return bool(self.content or self.reasoning or self.reasoning_content or self.tool_calls)


class Choice(msgspec.Struct):
    """A choice of an answer or of a stream's event."""

    delta: Said | None = None
    message: Said | None = None
    finish_reason: str | None = None


class Usage(msgspec.Struct):
    """Tokens as the server counts them."""

    prompt_tokens: int
    completion_tokens: int


class Event(msgspec.Struct):
    """An answer, or an event of a stream."""

    choices: list[Choice] = []
    usage: Usage | None = None
    error: Any = None


@dataclass(slots=True)
class Answer:
    """What has come of an answer until now.

    Attributes:
        times: when each piece came, on the clock of `perf_counter`.
        is_whole: the server has said that this was all.
    """

    times: list[float] = field(default_factory=list)
    usage: Usage | None = None
    is_whole: bool = False

    def take(self, event: Event, time: float) -> None:
        """Take in an event of a stream, or a whole answer.

        Raises:
            Failed: it is an error.
        """
        if event.error:
            raise Failed("stream_error", _message(event.error))
        said = [choice.delta or choice.message for choice in event.choices]
        self.times += [time for one in said if one and one.is_something]
        self.usage = event.usage or self.usage
        self.is_whole = self.is_whole or any(choice.finish_reason for choice in event.choices)


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of one request; times in seconds on the clock of `perf_counter`.

    Attributes:
        due: when it was to be sent; what it waited inside this program counts as its latency.
        sent: when it was sent.
        ended: when its last byte, or its failure, was there.
        times: when each piece of a stream came.
        usage: tokens as the server counts them, if it does.
        failure: kind of failure; "" when all went well.
        told: what was said about it.
    """

    model: str
    due: float
    sent: float
    ended: float
    times: tuple[float, ...] = ()
    usage: Usage | None = None
    failure: str = ""
    told: str = ""


class Client:
    """Sends requests to one server, on as many connections as are needed at once."""

    def __init__(
        self, url: str, key: str, *, timeout_seconds: float, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """A client of the server at `url`.

        Args:
            key: sent as bearer token; "" sends none.
            timeout_seconds: longest time from sending a request to the end of its answer.
            transport: for tests, in the place of the network.
        """
        headers = {"accept-encoding": "identity"} | ({"authorization": f"Bearer {key}"} if key else {})
        # Not through a proxy of the environment: it would be measured too.
        self._new = partial(
            httpx.AsyncClient,
            base_url=url,
            headers=headers,
            timeout=timeout_seconds,
            verify=httpx.create_ssl_context(trust_env=False),
            trust_env=False,
            transport=transport,
        )
        self._timeout_seconds = timeout_seconds
        self._all: list[httpx.AsyncClient] = []
        self._idle: list[httpx.AsyncClient] = []

    async def close(self) -> None:
        """Close all connections."""
        for http in self._all:
            await http.aclose()

    @contextmanager
    def _connection(self) -> Iterator[httpx.AsyncClient]:
        """A connection that nobody else uses meanwhile.

        Not one pool for all: httpx looks at every connection of a pool for every request, which at 200 of them took
        four times as long as all the rest, and was measured as the server's latency.
        """
        if not self._idle:
            self._all.append(self._new())
            self._idle.append(self._all[-1])
        http = self._idle.pop()
        try:
            yield http
        finally:
            self._idle.append(http)

    async def measure(self, ask: Ask, due: float) -> Measured:
        """Send a request and read its answer; whatever goes wrong is in the result."""
        sent, answer = perf_counter(), Answer()
        failure = told = ""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._read(ask, answer)
        except Failed as error:
            failure, told = error.kind, str(error)
        except (TimeoutError, httpx.HTTPError) as error:
            failure = next(kind for cls, kind in FAILURES.items() if isinstance(error, cls))
            told = str(error) or f"no end of the answer after {self._timeout_seconds:g} seconds"
        times = tuple(answer.times) if ask.body.get("stream") else ()
        return Measured(ask.model, due, sent, perf_counter(), times, answer.usage, failure, told[:MAX_SHOWN])

    async def _read(self, ask: Ask, answer: Answer) -> None:
        with self._connection() as http:
            async with http.stream("POST", "chat/completions", json=ask.body) as response:
                if response.status_code != httpx.codes.OK:
                    raise Failed(f"http_{response.status_code}", _error_text(await response.aread()))
                if ask.body.get("stream"):
                    await _read_stream(response, answer)
                else:
                    answer.take(_event(await response.aread()), perf_counter())


async def _read_stream(response: httpx.Response, answer: Answer) -> None:
    """Read all events.

    Raises:
        Failed: it is no stream of events, tells an error, or ends too early.
    """
    kind = response.headers.get("content-type", "nothing")
    if not kind.startswith(EVENT_STREAM):
        raise Failed("not_a_stream", f"asked for {EVENT_STREAM}, the server sent {kind}")
    async for data in events(response.aiter_bytes()):
        if data == DONE:
            answer.is_whole = True
        else:
            answer.take(_event(data), perf_counter())
    if not answer.is_whole:
        raise Failed("cut_short", f"the stream ended after {len(answer.times)} pieces without saying so")


async def events(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The data of each server-sent event; split at line feeds only, as JSON may hold other separators."""
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip()


def _event(data: bytes) -> Event:
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Failed("not_openai", f"{error}: {data[:80].decode(errors='replace')}") from error


_DECODER = msgspec.json.Decoder(Event)


def _error_text(body: bytes) -> str:
    """What an error's body says, in OpenAI's form or another."""
    try:
        return _message(_DECODER.decode(body).error or body.decode(errors="replace"))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body.decode(errors="replace").strip()


def _message(error: Any) -> str:
    return str(error.get("message") or error) if isinstance(error, dict) else str(error)
