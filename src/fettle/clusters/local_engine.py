"""An engine worker on this machine with the client that talks to it, and the adapters it has loaded."""

import asyncio
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Self

from fettle.clusters.engine_client import EngineClient
from fettle.clusters.local import Worker, start_worker
from fettle.types.engine import EngineOptions, EngineSpec

_LAST_GRACE_SECONDS = 5.0


class LocalEngine:
    """One model being served by one process."""

    def __init__(self, worker: Worker, client: EngineClient) -> None:
        """An engine that was started; see `start`."""
        self.worker, self.client = worker, client
        self._adapters: dict[str, asyncio.Task[None]] = {}

    @classmethod
    async def start(
        cls,
        name: str,
        model_path: Path,
        *,
        folder: Path,
        log_path: Path,
        threads: int,
        options: EngineOptions,
        module: str,
    ) -> Self:
        """Start a worker on the model in `model_path`; it loads while this returns (see `client.ready`).

        Raises:
            StorageFailed: its spec or log cannot be written.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            spec = EngineSpec(
                name=name,
                model_path=str(model_path),
                link_fd=theirs.fileno(),
                threads=threads,
                options=options,
            )
            try:
                worker = start_worker(
                    module,
                    spec,
                    folder,
                    log_path=log_path,
                    threads=threads,
                    has_events=False,
                    pass_fds=[theirs.fileno()],
                )
            except BaseException:
                ours.close()
                raise
        return cls(worker, await EngineClient.connect(ours, lambda: _last_words(worker)))

    @property
    def state(self) -> str:
        """loading, ready or failed."""
        if not self.client.is_alive:
            return "failed"
        return "ready" if self.client.is_ready else "loading"

    async def load_adapter(self, name: str, folder: Path) -> None:
        """Have an adapter loaded; those who ask at the same time wait for the same loading.

        Raises:
            FettleError: it cannot be loaded; the next one who asks tries again.
        """
        if name not in self._adapters:
            self._adapters[name] = asyncio.create_task(self._load(name, folder))
        await asyncio.shield(self._adapters[name])

    async def stop(self, grace_seconds: float) -> None:
        """Let it finish what runs, for a while; then end it."""
        try:
            await asyncio.wait_for(self.client.close(), grace_seconds)
        except TimeoutError:
            await self.client.hang_up()

    async def _load(self, name: str, folder: Path) -> None:
        try:
            await self.client.add_adapter(name, folder)
        except BaseException:
            del self._adapters[name]
            raise


def _last_words(worker: Worker) -> str:
    """The end of the log of a worker that has hung up, once it is gone for certain."""
    with suppress(subprocess.TimeoutExpired):
        worker.wait(_LAST_GRACE_SECONDS)
    worker.terminate(_LAST_GRACE_SECONDS)
    return worker.last_words()
