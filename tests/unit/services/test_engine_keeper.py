"""What another process changes of endpoints and models takes effect in a running server."""

from collections.abc import AsyncIterator

import pytest

from fettle.services.platform import Platform
from fettle.settings import Settings
from fettle.types.clusters import ClusterSpec
from fettle.types.endpoints import EndpointSpec
from tests.unit.services.conftest import Create

pytestmark = pytest.mark.anyio


@pytest.fixture
def database_url(monkeypatch: pytest.MonkeyPatch) -> str:
    """The file in the home: nothing here depends on which database it is."""
    monkeypatch.delenv("FETTLE_DATABASE_URL", raising=False)
    return ""


@pytest.fixture
async def serving(platform: Platform) -> AsyncIterator[Platform]:
    """A platform as a server has it, which has looked once."""
    await platform.engine_keeper.look()
    yield platform
    await platform.engines.stop()


async def test_engines_follow_what_the_command_line_does_with_endpoints(settings: Settings, serving: Platform) -> None:
    with Platform(settings) as command_line:
        cluster = command_line.clusters.create(ClusterSpec(name="mine", type="hosting", units=1))
        command_line.endpoints.create(EndpointSpec(name="answers", model="small", cluster="mine"))
        await serving.engine_keeper.look()
        assert set(serving.engines.states()) == {f"small@{cluster.id}"}
        command_line.endpoints.deactivate("answers")
        await serving.engine_keeper.look()
        assert serving.engines.states() == {}
        command_line.endpoints.activate("answers")
        await serving.engine_keeper.look()
        assert set(serving.engines.states()) == {f"small@{cluster.id}"}
        command_line.endpoints.delete("answers")
        await serving.engine_keeper.look()
    assert serving.engines.states() == {}


async def test_the_engine_of_a_deleted_model_ends_and_those_of_base_models_go_on(
    settings: Settings, serving: Platform, create: Create
) -> None:
    serving.tuning_jobs.run(create(name="whole", method="full").id)
    await serving.engines.start(["whole", "small"])
    await serving.engine_keeper.look()
    assert set(serving.engines.states()) == {"whole:1", "small"}
    with Platform(settings) as command_line:
        command_line.custom_models.delete("whole")
    await serving.engine_keeper.look()
    assert set(serving.engines.states()) == {"small"}
