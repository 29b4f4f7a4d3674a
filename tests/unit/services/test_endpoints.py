"""Endpoints: stable names for models on hosting clusters, switched on and off one by one."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest

from fettle.errors import Conflict, InvalidInput, NotFound, Unavailable
from fettle.services.platform import Platform
from fettle.testing.model_files import write_model_files
from fettle.types.clusters import ClusterSpec
from fettle.types.endpoints import EndpointSpec
from fettle.types.generation import GenerateRequest
from tests.unit.services.conftest import Create

pytestmark = pytest.mark.anyio


@pytest.fixture
async def serving(platform: Platform) -> AsyncIterator[Platform]:
    yield platform
    await platform.engines.stop()


async def answer(platform: Platform, model: str) -> str:
    request = GenerateRequest(model=model, text="adapter?")
    return "".join([chunk.text async for chunk in platform.engines.generate(request)])


def endpoint(platform: Platform, name: str, model: str, cluster: str | None = None) -> str:
    return platform.endpoints.create(EndpointSpec(name=name, model=model, cluster=cluster)).id


async def test_an_endpoint_answers_for_its_model_in_an_engine_of_its_cluster(serving: Platform, create: Create) -> None:
    model = serving.tuning_jobs.run(create().id)
    endpoint(serving, "answers", "tickets")
    endpoint(serving, "plain", "small")
    cluster = serving.clusters.get("default-hosting")
    assert await asyncio.gather(*(answer(serving, name) for name in ("answers", "plain"))) == [model.id, "none"]
    assert serving.engines.states() == {f"small@{cluster.id}": "ready"}
    assert await answer(serving, "tickets") == model.id
    assert set(serving.engines.states()) == {f"small@{cluster.id}", "small"}


async def test_an_inactive_endpoint_refuses_and_the_others_go_on(serving: Platform, create: Create) -> None:
    model = serving.tuning_jobs.run(create().id)
    endpoint(serving, "one", "tickets")
    endpoint(serving, "two", "tickets")
    serving.endpoints.deactivate("one")
    with pytest.raises(Conflict, match=r"(?s)'one' is inactive.*activate one"):
        await answer(serving, "one")
    with pytest.raises(Conflict):
        serving.endpoints.deactivate("one")
    assert await answer(serving, "two") == model.id
    assert serving.endpoints.active_names() == ["two"]
    serving.endpoints.activate("one")
    assert await answer(serving, "one") == model.id


async def test_an_endpoint_follows_its_label_and_a_pinned_one_stays(serving: Platform, create: Create) -> None:
    first, second = (serving.tuning_jobs.run(create().id) for _ in range(2))
    serving.version_labels.put("tickets:1", "production")
    for name, model in (("labelled", "tickets:production"), ("newest", "tickets"), ("pinned", "tickets:1")):
        endpoint(serving, name, model)
    assert [await answer(serving, n) for n in ("labelled", "newest", "pinned")] == [first.id, second.id, first.id]
    serving.version_labels.put("tickets:2", "production")
    assert [await answer(serving, n) for n in ("labelled", "newest", "pinned")] == [second.id, second.id, first.id]
    assert await answer(serving, "tickets:production") == second.id


async def test_an_engine_that_is_killed_under_load_tells_all_who_wait_and_comes_back_with_its_endpoints(
    serving: Platform, create: Create
) -> None:
    first, second = (serving.tuning_jobs.run(create().id) for _ in range(2))
    serving.version_labels.put("tickets:1", "production")
    models = {"labelled": "tickets:production", "newest": "tickets", "plain": "small", "off": "tickets"}
    for name, model in models.items():
        endpoint(serving, name, model)
    serving.endpoints.deactivate("off")
    held = [serving.engines.generate(GenerateRequest(model=name, text="hold")) for name in [*models][:3] * 4]
    await asyncio.gather(*map(anext, held))
    ((engine, stats),) = (await serving.engines.stats()).items()
    os.kill(stats["pid"], signal.SIGKILL)
    ends = await asyncio.gather(*map(anext, held), return_exceptions=True)
    assert {(type(end), getattr(end, "http_status", None)) for end in ends} == {(Unavailable, 503)}
    async with asyncio.timeout(30):
        while serving.engines.states() != {engine: "ready"}:
            await asyncio.sleep(0.01)
    assert [await answer(serving, n) for n in ("labelled", "newest", "plain")] == [first.id, second.id, "none"]
    with pytest.raises(Conflict, match="'off' is inactive"):
        await answer(serving, "off")


async def test_who_waits_for_an_engine_that_is_given_up_is_answered_by_the_next_one(
    serving: Platform, create: Create
) -> None:
    """The last endpoint of a cluster goes off, and on again, while its engine loads."""
    model = serving.tuning_jobs.run(create().id)
    endpoint(serving, "answers", "tickets")
    asking = asyncio.create_task(answer(serving, "answers"))
    async with asyncio.timeout(30):
        while not serving.engines.states():
            await asyncio.sleep(0)
    await serving.engines.release(serving.endpoints.get("answers").cluster_id)
    assert await asking == model.id
    assert await answer(serving, "answers") == model.id


async def test_a_label_that_moves_to_another_base_is_refused(serving: Platform, create: Create, tmp_path) -> None:
    serving.tuning_jobs.run(create().id)
    endpoint(serving, "answers", "tickets")
    serving.base_models.pull(write_model_files(tmp_path / "big"))
    job = create()
    changed = serving.tuning_jobs._repository.update(job, spec=job.spec.model_copy(update={"base": "big"}))
    serving.tuning_jobs.run(changed.id)
    with pytest.raises(Conflict, match=r"(?s)'tickets' is now a model of 'big'.*another cluster"):
        await answer(serving, "answers")
    assert serving.endpoints.active_names() == []


def test_a_cluster_serves_one_base(platform: Platform, tmp_path) -> None:
    platform.base_models.pull(write_model_files(tmp_path / "big"))
    endpoint(platform, "answers", "small")
    with pytest.raises(Conflict, match="it serves 'small'"):
        endpoint(platform, "more", "big", "default-hosting")
    with pytest.raises(Conflict, match=r"(?s)no hosting cluster can take.*default-hosting: it serves 'small'"):
        endpoint(platform, "more", "big")
    with pytest.raises(Conflict, match="for fine-tuning"):
        endpoint(platform, "more", "small", "default-fine-tuning")
    platform.clusters.create(ClusterSpec(name="second", type="hosting", base="big"))
    endpoint(platform, "more", "big")
    assert platform.endpoints.get("more").cluster_id == platform.clusters.get("second").id


def test_a_cluster_takes_as_many_endpoints_as_its_units_hold(platform: Platform) -> None:
    platform.clusters.resize("default-hosting", 2)
    for number in range(51):
        endpoint(platform, f"answers-{number}", "small")
    with pytest.raises(Conflict, match="51 endpoints; 1 units have room for 50"):
        platform.clusters.resize("default-hosting", 1)
    platform.endpoints.delete("answers-0")
    cluster = platform.clusters.resize("default-hosting", 1)
    capacity = platform.clusters.report(cluster).capacity
    assert capacity is not None
    assert (capacity.used, capacity.total) == (50, 50)
    with pytest.raises(Conflict, match="as many as its 1 units take"):
        endpoint(platform, "one-more", "small")


def test_names_that_mean_something_else_are_refused(platform: Platform, create: Create) -> None:
    platform.tuning_jobs.run(create().id)
    endpoint(platform, "answers", "small")
    for taken in ("answers", "small", "tickets"):
        with pytest.raises(Conflict, match=f"there is an? .*'{taken}'"):
            endpoint(platform, taken, "small")
    for wrong in ("", "a:b", "a/b", "x" * 65, "-a", "a b"):
        with pytest.raises(InvalidInput, match="'name'"):
            endpoint(platform, wrong, "small")
    with pytest.raises(NotFound, match="'smal'"):
        endpoint(platform, "other", "smal")
    with pytest.raises(NotFound, match=r"(?s)'default'.*'default-hosting'"):
        endpoint(platform, "other", "small", "default")
    with pytest.raises(NotFound, match=r"(?s)'answer'.*'answers'"):
        platform.endpoints.get("answer")


def test_a_deleted_endpoint_is_no_more_and_its_name_is_free(platform: Platform) -> None:
    old = endpoint(platform, "answers", "small")
    platform.endpoints.delete("answers")
    with pytest.raises(NotFound):
        platform.engines.find("answers")
    for refused in (platform.endpoints.delete, platform.endpoints.activate):
        with pytest.raises(Conflict, match="deleted"):
            refused(old)
    assert endpoint(platform, "answers", "small") != old


def test_labels_are_listed_moved_and_removed(platform: Platform, create: Create) -> None:
    for _ in range(2):
        platform.tuning_jobs.run(create().id)
    for version, label in ((1, "production"), (2, "candidate"), (2, "production")):
        platform.version_labels.put(f"tickets:{version}", label)
    assert [(one.label, one.version) for one in platform.version_labels.list("tickets")] == [
        ("candidate", 2),
        ("production", 2),
    ]
    platform.version_labels.remove("tickets", "candidate")
    with pytest.raises(NotFound):
        platform.custom_models.get("tickets:candidate")
    with pytest.raises(NotFound, match=r"(?s)label of 'tickets' 'produktion'.*'production'"):
        platform.version_labels.remove("tickets", "produktion")
    for wrong in ("2", "", "Big", "a:b"):
        with pytest.raises(InvalidInput):
            platform.version_labels.put("tickets", wrong)
