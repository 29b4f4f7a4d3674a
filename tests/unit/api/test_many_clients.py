"""Sixty-four clients at once change what they share: no change is lost, and no database is too busy, on both kinds."""

import asyncio

import httpx2 as httpx
import pytest

from fettle.services.platform import Platform
from fettle.settings import Settings
from fettle.testing.scripted import IdleSupervisor
from fettle.types.clusters import ClusterSpec

pytestmark = pytest.mark.slow
NUM_CLIENTS = 64
KEY = {"authorization": "Bearer fettle-test"}


class Unsupervised(Platform):
    """A whole platform whose jobs stay in the queue."""

    @property
    def supervisor(self):
        return IdleSupervisor()


@pytest.fixture
def platform(tmp_path, database_url):
    settings = Settings(home=tmp_path / "home", threads=1, database_url=database_url)
    with Unsupervised(settings) as opened:
        opened.clusters.create(ClusterSpec(name="mine", type="hosting", units=1))
        yield opened


def test_of_many_clients_changes_at_once_none_is_lost(serving, platform):
    async def one(client, number):
        """What a client does, and the answers' statuses: things of its own, things that all want, and lists of all."""
        content = f'{{"prompt": "{number}", "completion": "b"}}\n'.encode()
        upload = {"files": {"file": ("rows.jsonl", content)}, "data": {"purpose": "fine-tune"}}
        file = await client.post("/v1/files", **upload)
        key = await client.post("/api/v1/keys", json={"name": f"client {number}", "tokens_per_day": number + 1})
        change = await client.patch(f"/api/v1/keys/{key.json()['key']['id']}", json={"requests_per_minute": number + 1})
        project = await client.post("/api/v1/projects", json={"name": f"project-{number // 2}"})
        cluster = await client.post("/api/v1/clusters/mine/resize", json={"units": 1 + number % 2})
        again = await client.post("/api/v1/projects", json={"name": "once"}, headers={"idempotency-key": "once"})
        lists = [await client.get(path) for path in ("/v1/files", "/api/v1/keys", "/api/v1/projects", "/api/v1/audit")]
        return [answer.status_code for answer in (file, key, change, project, cluster, again, *lists)]

    async def test():
        limits = httpx.Limits(max_connections=NUM_CLIENTS)
        async with (
            serving(platform) as server,
            httpx.AsyncClient(base_url=server.url, headers=KEY, limits=limits, timeout=120) as client,
        ):
            return await asyncio.gather(*(one(client, number) for number in range(NUM_CLIENTS)))

    files, keys, changes, projects, clusters, repeated, *lists = zip(*asyncio.run(test()), strict=True)
    assert set(files) == {200}
    assert set(keys) == {201}
    assert set(changes) == set(clusters) == {200}
    assert sorted(projects) == [201] * (NUM_CLIENTS // 2) + [409] * (NUM_CLIENTS // 2), "each name is given once"
    assert 201 in repeated
    assert set(repeated) <= {201, 409}, "who comes while the first is at work is told so"
    assert {status for statuses in lists for status in statuses} == {200}
    kept = {key.name: (key.tokens_per_day, key.requests_per_minute) for key in platform.keys.list()}
    assert kept == {f"client {number}": (number + 1, number + 1) for number in range(NUM_CLIENTS)}
    assert len(platform.files.page(limit=1000)) == NUM_CLIENTS
    assert len(platform.projects.list()) == NUM_CLIENTS // 2 + 2
    told = [event for event in platform.audit.page(limit=10_000) if event.who == "installation"]
    of_clusters = [event for event in told if event.kind == "cluster"]
    assert len(told) - len(of_clusters) == 3 * NUM_CLIENTS + NUM_CLIENTS // 2 + 1
    units = [event.body["units"] for event in platform.events.of(platform.clusters.get("mine").id)]
    assert units[-1] == platform.clusters.get("mine").units, "what is metered is what is held"
