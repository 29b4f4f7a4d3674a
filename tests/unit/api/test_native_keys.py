"""Keys, projects and the audit log over HTTP: nobody gives what he does not have, or sees what is not his."""

import asyncio
from contextlib import asynccontextmanager

import httpx2 as httpx
import pytest

from fettle.types.access import KeySpec

OWN = "fettle-test"


def run(test):
    return asyncio.run(test())


@asynccontextmanager
async def calling(serving, platform, *keys):
    async with serving(platform) as server:
        clients = [
            httpx.AsyncClient(base_url=f"{server.url}/api/v1", headers={"authorization": f"Bearer {key}"})
            for key in keys
        ]
        try:
            yield clients
        finally:
            for client in clients:
                await client.aclose()


def admin_of(platform, project):
    platform.projects.create(project)
    return platform.keys.create(KeySpec(project_id=project, role="admin"))[1]


def test_a_key_is_made_used_listed_and_revoked(serving, platform):
    async def test():
        async with calling(serving, platform, OWN) as (owner,):
            made = await owner.post("/keys", json={"name": "bob", "role": "viewer"})
            secret, key = made.json()["api_key"], made.json()["key"]
            listed = await owner.get("/keys")
            bob = {"authorization": f"Bearer {secret}"}
            before = await owner.get("/custom-models", headers=bob)
            revoked = await owner.post(f"/keys/{key['prefix']}/revoke")
            after = await owner.get("/custom-models", headers=bob)
            again = await owner.post(f"/keys/{key['id']}/revoke")
        assert (made.status_code, before.status_code, after.status_code) == (201, 200, 401)
        assert [one["id"] for one in listed.json()["data"]] == [key["id"]]
        assert (revoked.json()["state"], again.status_code) == ("revoked", 409)
        for text in (listed.text, revoked.text, made.text):
            assert "digest" not in text
        assert secret not in listed.text

    run(test)


def test_all_faults_of_a_key_are_told_at_once(serving, platform):
    async def test():
        async with calling(serving, platform, OWN) as (owner,):
            bad = {"role": "king", "tokens_per_day": 0, "secret": "x"}
            answer = await owner.post("/keys", json=bad)
            missing = await owner.post("/keys", json={"project_id": "defualt"})
            no_zone = await owner.post("/keys", json={"expires_at": "2099-01-01T00:00:00"})
        assert answer.status_code == 400
        assert all(word in answer.json()["error"]["message"] for word in ("king", "tokens_per_day", "secret"))
        assert (missing.status_code, "'default'" in missing.text) == (404, True)
        assert (no_zone.status_code, "timezone" in no_zone.text) == (400, True)

    run(test)


def test_an_administrator_of_a_project_administers_that_one_only(serving, platform):
    async def test():
        keys = [admin_of(platform, name) for name in ("a", "b")]
        async with calling(serving, platform, OWN, *keys) as (owner, a, b):
            made = (await a.post("/keys", json={"name": "bob"})).json()["key"]
            assert made["project_id"] == "a"
            for project in ("b", "default"):
                assert (await a.post("/keys", json={"project_id": project})).status_code == 403
            assert (await b.post(f"/keys/{made['id']}/revoke")).status_code == 404
            assert (await b.post(f"/keys/{made['prefix']}/revoke")).status_code == 404
            assert made["id"] not in (await b.get("/keys")).text
            assert made["id"] in (await owner.get("/keys")).text
            for call in (a.get("/projects"), a.post("/projects", json={"name": "c"})):
                assert (await call).status_code == 403
            assert {one["project_id"] for one in (await b.get("/audit")).json()["data"]} == {"b"}
            assert {one["project_id"] for one in (await owner.get("/audit")).json()["data"]} == {"default", "a", "b"}
            # What the server counts names the models of all projects.
            assert (await a.get(str(a.base_url).replace("/api/v1/", "/metrics"))).status_code == 403

    run(test)


@pytest.mark.parametrize("asked", [{"role": "admin"}, {"role": "admin", "scopes": ["keys:write", "jobs:write"]}])
def test_nobody_gives_what_he_does_not_have(serving, platform, asked):
    async def test():
        _, narrow = platform.keys.create(KeySpec(role="admin", scopes=("keys:write", "models:use")))
        async with calling(serving, platform, narrow) as (client,):
            refused = await client.post("/keys", json=asked)
            given = await client.post("/keys", json={"role": "user", "scopes": ["models:use"]})
        assert (refused.status_code, given.status_code) == (403, 201)
        assert "jobs:write" in refused.json()["error"]["message"]

    run(test)


def test_projects_are_made_and_listed_and_changes_come_in_pages(serving, platform):
    async def test():
        async with calling(serving, platform, OWN) as (owner,):
            for name in ("a", "b"):
                assert (await owner.post("/projects", json={"name": name})).status_code == 201
            assert (await owner.post("/projects", json={"name": "a"})).status_code == 409
            repeated = {"headers": {"idempotency-key": "once"}, "json": {"name": "c"}}
            assert [(await owner.post("/projects", **repeated)).status_code for _ in range(2)] == [201, 201]
            assert (await owner.post("/projects", json={"name": "../x"})).status_code == 400
            listed = (await owner.get("/projects")).json()["data"]
            told, after = [], 0
            while after is not None:
                page = (await owner.get("/audit", params={"limit": 1, "after": after})).json()
                told, after = told + page["data"], page["next"]
        assert [one["id"] for one in listed] == ["default", "a", "b", "c"]
        assert [one["subject"] for one in told if one["kind"] == "project"] == ["a", "b", "c"]
        assert {one["who"] for one in told if one["kind"] == "project"} == {"installation"}

    run(test)


def test_clusters_and_kept_answers_are_a_projects_own(serving, platform):
    async def test():
        keys = [admin_of(platform, name) for name in ("a", "b")]
        async with calling(serving, platform, OWN, *keys) as (owner, a, b):
            clusters = [one["id"] for one in (await owner.get("/clusters")).json()["data"]]
            assert clusters
            for other in (a, b):
                assert (await other.get("/clusters")).json()["data"] == []
                for cluster in clusters:
                    assert (await other.get(f"/clusters/{cluster}")).status_code == 404
                    assert (await other.delete(f"/clusters/{cluster}")).status_code == 404
            key = platform.keys.create(KeySpec(project_id="a"))[0].id
            repeated = {"headers": {"idempotency-key": "once"}}
            answers = [await one.post(f"/keys/{key}/revoke", **repeated) for one in (a, a, b)]
        # The second one repeats what the first was told; another project's key of the same name tells nothing of it.
        assert [one.status_code for one in answers] == [200, 200, 404]

    run(test)


def test_who_is_refused_is_in_the_log_without_what_he_sent(serving, platform):
    async def test():
        viewer, secret = platform.keys.create(KeySpec(role="viewer"))
        async with calling(serving, platform, secret, "fettle-00000000-guess") as (known, stranger):
            assert (await known.delete("/clusters/mine")).status_code == 403
            assert (await stranger.get("/clusters/mine")).status_code == 401
        told = [one for one in platform.audit.page(limit=99) if one.action == "refused"]
        assert [(one.who, one.subject, one.detail["status"]) for one in told] == [
            (viewer.id, "DELETE /clusters/{cluster}", 403),
            ("", "GET /clusters/{cluster}", 401),
        ]
        assert {one.origin for one in told} == {"127.0.0.1"}
        assert "guess" not in "".join(one.model_dump_json() for one in told)

    run(test)


def test_a_keys_limits_are_changed_and_what_is_not_named_stays(serving, platform):
    async def test():
        async with calling(serving, platform, OWN) as (owner,):
            order = {"name": "bob", "tokens_per_day": 5, "requests_per_minute": 1, "expires_at": "2099-01-01T00:00:00Z"}
            made = (await owner.post("/keys", json=order)).json()
            bob = {"authorization": f"Bearer {made['api_key']}"}
            assert [(await owner.get("/clusters", headers=bob)).status_code for _ in range(2)] == [200, 429]
            path = f"/keys/{made['key']['prefix']}"
            changed = await owner.patch(path, json={"requests_per_minute": None, "tokens_per_day": 9})
            assert [(await owner.get("/clusters", headers=bob)).status_code for _ in range(2)] == [200, 200]
            assert changed.json() == made["key"] | {
                "requests_per_minute": None,
                "tokens_per_day": 9,
                "last_used_at": changed.json()["last_used_at"],
            }
            no_zone = {"expires_at": "2099-01-01T00:00:00"}
            wrong = [{}, {"tokens_per_day": 0}, {"role": "admin"}, {"expires_at": "2020-01-01T00:00:00Z"}, no_zone]
            assert [(await owner.patch(path, json=one)).status_code for one in wrong] == [400] * len(wrong)
            await owner.post(f"{path}/revoke")
            assert (await owner.patch(path, json={"tokens_per_day": 1})).status_code == 409

    run(test)


def test_nobody_prolongs_a_key_that_may_more_than_his_own(serving, platform):
    async def test():
        _, narrow = platform.keys.create(KeySpec(role="admin", scopes=("keys:write", "models:use")))
        mighty, _ = platform.keys.create(KeySpec(role="admin"))
        theirs, _ = platform.keys.create(KeySpec(role="user", scopes=("models:use",)))
        async with calling(serving, platform, narrow, admin_of(platform, "other")) as (client, other):
            asked = {"json": {"expires_at": None}}
            assert (await client.patch(f"/keys/{mighty.id}", **asked)).status_code == 403
            assert (await client.patch(f"/keys/{theirs.id}", **asked)).status_code == 200
            assert (await other.patch(f"/keys/{theirs.id}", **asked)).status_code == 404

    run(test)


def test_a_project_ends_when_nothing_is_at_work_in_it_and_its_rows_are_seen_no_more(serving, platform):
    async def test():
        async with calling(serving, platform, OWN, admin_of(platform, "team")) as (owner, team):
            cluster = (await team.post("/clusters", json={"name": "mine", "type": "hosting"})).json()["id"]
            refused = await owner.delete("/projects/team")
            assert (refused.status_code, "cluster: 1" in refused.text) == (409, True)
            assert (await team.get("/clusters")).status_code == 200
            await team.delete("/clusters/mine")
            assert (await owner.delete("/projects/team")).json()["state"] == "deleted"
            assert (await team.get(f"/clusters/{cluster}")).status_code == 401
            assert (await owner.get(f"/clusters/{cluster}")).status_code == 404
            assert [one["id"] for one in (await owner.get("/projects")).json()["data"]] == ["default"]
            # Else a new project would see the old one's rows.
            assert (await owner.post("/projects", json={"name": "team"})).status_code == 409
            assert (await owner.post("/keys", json={"project_id": "team"})).status_code == 404
            again = [(await owner.delete(f"/projects/{name}")).status_code for name in ("team", "default", "none")]
            assert again == [404, 409, 404]

    run(test)
