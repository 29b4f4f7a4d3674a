"""Units, room and names are not given twice, whoever asks at the same time."""

from concurrent.futures import ThreadPoolExecutor

from fettle.errors import Conflict
from fettle.services.platform import Platform
from fettle.types.clusters import ClusterSpec
from fettle.types.endpoints import EndpointSpec


def _made(work, number: int) -> int:
    """How many of as many calls at once succeed; the others find a conflict."""

    def attempt(place: int) -> bool:
        try:
            work(place)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(number) as pool:
        return sum(pool.map(attempt, range(number)))


def test_clusters_that_are_made_at_once_share_what_there_is(platform: Platform) -> None:
    free = platform.clusters.offers()[0].free_units
    each = free // 3 + 1
    made = _made(lambda n: platform.clusters.create(ClusterSpec(name=f"c{n}", type="hosting", units=each)), 6)
    assert made == free // each
    assert platform.clusters.offers()[0].free_units == free - made * each


def test_endpoints_that_are_made_at_once_fill_a_cluster_and_no_more(platform: Platform) -> None:
    for number in range(47):
        platform.endpoints.create(EndpointSpec(name=f"answers-{number}", model="small"))
    made = _made(lambda n: platform.endpoints.create(EndpointSpec(name=f"late-{n}", model="small")), 8)
    assert made == 3
    assert len(platform.endpoints.list()) == 50


def test_one_of_those_who_ask_for_a_name_at_once_gets_it(platform: Platform) -> None:
    assert _made(lambda _: platform.endpoints.create(EndpointSpec(name="answers", model="small")), 6) == 1
