import asyncio
import re
import socket
import stat

import httpx2 as httpx
import openai
import pytest

from fettle.api.auth import KEY_FILE, key_of_installation
from fettle.api.server import listening
from fettle.errors import Conflict, InvalidInput, StorageFailed, Unauthorized

KEY_HEADER = {"authorization": "Bearer fettle-test"}


def run(test):
    return asyncio.run(test())


class Asking:
    """As much of a request as the key check reads."""

    def __init__(self, authorization):
        self.headers = {"authorization": authorization}


def test_models_are_listed_with_their_versions_and_found_by_any_spelling(serving):
    async def test():
        async with serving() as server, server.client() as client:
            names = [model.id async for model in client.models.list()]
            found = [(await client.models.retrieve(name)).id for name in names]
            async with httpx.AsyncClient(headers=KEY_HEADER) as raw:
                plain = await raw.get(f"{server.url}/v1/models/org/base")
            with pytest.raises(openai.NotFoundError) as caught:
                await client.models.retrieve("nothing/here")
        assert names == found == ["base", "org/base", "tickets", "tickets:1", "tickets:2"]
        assert plain.json()["id"] == "org/base"
        assert caught.value.code == "model_not_found"

    run(test)


def test_a_wrong_key_is_a_401_everywhere_but_at_the_health_routes(serving):
    async def test():
        async with serving() as server, server.client(key="wrong") as client, httpx.AsyncClient() as nobody:
            with pytest.raises(openai.AuthenticationError, match="wrong") as caught:
                await client.models.list()
            answers = {
                path: await nobody.get(server.url + path) for path in ("/v1/models", "/metrics", "/healthz", "/readyz")
            }
        assert caught.value.code == "invalid_api_key"
        statuses = {path: answer.status_code for path, answer in answers.items()}
        assert statuses == {"/v1/models": 401, "/metrics": 401, "/healthz": 200, "/readyz": 200}

    run(test)


def test_readiness_waits_for_the_engines(serving):
    async def test():
        async with serving() as server, httpx.AsyncClient() as client:
            server.engines.loaded["base"] = "loading"
            loading = await client.get(f"{server.url}/readyz")
            server.engines.loaded["base"] = "ready"
            ready = await client.get(f"{server.url}/readyz")
        assert (loading.status_code, ready.status_code) == (503, 200)
        # How many, and not which: who asks has no key.
        assert loading.json() == {"status": "not ready", "engines": {"loading": 1}}

    run(test)


def test_an_unknown_route_and_method_are_told_in_the_same_form(serving):
    async def test():
        async with serving() as server, httpx.AsyncClient(headers=KEY_HEADER) as client:
            missing = await client.get(f"{server.url}/v2/nothing")
            wrong = await client.get(f"{server.url}/v1/chat/completions")
        assert (missing.status_code, wrong.status_code) == (404, 405)
        for answer in (missing, wrong):
            assert answer.json()["error"]["message"]
            assert answer.headers["x-request-id"]

    run(test)


def test_a_request_keeps_the_id_that_it_came_with_if_it_is_a_plain_one(serving):
    async def test():
        async with serving() as server, httpx.AsyncClient() as client:
            kept = await client.get(f"{server.url}/healthz", headers={"x-request-id": "mine-1"})
            made = await client.get(f"{server.url}/healthz", headers={"x-request-id": "a b<script>"})
        assert kept.headers["x-request-id"] == "mine-1"
        assert made.headers["x-request-id"].startswith("req_")

    run(test)


def test_a_body_over_the_limit_is_refused_however_it_is_sent(serving):
    async def slowly():
        for _ in range(20):
            yield b"x" * 100

    async def test():
        async with serving(max_body_bytes=1000) as server, httpx.AsyncClient(headers=KEY_HEADER) as client:
            url = f"{server.url}/v1/chat/completions"
            told = await client.post(url, content=b"x" * 1001)
            chunked = await client.post(url, content=slowly())
        assert (told.status_code, chunked.status_code) == (413, 413)
        assert told.json()["error"]["code"] == "too_large"

    run(test)


def test_more_requests_than_the_server_accepts_are_told_to_come_again(serving, until):
    async def test():
        async with serving(max_running=2) as server, server.client() as client:
            server.engines.hold_after = 1
            ask = {"model": "base", "messages": [{"role": "user", "content": "x"}]}
            waiting = [asyncio.create_task(client.chat.completions.create(**ask)) for _ in range(2)]
            await until(lambda: len(server.engines.running) == 2)
            for stream in (False, True):
                with pytest.raises(openai.RateLimitError) as caught:
                    await client.chat.completions.create(**ask, stream=stream)
                assert caught.value.response.headers["retry-after"]
            for path, body in (("tokenize", {"prompt": "x"}), ("detokenize", {"tokens": [72]})):
                with pytest.raises(openai.RateLimitError):
                    await client.post(f"../{path}", cast_to=str, body={"model": "base"} | body)
            server.engines.go_on.set()
            await asyncio.gather(*waiting)
            assert (await client.chat.completions.create(**ask)).choices

    run(test)


def test_metrics_count_requests_and_tokens_by_model_and_outcome(serving):
    async def test():
        async with serving() as server, server.client() as client, httpx.AsyncClient(headers=KEY_HEADER) as raw:
            messages = [{"role": "user", "content": "two words"}]
            await client.chat.completions.create(model="base", messages=messages, n=2)
            with pytest.raises(openai.NotFoundError):
                await client.chat.completions.create(model="made-up", messages=messages)
            page = (await raw.get(f"{server.url}/metrics")).text
        values = dict(re.findall(r"^(fettle_\S+) (\S+)$", page, re.MULTILINE))
        assert float(values['fettle_requests_total{model="base",outcome="ok"}']) == 1
        assert float(values['fettle_requests_total{model="unknown",outcome="not_found"}']) == 1
        assert float(values['fettle_prompt_tokens_total{model="base"}']) == 2
        assert float(values['fettle_completion_tokens_total{model="base"}']) == 6
        assert float(values['fettle_time_to_first_token_seconds_count{model="base"}']) == 1
        # Two choices of three tokens: two gaps each.
        assert float(values['fettle_inter_token_latency_seconds_count{model="base"}']) == 4
        assert float(values["fettle_requests_running"]) == 0
        assert float(values['fettle_http_requests_total{route="/v1/chat/completions",status="200"}']) == 1
        assert float(values['fettle_engine{engine="scripted",what="waiting"}']) == 0
        assert "made-up" not in page

    run(test)


def test_the_document_of_the_api_can_be_read(serving):
    async def test():
        async with serving() as server, httpx.AsyncClient(headers=KEY_HEADER) as client:
            document = (await client.get(f"{server.url}/openapi.json")).json()
        body = document["paths"]["/v1/chat/completions"]["post"]["requestBody"]
        assert "messages" in body["content"]["application/json"]["schema"]["properties"]

    run(test)


def test_a_key_is_made_once_and_only_its_hash_is_kept(tmp_path):
    check, key = key_of_installation(tmp_path, "")
    again, none = key_of_installation(tmp_path, "")
    stored = tmp_path / KEY_FILE
    assert none is None
    assert key not in stored.read_text()
    assert stat.S_IMODE(stored.stat().st_mode) == 0o600
    for one in (check, again):
        one(Asking(f"Bearer {key}"))


def test_a_new_key_ends_the_old_one(tmp_path):
    _, old = key_of_installation(tmp_path, "")
    check, new = key_of_installation(tmp_path, "", renew=True)
    check(Asking(f"Bearer {new}"))
    with pytest.raises(Unauthorized):
        check(Asking(f"Bearer {old}"))


def test_a_given_key_is_used_and_not_stored(tmp_path):
    check, key = key_of_installation(tmp_path, "mine")
    check(Asking("bearer mine"))
    assert key is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic abc", "mine", "Bearer mine2", "Bearer ünïcode"])
def test_anything_but_the_key_is_refused(tmp_path, header):
    check, _ = key_of_installation(tmp_path, "mine")
    with pytest.raises(Unauthorized):
        check(Asking(header))


def test_a_damaged_key_file_is_told(tmp_path):
    (tmp_path / KEY_FILE).write_text("nonsense")
    with pytest.raises(StorageFailed, match="--new-key"):
        key_of_installation(tmp_path, "")


def test_a_port_in_use_is_told():
    with listening("127.0.0.1", 0) as first, pytest.raises(Conflict, match=r"in use\n.*--port 0"):
        listening("127.0.0.1", first.getsockname()[1])


def test_an_address_that_is_not_ours_is_told():
    with pytest.raises(InvalidInput, match=r"cannot listen on 192\.0\.2\.1"):
        listening("192.0.2.1", 0)


def test_no_piece_of_an_answer_waits_to_be_sent_with_the_next_one():
    with listening("127.0.0.1", 0) as server, socket.create_connection(server.getsockname()):
        accepted, _ = server.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
