"""Keys open what their role and scopes say, and every change tells who made it."""

import asyncio
import json
from datetime import timedelta
from itertools import pairwise

import httpx2 as httpx
import openai
import pytest
from fastapi.routing import APIRoute, iter_route_contexts

from fettle.api import classify
from fettle.api.app import create_app
from fettle.api.auth import KeyCheck
from fettle.api.permissions import permissions_of
from fettle.errors import InvalidInput, NotFound, StorageFailed, Unauthorized
from fettle.store.repository import Repository
from fettle.store.usage import KeyUsage
from fettle.testing.scripted import ScriptedPlatform
from fettle.types.access import DEFAULT_PROJECT, ROLES, KeySpec
from fettle.types.ids import now

#: Whether the server lives and is ready is told to all.
OPEN = {"/healthz", "/readyz"}
CONTENT = b'{"prompt": "a", "completion": "b"}\n'


class FullDisk(Repository):
    """Records that can be read only."""

    def write(self):
        raise StorageFailed("the disk is full")


def run(test):
    return asyncio.run(test())


def routes():
    app = create_app(ScriptedPlatform(), KeyCheck.of("x"))
    found = [one for one in iter_route_contexts(app.routes) if isinstance(one.original_route, APIRoute)]
    return {(method, one.path): one.original_route for one in found for method in one.original_route.methods}


def header(key):
    return {"authorization": f"Bearer {key}"}


def made(platform, **spec):
    return platform.keys.create(KeySpec(**spec))


def test_every_route_declares_the_permission_that_it_needs():
    found = routes()
    declared = {place: list(permissions_of(route.dependant)) for place, route in found.items()}
    assert {path for (_, path), permissions in declared.items() if not permissions} == OPEN
    assert all(len(permissions) == 1 for (_, path), permissions in declared.items() if path not in OPEN)


def test_every_route_but_health_refuses_without_a_key_and_with_a_wrong_one(serving):
    async def test():
        async with serving() as server, httpx.AsyncClient() as client:
            for method, path in routes():
                for headers in ({}, header("fettle-00000000-wrong")):
                    answer = await client.request(method, server.url + path, headers=headers)
                    assert (answer.status_code == 401) == (path not in OPEN), (method, path)

    run(test)


def test_each_role_may_what_the_one_before_it_may():
    sets = list(ROLES.values())
    assert all(less < more for less, more in pairwise(sets))


@pytest.mark.parametrize("role", ROLES)
def test_a_role_opens_exactly_the_routes_whose_permission_it_has(serving, platform, role):
    async def test():
        _, key = made(platform, role=role)
        async with serving(platform) as server, httpx.AsyncClient(headers=header(key)) as client:
            for (method, path), route in routes().items():
                # Something that is not there: a route that may be called says so, or what is wrong with the body.
                answer = await client.request(method, server.url + path.replace("{name:path}", "none"), content=b"")
                is_open = path in OPEN or set(permissions_of(route.dependant)) <= ROLES[role]
                assert (answer.status_code == 403) == (not is_open), (method, path, answer.text)
                assert answer.status_code < 500, answer.text

    run(test)


def test_scopes_leave_nothing_else_of_a_role(serving, platform):
    async def test():
        _, key = made(platform, role="admin", scopes=("models:read",))
        async with serving(platform) as server, httpx.AsyncClient(headers=header(key)) as client:
            models = await client.get(f"{server.url}/v1/models")
            files = await client.get(f"{server.url}/v1/files")
        assert (models.status_code, files.status_code) == (200, 403)
        assert files.json()["error"]["code"] == "forbidden"
        assert "files:read" in files.json()["error"]["message"]

    run(test)


def test_a_route_that_declares_nothing_is_for_administrators(serving, platform):
    @classify.router.get("/forgotten")
    def forgotten():
        return {}

    async def test():
        answers = {}
        for role in ("operator", "admin"):
            _, key = made(platform, role=role)
            async with serving(platform) as server, httpx.AsyncClient(headers=header(key)) as client:
                answers[role] = (await client.get(f"{server.url}/forgotten")).status_code
        assert answers == {"operator": 403, "admin": 200}

    try:
        run(test)
    finally:
        classify.router.routes.pop()


def test_a_key_ends_at_once_when_it_is_revoked_or_its_time_is_over(serving, platform):
    async def test():
        short, short_key = made(platform, expires_at=now() + timedelta(seconds=0.5))
        long, long_key = made(platform, expires_at=now() + timedelta(days=1))
        async with serving(platform) as server, httpx.AsyncClient() as client:
            ask = lambda key: client.get(f"{server.url}/v1/models", headers=header(key))  # noqa: E731
            assert (await ask(long_key)).status_code == 200
            platform.keys.revoke(long.prefix)
            revoked = await ask(long_key)
            async with asyncio.timeout(30):
                while (expired := await ask(short_key)).status_code == 200:
                    await asyncio.sleep(0.05)
        assert (revoked.status_code, expired.status_code) == (401, 401)
        assert "revoked" in revoked.json()["error"]["message"]
        assert f"expired at {short.expires_at:%Y-%m-%d}" in expired.json()["error"]["message"]

    run(test)


def test_a_key_is_shown_once_and_kept_as_a_hash(platform):
    key, secret = made(platform, name="bob")
    whole = (platform.settings.home / "fettle.db").read_bytes() + (
        platform.settings.home / "fettle.db-wal"
    ).read_bytes()
    assert secret.encode() not in whole
    assert key.digest.encode() in whole
    assert secret.startswith(key.prefix)
    assert len(secret) == len(key.prefix) + 1 + 43  # 256 bits in base64
    assert key.digest not in repr(key)


def test_its_last_use_is_written_down(platform):
    key, secret = made(platform)
    assert key.last_used_at is None
    platform.keys.authenticate(secret)
    (found,) = platform.keys.list()
    assert now() - found.last_used_at < timedelta(minutes=1)


def test_a_full_disk_refuses_nobody_who_only_reads(platform, caplog):
    key, secret = made(platform)
    platform.keys._repository = FullDisk(platform._database)
    assert platform.keys.authenticate(secret).key_id == key.id
    assert "could not be written down" in caplog.text


def test_what_is_no_key_of_ours_is_refused(platform):
    key, secret = made(platform)
    for wrong in (key.prefix, f"{key.prefix}-", secret[:-1], secret + "x", key.digest, "ünïcode", ""):
        with pytest.raises(Unauthorized, match="wrong"):
            platform.keys.authenticate(wrong)


def test_a_key_that_cannot_be_is_refused_with_all_that_is_wrong(platform):
    with pytest.raises(NotFound, match="Did you mean 'default'"):
        made(platform, project_id="defualt")
    with pytest.raises(InvalidInput) as caught:
        made(platform, role="viewer", scopes=("files:write", "models:read"), expires_at=now() - timedelta(days=1))
    assert [line.partition(" ")[0] for line in caught.value.message.splitlines()] == ["the", "'expires_at'"]
    assert platform.keys.list() == []


def test_the_audit_log_tells_who_changed_what_from_where(serving, platform):
    async def test():
        key, secret = made(platform, role="user")
        async with serving(platform) as server, server.client(secret) as client:
            file = await client.files.create(file=("a.jsonl", CONTENT), purpose="fine-tune")
            await client.files.list()
            await client.files.delete(file.id, extra_headers={"x-request-id": "mine-7"})
        told = [one for one in platform.audit.page(limit=99) if one.kind == "file"]
        assert [(one.action, one.who, one.origin) for one in told] == [
            ("created", key.id, "127.0.0.1"),
            ("deleted", key.id, "127.0.0.1"),
        ]
        assert told[1].request_id == "mine-7"
        assert told[0].project_id == DEFAULT_PROJECT
        assert secret not in "".join(one.model_dump_json() for one in platform.audit.page(limit=99))

    run(test)


def test_the_key_of_the_installation_is_told_as_such(serving, platform):
    async def test():
        async with serving(platform) as server, server.client() as client:
            await client.files.create(file=("a.jsonl", CONTENT), purpose="fine-tune")
        assert platform.audit.newest(limit=1)[0].who == "installation"

    run(test)


def test_a_key_that_sends_too_much_is_told_when_to_come_again(serving, platform):
    async def test():
        _, limited = made(platform, requests_per_minute=2)
        _, free = made(platform)
        async with serving(platform) as server, httpx.AsyncClient() as client:
            answers = [await client.get(f"{server.url}/v1/models", headers=header(limited)) for _ in range(3)]
            other = await client.get(f"{server.url}/v1/models", headers=header(free))
        assert [one.status_code for one in (*answers, other)] == [200, 200, 429, 200]
        assert answers[2].json()["error"]["code"] == "rate_limit_exceeded"
        assert 50 <= int(answers[2].headers["retry-after"]) <= 60
        assert answers[2].headers["x-should-retry"] == "true"

    run(test)


def test_tokens_of_prompts_and_answers_count_live_and_in_batches(serving, platform, until):
    async def test():
        key, limited = made(platform, tokens_per_day=13)
        used = lambda: KeyUsage(platform._database).of(key.id, now().date())  # noqa: E731
        async with serving(platform) as server, server.client(limited) as client:
            # The engine of these tests says every word of the prompt again.
            await client.completions.create(model="small", prompt="one two")
            await until(lambda: used() == 4)
            stream = await client.completions.create(model="small", prompt="one two", stream=True, n=2)
            assert [chunk async for chunk in stream]
            await until(lambda: used() == 10)
            line = {"custom_id": "1", "method": "POST", "url": "/v1/completions"}
            content = json.dumps(line | {"body": {"model": "small", "prompt": "one two"}}).encode()
            file = await client.files.create(file=("a.jsonl", content), purpose="batch")
            asked = {"endpoint": "/v1/completions", "completion_window": "24h", "input_file_id": file.id}
            await client.batches.create(**asked)
            await until(lambda: used() == 14)
            for work in (client.completions.create(model="small", prompt="x"), client.batches.create(**asked)):
                with pytest.raises(openai.RateLimitError, match="13 tokens in a day, and has used 14") as caught:
                    await work
            assert 0 < int(caught.value.response.headers["retry-after"]) <= 24 * 60 * 60
            # What uses no tokens may go on.
            assert [one.id async for one in client.files.list()]

    run(test)


def test_only_a_projects_own_requests_share_what_was_computed(serving):
    async def test():
        async with serving() as server, server.client() as client:
            await client.chat.completions.create(model="base", messages=[{"role": "user", "content": "x"}])
        assert [one.scope for one in server.engines.requests] == [DEFAULT_PROJECT]

    run(test)
