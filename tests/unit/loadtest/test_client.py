"""What is measured of one answer, and how failures are told apart."""

import asyncio
import json
from time import perf_counter

import httpx
import pytest

from fettle.loadtest.client import Client
from fettle.loadtest.workload import Ask

USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
SSE = {"content-type": "text/event-stream; charset=utf-8"}
STREAMED = Ask("m", {"model": "m", "stream": True})
WHOLE = Ask("m", {"model": "m"})


def event(value):
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"data: {text}\n\n".encode()


def piece(text, finish_reason=None):
    return event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}]})


ROLE, DONE = event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}), event("[DONE]")
COUNTED = event({"choices": [], "usage": USAGE})


class Parts(httpx.AsyncByteStream):
    """A body that comes in parts; a part that is an exception is raised."""

    def __init__(self, *parts):
        self.parts = parts

    async def __aiter__(self):
        for part in self.parts:
            if isinstance(part, Exception):
                raise part
            yield part


class Endless(httpx.AsyncByteStream):
    """A body whose second part never comes."""

    async def __aiter__(self):
        yield piece("a")
        await asyncio.Event().wait()


def stream(*parts):
    return lambda _: httpx.Response(200, headers=SSE, stream=Parts(*parts))


def measured(server, ask=STREAMED, *, key="", timeout_seconds=30.0, late_seconds=0.0):
    async def run():
        transport = httpx.MockTransport(server)
        client = Client("http://test/v1", key, timeout_seconds=timeout_seconds, transport=transport)
        try:
            return await client.measure(ask, perf_counter() - late_seconds)
        finally:
            await client.close()

    return asyncio.run(run())


def test_every_piece_with_something_in_it_has_its_time():
    found = measured(stream(ROLE, piece("a"), piece("b"), piece("", "stop"), COUNTED, DONE))
    assert not found.failure
    assert len(found.times) == 2
    assert found.due <= found.sent <= found.times[0] <= found.times[1] <= found.ended
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (7, 5)


def test_what_a_request_waited_before_it_was_sent_counts():
    found = measured(stream(piece("a", "stop")), late_seconds=2)
    assert found.sent - found.due >= 2


def test_a_server_that_counts_no_tokens_is_no_failure():
    found = measured(stream(piece("a"), piece("b", "length")))
    assert (found.failure, found.usage, len(found.times)) == ("", None, 2)


def test_thoughts_and_calls_of_tools_are_pieces_too():
    deltas = [{"reasoning_content": "hm"}, {"tool_calls": [{"index": 0}]}]
    events = [event({"choices": [{"delta": delta}]}) for delta in deltas]
    assert len(measured(stream(*events, DONE)).times) == 2


def test_events_are_found_however_the_bytes_are_cut_and_whatever_is_in_their_text():
    # U+2028 and U+0085 are ends of lines for Python, but not in server-sent events.
    data = ROLE + piece("a\u2028b\u0085c") + b": a comment\r\n\r\n" + piece("d", "stop") + DONE
    for size in (1, 7, len(data)):
        found = measured(stream(*(data[begin : begin + size] for begin in range(0, len(data), size))))
        assert (found.failure, len(found.times)) == ("", 2)


def test_a_whole_answer_has_tokens_but_no_times():
    body = {"choices": [{"message": {"content": "ab"}, "finish_reason": "stop"}], "usage": USAGE}
    found = measured(lambda _: httpx.Response(200, json=body), WHOLE)
    assert (found.failure, found.times, found.usage.completion_tokens) == ("", (), 5)


def refused(_):
    raise httpx.ConnectError("All connection attempts failed")


FAILURES = {
    "http_429": (lambda _: httpx.Response(429, json={"error": {"message": "come again"}}), "come again"),
    "http_500": (lambda _: httpx.Response(500, text="oh no"), "oh no"),
    "http_307": (lambda _: httpx.Response(307, headers={"location": "/elsewhere"}), ""),
    "cannot_connect": (refused, "All connection attempts failed"),
    "disconnected": (stream(piece("a"), httpx.ReadError("reset by peer")), "reset by peer"),
    "cut_short": (stream(ROLE, piece("a")), "after 1 pieces"),
    "stream_error": (stream(piece("a"), event({"error": {"message": "engine has ended"}})), "engine has ended"),
    "not_a_stream": (lambda _: httpx.Response(200, json={"choices": []}), "application/json"),
    "not_openai": (stream(event('{"choices": 3}')), "choices"),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failure_is_told_by_its_kind_and_what_was_said(kind):
    server, told = FAILURES[kind]
    found = measured(server)
    assert found.failure == kind
    assert told in found.told
    assert found.ended >= found.sent


@pytest.mark.parametrize("body", [b"<html>", b"\xff", b"[]", b'{"choices": [{"delta": 1}]}'])
def test_a_whole_answer_that_is_not_openais_is_a_failure(body):
    found = measured(lambda _: httpx.Response(200, content=body), WHOLE)
    assert found.failure == "not_openai"


def test_a_connection_that_ends_within_an_answer_is_a_failure():
    found = measured(stream(piece("a"), httpx.RemoteProtocolError("incomplete chunked read")))
    assert (found.failure, len(found.times)) == ("disconnected", 1)


def test_an_answer_that_does_not_end_is_given_up():
    found = measured(lambda _: httpx.Response(200, headers=SSE, stream=Endless()), timeout_seconds=0.05)
    assert found.failure == "timeout"
    assert "0.05 seconds" in found.told


def test_the_key_is_sent_if_there_is_one_and_the_body_is_what_was_asked():
    seen = []

    def server(request):
        seen.append(request)
        return httpx.Response(200, json={"choices": []})

    for key in ("secret", ""):
        measured(server, WHOLE, key=key)
    assert [request.headers.get("authorization") for request in seen] == ["Bearer secret", None]
    assert {str(request.url) for request in seen} == {"http://test/v1/chat/completions"}
    assert json.loads(seen[0].content) == WHOLE.body
