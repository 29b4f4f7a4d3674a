"""Engines follow the store: what another process changes of endpoints and models takes effect in a running server."""

import asyncio
import logging
from contextlib import suppress

from fettle.errors import FettleError
from fettle.services.base_models import BaseModels
from fettle.services.custom_models import CustomModels
from fettle.services.endpoints import Endpoints
from fettle.services.engines import Engines

log = logging.getLogger(__name__)
#: How soon it is seen what the command line, or another server, has changed; requests are refused at once.
LOOK_SECONDS = 2.0


class EngineKeeper:
    """Loads the engines of endpoints that became active, and ends those that nothing needs any more."""

    def __init__(
        self, engines: Engines, endpoints: Endpoints, base_models: BaseModels, custom_models: CustomModels
    ) -> None:
        """A keeper of `engines` for all of these; they belong to one event loop, and so does it."""
        self._engines, self._endpoints = engines, endpoints
        self._base_models, self._custom_models = base_models, custom_models
        self._known: set[str] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look, now and then."""
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """End looking."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def look(self) -> None:
        """Bring the engines in line with the store, once."""
        active = {one.name: one.cluster_id for one in await asyncio.to_thread(self._endpoints.active)}
        models, clusters = await asyncio.to_thread(self._models), set(active.values())
        await self._engines.end(lambda name: _is_needed(name, clusters, models))
        # At first, those that are to be loaded at the start are.
        became_active = active.keys() - (active.keys() if self._known is None else self._known)
        self._known = set(active)
        await self._engines.start(sorted(became_active))

    def _models(self) -> set[str]:
        """What the weights that can be served are called."""
        customs = self._custom_models.list()
        bases = {base.name for base in self._base_models.list()}
        return bases | {name for model in customs for name in (model.full_name, model.id)}

    async def _work(self) -> None:
        while True:
            try:
                await self.look()
            except FettleError as error:
                # The store may be locked or full for a while, or a model gone again: the next look is soon.
                log.warning("engines could not follow the store", extra={"error": str(error)})
            await asyncio.sleep(LOOK_SECONDS)


def _is_needed(engine: str, clusters: set[str], models: set[str]) -> bool:
    """Whether an engine's weights still exist, and the cluster that it is for, if it is for one, has an endpoint."""
    name, _, cluster = engine.partition("@")
    return name in models and (not cluster or cluster in clusters)
