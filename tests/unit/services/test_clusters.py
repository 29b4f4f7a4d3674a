"""Clusters reserve units of what the machine has, are metered, and are given back."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest

from fettle.errors import Conflict, InvalidInput, NotFound
from fettle.registry.base_models import BaseModels
from fettle.services.clusters import Clusters
from fettle.services.inventory import shapes, this_machine
from fettle.services.platform import Platform
from fettle.settings import Settings
from fettle.store.events import EventLog
from fettle.store.repository import Repository
from fettle.types.clusters import ClusterSpec, Resources
from fettle.types.endpoints import EndpointSpec

MACHINE = Resources(cores=2, memory_bytes=8 * 2**30, gpus=0)
START = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def clusters(platform: Platform, clock: Clock) -> Clusters:
    """Of a machine with two cores, of which the platform's default clusters were given back."""
    repository = Repository(platform._database).of("default")
    for cluster in platform.clusters.list():
        platform.clusters.delete(cluster.id)
    return Clusters(repository, BaseModels(repository), EventLog(platform._database), MACHINE, clock)


def spec(name: str = "mine", **changes: object) -> ClusterSpec:
    return ClusterSpec.model_validate({"name": name, "type": "fine_tuning", "shape": "cpu-tiny"} | changes)


def test_the_first_start_makes_a_small_cluster_of_each_type_and_no_later_one(settings: Settings) -> None:
    with Platform(settings) as platform:
        first = platform.clusters.list()
        for cluster in first:
            platform.clusters.delete(cluster.name)
    with Platform(settings) as platform:
        assert platform.clusters.list() == []
    assert [(one.name, one.type, one.units, one.state) for one in first] == [
        ("default-fine-tuning", "fine_tuning", 2, "active"),
        ("default-hosting", "hosting", 1, "active"),
    ]


def test_the_hours_of_a_default_cluster_begin_with_its_first_use(platform: Platform) -> None:
    hosting = platform.clusters.get("default-hosting")
    platform.clusters.resize(hosting.id, 2)
    assert platform.clusters.report(platform.clusters.get(hosting.id)).unit_hours == 0
    endpoint = platform.endpoints.create(EndpointSpec(name="answers", model="small", cluster=hosting.name))
    platform.endpoints.create(EndpointSpec(name="more", model="small", cluster=hosting.name))
    (begun,) = platform.events.of(hosting.id)
    assert (begun.at, begun.body["units"]) == (endpoint.created_at, 2)
    unused = platform.clusters.delete("default-fine-tuning")
    assert platform.events.of(unused.id) == []


def test_what_does_not_fit_is_refused_with_what_would(clusters: Clusters) -> None:
    clusters.create(spec("one", units=5))
    with pytest.raises(Conflict, match=r"4 units of cpu-tiny need 1 cores, 2.0 GiB; 0.75 cores, 5.5 GiB") as refused:
        clusters.create(spec("two", units=4))
    assert "3 of cpu-tiny" in refused.value.hint
    assert "cpu-small" not in refused.value.hint
    assert clusters.create(spec("two", units=3)).state == "active"
    with pytest.raises(Conflict, match="1 units of cpu-tiny"):
        clusters.create(spec("three", units=1))


def test_memory_and_gpus_are_counted_like_cores(clusters: Clusters) -> None:
    with pytest.raises(Conflict, match="1 GPUs"):
        clusters.create(spec(shape="gpu", units=1))
    clusters.create(spec("one", shape="cpu-small", units=1))
    free = {offer.shape.name: offer.free_units for offer in clusters.offers()}
    assert free == {"cpu-tiny": 4, "cpu-small": 1, "cpu-large": 0, "gpu": 0}


def test_all_that_is_wrong_with_a_cluster_is_told_at_once(clusters: Clusters) -> None:
    with pytest.raises(InvalidInput) as refused:
        clusters.create(spec("no spaces", shape="huge", base="smal"))
    told = refused.value.message
    assert "'no spaces'" in told
    assert "'huge'" in told
    assert "cpu-tiny, cpu-small" in told
    assert "Did you mean 'small'?" in told
    with pytest.raises(Conflict, match=r"there is a cluster 'mine' already"):
        [clusters.create(spec(units=1)) for _ in range(2)]
    with pytest.raises(NotFound, match=r"(?s)unknown cluster 'mime'.*'mine'"):
        clusters.get("mime")


def test_a_resized_cluster_takes_and_gives_units(clusters: Clusters) -> None:
    clusters.create(spec(units=2))
    assert clusters.resize("mine", 8).units == 8
    with pytest.raises(Conflict, match="9 units"):
        clusters.resize("mine", 9)
    assert clusters.get("mine").units == 8, "a refused change changes nothing"
    assert clusters.get("mine").state == "active"
    clusters.resize("mine", 1)
    assert clusters.offers()[0].free_units == 7
    for number in (0, -1, 10**9):
        with pytest.raises(InvalidInput):
            clusters.resize("mine", number)


def test_a_day_of_changes_is_metered_exactly(clusters: Clusters, clock: Clock) -> None:
    mine = clusters.create(spec(units=2))
    clock.now = START + timedelta(hours=8)
    clusters.resize("mine", 6)
    clock.now = START + timedelta(hours=20)
    with pytest.raises(Conflict):
        clusters.resize("mine", 99)
    clusters.delete("mine")
    clock.now = START + timedelta(hours=24)
    report = clusters.report(clusters.get(mine.id))
    assert report.unit_hours == 2 * 8 + 6 * 12
    assert report.cost == report.unit_hours * Decimal("0.01")
    assert report.state == "deleted"
    assert report.deleted_at == START + timedelta(hours=20)


def test_a_simulated_day_is_metered_to_the_microsecond(clusters: Clusters, clock: Clock) -> None:
    chance, day = Random(5), 24 * 60 * 60 * 10**6
    held = {clusters.create(spec(name, units=1)).id: 1 for name in ("one", "two", "three")}
    spent, before = dict.fromkeys(held, 0), 0
    for moment in [*sorted(chance.sample(range(day), 96)), day]:
        spent = {name: spent[name] + units * (moment - before) for name, units in held.items()}
        clock.now, before = START + timedelta(microseconds=moment), moment
        changed = chance.choice(list(held))
        held[changed] = clusters.resize(changed, chance.randint(1, 2)).units
    for name in held:
        clusters.delete(name)
    clock.now = START + timedelta(days=99)
    reports = {report.id: report for report in clusters.reports([clusters.get(name) for name in held])}
    exact = {name: round(Decimal(microseconds) / (3600 * 10**6), 9) for name, microseconds in spent.items()}
    assert {name: report.unit_hours for name, report in reports.items()} == exact


def test_a_deleted_cluster_is_gone_and_its_name_free(clusters: Clusters) -> None:
    old = clusters.create(spec(units=8))
    clusters.delete("mine")
    with pytest.raises(Conflict, match="deleted"):
        clusters.delete(old.id)
    with pytest.raises(Conflict, match="deleted"):
        clusters.resize(old.id, 1)
    assert clusters.create(spec(units=8)).id != old.id


def test_a_cluster_with_endpoints_is_deleted_only_with_them(platform: Platform) -> None:
    endpoint = platform.endpoints.create(EndpointSpec(name="answers", model="small"))
    with pytest.raises(Conflict, match=r"1 endpoints are on it \(answers\)"):
        platform.clusters.delete("default-hosting")
    assert platform.clusters.get("default-hosting").state == "active"
    platform.clusters.delete("default-hosting", cascade=True)
    assert platform.endpoints.get(endpoint.id).state == "deleted"


def test_projects_share_the_machine_but_not_their_clusters(clusters: Clusters, platform: Platform) -> None:
    clusters.create(spec(units=6))
    repository = Repository(platform._database).of("other")
    theirs = Clusters(repository, BaseModels(repository), EventLog(platform._database), MACHINE)
    assert theirs.list() == []
    with pytest.raises(NotFound):
        theirs.get("mine")
    with pytest.raises(Conflict, match=r"0\.5 cores"):
        theirs.create(spec(units=3))
    assert theirs.create(spec(units=2)).project_id == "other"
    assert [one.units for one in clusters.list()] == [6]


def test_only_shapes_that_a_base_fits_on_are_offered(clusters: Clusters, platform: Platform) -> None:
    base = platform.base_models.get("small")
    fitting = [shape.name for shape in shapes().values() if base.parameters <= shape.max_parameters]
    assert [offer.shape.name for offer in clusters.offers("small")] == fitting
    with pytest.raises(NotFound):
        clusters.offers("smal")


def test_a_container_has_what_its_limits_leave(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "memory.max").write_text("1048576\n")
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert this_machine(tmp_path, tmp_path) == Resources(cores=0.5, memory_bytes=1048576, gpus=2)
    for name, text in (("cpu.max", "max 100000"), ("memory.max", "max")):
        (tmp_path / name).write_text(text)
    free = this_machine(tmp_path, tmp_path)
    assert free.cores >= 1
    assert free.memory_bytes > 1048576
