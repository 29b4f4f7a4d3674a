"""The native dialect: clusters, endpoints, jobs and models with one set of conventions."""

import asyncio
import json

import httpx2 as httpx
import pytest

from fettle.api.app import create_app
from fettle.api.auth import KeyCheck
from fettle.errors import all_errors
from fettle.services.platform import Platform
from fettle.types.access import KeySpec

KEY = "fettle-test"
HEADERS = {"authorization": f"Bearer {KEY}"}
HOSTING = {"name": "mine", "type": "hosting"}
#: What is kept for repetitions would hold a new key itself, which is stored nowhere; the others change nothing.
ONCE_MORE = {f"/api/v1/{name}" for name in ("keys", "compare", "data-checks", "evaluations")}
ROWS = b'{"prompt": "go", "completion": "yes"}\n{"prompt": "more", "completion": "no"}\n'


@pytest.fixture
def ask(serving, platform):
    """Run a test that asks the native routes of a whole platform."""

    def run(test, headers=HEADERS):
        async def whole():
            async with serving(platform) as server, httpx.AsyncClient(headers=headers, timeout=60) as client:
                client.base_url = f"{server.url}/api/v1"
                return await test(client)

        return asyncio.run(whole())

    return run


async def made(client, path, body, status=201, **headers):
    answer = await client.post(path, json=body, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json()


async def fails(asked, status, *words):
    answer = await asked
    assert answer.status_code == status, answer.text
    told = answer.json()["error"]
    assert set(told) == {"message", "type", "param", "code"}
    for word in words:
        assert word in told["message"]
    return told


async def all_pages(client, path, limit):
    found, after = [], None
    while True:
        page = (await client.get(path, params={"limit": limit} | ({"after": after} if after else {}))).json()
        assert len(page["data"]) <= limit
        found += page["data"]
        if not page["next"]:
            return found
        after = page["next"]


def test_a_cluster_is_made_shown_resized_and_deleted(ask):
    async def test(client):
        cluster = await made(client, "/clusters", HOSTING | {"units": 1})
        assert (cluster["state"], cluster["capacity"]) == ("active", {"total": 50, "used": 0})
        assert (await client.get("/clusters/mine")).json()["id"] == cluster["id"]
        resized = await made(client, "/clusters/mine/resize", {"units": 2}, 200)
        assert resized["capacity"]["total"] == 100
        await fails(client.post("/clusters/mine/resize", json={"units": 1024}), 409, "1024 units")
        assert (await client.delete("/clusters/mine")).json()["state"] == "deleted"
        await fails(client.get("/clusters/mine"), 404, "mine")
        assert (await client.get(f"/clusters/{cluster['id']}")).json()["units"] == 2

    ask(test)


def test_all_faults_of_a_body_are_told_at_once(ask):
    async def test(client):
        wrong = {"type": "serving", "units": "3", "colour": "red"}
        await fails(client.post("/clusters", json=wrong), 400, "'name'", "'serving'", "'3'", "colour")
        await fails(client.post("/clusters", content=b"{"), 400)
        await fails(client.post("/clusters", json=HOSTING | {"shape": "huge", "base": "smal"}), 400, "huge", "smal")
        await fails(client.get("/clusters", params={"limit": 0}), 400, "limit")
        await fails(client.get("/clusters", params={"after": "cluster_none"}), 404, "cluster_none")

    ask(test)


def test_lists_come_in_pages_and_lose_nothing(ask):
    async def test(client):
        made_names = [(await made(client, "/endpoints", {"name": f"e{n}", "model": "small"}))["name"] for n in range(5)]
        for limit in (1, 2, 5, 100):
            assert [one["name"] for one in await all_pages(client, "/endpoints", limit)] == made_names[::-1]
        assert len(await all_pages(client, "/clusters", 1)) == 2

    ask(test)


def test_an_endpoint_answers_over_openais_routes_until_it_is_inactive(ask, platform, until):
    async def test(client):
        endpoint = await made(client, "/endpoints", {"name": "answers", "model": "small"})
        asked = {"model": "answers", "prompt": "adapter?"}
        told = await made(client, "../../v1/completions", asked, 200)
        assert told["choices"][0]["text"] == "none"
        names = [one["id"] for one in (await client.get("../../v1/models")).json()["data"]]
        assert "answers" in names
        engine = f"small@{endpoint['cluster_id']}"
        assert platform.engines.states()[engine] == "ready"
        assert (await made(client, "/endpoints/answers/deactivate", None, 200))["state"] == "inactive"
        await until(lambda: engine not in platform.engines.states())
        assert "answers" not in (await client.get("../../v1/models")).text
        await fails(client.post("../../v1/completions", json=asked), 409, "'answers' is inactive", "activate answers")
        await fails(client.post("/endpoints/answers/deactivate"), 409, "inactive")
        await made(client, "/endpoints/answers/activate", None, 200)
        await made(client, "../../v1/completions", asked, 200)
        assert (await client.delete("/endpoints/answers")).json()["state"] == "deleted"
        await fails(client.post("../../v1/completions", json=asked), 404, "answers")
        assert (await client.get(f"/endpoints/{endpoint['id']}")).json()["state"] == "deleted"

    ask(test)


def test_a_job_is_ordered_followed_labelled_and_served(ask):
    async def test(client):
        upload = {"file": ("rows.jsonl", ROWS)}
        file = (await client.post("../../v1/files", files=upload, data={"purpose": "fine-tune"})).json()["id"]
        spec = {"base": "small", "method": "lora", "name": "tickets"}
        job = await made(client, "/tuning-jobs", {"spec": spec, "train_file": file, "metadata": {"team": "a"}})
        assert job["metadata"] == {"team": "a"}
        async with asyncio.timeout(60):
            while (found := (await client.get(f"/tuning-jobs/{job['id']}")).json())["state"] != "succeeded":
                await asyncio.sleep(0.02)
        assert found["model"] == "tickets:1"
        events = await all_pages(client, f"/tuning-jobs/{job['id']}/events", 3)
        assert events[0]["type"] == "created"
        assert events[-1]["type"] == "succeeded"
        label = await made(client, "/version-labels", {"model": "tickets:1", "label": "production"}, 200)
        assert label["version"] == 1
        await made(client, "/endpoints", {"name": "answers", "model": "tickets:production"})
        answer = await made(client, "../../v1/completions", {"model": "answers", "prompt": "adapter?"}, 200)
        models = await all_pages(client, "/custom-models", 5)
        assert answer["choices"][0]["text"] == models[0]["id"]
        assert (await client.get("/custom-models/tickets:production")).json()["version"] == 1
        assert (await client.delete("/version-labels/tickets:production")).json()["label"] == "production"
        await fails(client.get("/custom-models/tickets:production"), 404)
        assert [base["name"] for base in await all_pages_of_bases(client)][-1] == "small"

    ask(test)


async def all_pages_of_bases(client):
    return (await client.get("/base-models")).json()["data"]


def test_a_job_that_cannot_be_is_refused_with_every_fault(ask):
    async def test(client):
        spec = {"base": "small", "method": "lora", "name": "tickets"}
        named = {"train_file": "file-none", "validation_file": "file-no"}
        await fails(client.post("/tuning-jobs", json={"spec": spec} | named), 400, "'train_file'", "'validation_file'")
        await fails(client.post("/tuning-jobs/job_none/cancel"), 404, "job_none")
        assert (await client.get("/tuning-jobs")).json() == {"data": [], "next": None}

    ask(test)


def test_a_repeated_request_does_its_work_once_and_has_the_same_answer(ask):
    async def test(client):
        key = {"idempotency-key": "once"}
        answers = [await client.post("/clusters", json=HOSTING, headers=key) for _ in range(3)]
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.content for answer in answers}) == 1
        assert [answer.headers.get("idempotent-replayed") for answer in answers] == [None, "true", "true"]
        await fails(client.post("/clusters", json=HOSTING | {"units": 2}, headers=key), 409, "another request")
        await fails(
            client.post("/endpoints", json={"name": "e", "model": "small"}, headers=key), 409, "another request"
        )
        await fails(client.post("/clusters", json=HOSTING), 409, "'mine' already")
        await fails(client.post("/clusters", json=HOSTING, headers={"idempotency-key": "x" * 256}), 400)

    ask(test)


def test_a_refused_request_may_be_sent_again_with_its_key(ask):
    async def test(client):
        key = {"idempotency-key": "again"}
        asked = {"name": "e", "model": "small", "cluster": "mine"}
        await fails(client.post("/endpoints", json=asked, headers=key), 404, "mine")
        await made(client, "/clusters", HOSTING)
        first = await made(client, "/endpoints", asked, **key)
        assert await made(client, "/endpoints", asked, **key) == first

    ask(test)


def test_requests_with_one_key_at_once_do_the_work_once(ask):
    async def test(client):
        asked = [client.post("/clusters", json=HOSTING, headers={"idempotency-key": "race"}) for _ in range(8)]
        statuses = [answer.status_code for answer in await asyncio.gather(*asked)]
        assert statuses.count(201) >= 1
        assert set(statuses) <= {201, 409}
        assert len(await all_pages(client, "/clusters", 100)) == 3

    ask(test)


def test_projects_see_their_own_things_and_viewers_change_nothing(ask, platform):
    platform.projects.create("other")
    _, theirs = platform.keys.create(KeySpec(project_id="other", role="admin"))
    _, viewers = platform.keys.create(KeySpec(role="viewer"))

    async def test(client):
        await made(client, "/endpoints", {"name": "answers", "model": "small"})
        other, viewer = ({"authorization": f"Bearer {key}"} for key in (theirs, viewers))
        for path in ("/endpoints", "/clusters"):
            assert (await client.get(path, headers=other)).json()["data"] == []
        await fails(client.get("/endpoints/answers", headers=other), 404)
        await fails(client.post("../../v1/completions", json={"model": "answers", "prompt": "x"}, headers=other), 404)
        assert (await client.get("/endpoints/answers", headers=viewer)).status_code == 200
        await fails(client.post("/endpoints/answers/deactivate", headers=viewer), 403, "clusters:write")
        await fails(client.get("/endpoints", headers={"authorization": "Bearer no"}), 401)

    ask(test)


def document(platform):
    return create_app(platform, KeyCheck.of(KEY)).openapi()


def native_operations(platform):
    paths = document(platform)["paths"]
    return {
        (method, path): operation
        for path, methods in paths.items()
        for method, operation in methods.items()
        if path.startswith("/api/v1")
    }


def test_every_route_documents_its_statuses_its_answer_and_its_body(platform: Platform):
    statuses = {str(error.http_status) for error in all_errors().values()}
    operations = native_operations(platform)
    assert len(operations) > 20
    for (method, path), operation in operations.items():
        told = operation["responses"]
        assert statuses | {"default"} <= set(told), path
        assert "422" not in told, path
        (good,) = (status for status in told if status.startswith("2"))
        body = told[good]["content"]
        # What is no JSON (logs, tables) is text.
        assert "$ref" in json.dumps(body.get("application/json")) or "string" in json.dumps(body), path
        assert operation["description"], path
        if method == "post" and path not in ONCE_MORE:
            names = [parameter["name"] for parameter in operation.get("parameters", [])]
            assert "Idempotency-Key" in names, path


def test_every_native_route_asks_for_a_key(ask, platform):
    operations = native_operations(platform)

    async def test(client):
        for method, path in operations:
            await fails(client.request(method, f"../..{path}"), 401)

    ask(test, headers={})
