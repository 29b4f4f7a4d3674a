"""One conversation put to several models at once."""

import asyncio

import httpx
import pytest

from fettle.errors import Unavailable
from fettle.testing.scripted import ScriptedPlatform

HEADERS = {"authorization": "Bearer fettle-test"}
HELLO = [{"role": "user", "content": "Hi"}]


def ask(serving, platform=None, **fields):
    async def test():
        async with serving(platform or ScriptedPlatform()) as served, httpx.AsyncClient(timeout=60) as client:
            body = {"messages": HELLO} | fields
            return await client.post(f"{served.url}/api/v1/compare", json=body, headers=HEADERS)

    return asyncio.run(test())


def test_every_model_answers_as_it_answers_alone(serving):
    platform = ScriptedPlatform(("It", " is", " fine"))
    told = ask(serving, platform, models=["tickets:2", "base"], max_tokens=2, n=2).json()["data"]
    assert [one["model"] for one in told] == ["tickets:2", "base"]
    for one in told:
        assert one["error"] is None
        assert one["answer"]["model"] == one["model"]
        assert [choice["message"]["content"] for choice in one["answer"]["choices"]] == ["It is"] * 2
    assert {request.model for request in platform.engines.requests} == {"tickets:2", "base"}


def test_a_model_that_fails_is_told_beside_the_others(serving):
    platform = ScriptedPlatform()
    platform.engines.failures["base"] = Unavailable("the engine has ended")
    answer = ask(serving, platform, models=["base", "tickets", "bass"])
    failed, fine, unknown = answer.json()["data"]
    assert answer.status_code == 200
    assert (failed["answer"], failed["error"]["code"]) == (None, "unavailable")
    assert (unknown["error"]["code"], fine["error"]) == ("model_not_found", None)


def test_when_all_fail_so_does_the_request(serving):
    answer = ask(serving, models=["bass", "bess"])
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "'models' is missing"),
        ({"models": []}, "'models'"),
        ({"models": ["base", "base"]}, "'base' more than once"),
        ({"models": ["base"], "model": "base"}, "'model'"),
        ({"models": ["base"], "stream": True}, "'stream'"),
        ({"models": ["base"], "temperature": 9}, "'temperature'"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(serving, fields, words):
    answer = ask(serving, **fields)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
