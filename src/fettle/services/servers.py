"""The servers of an installation: who runs, and where it can be asked."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from fettle.clusters.processes import ProcessId
from fettle.store.files import write_whole
from fettle.types.record import Record


class RunningServer(Record):
    """A `fettle up` that can be asked."""

    process: ProcessId
    base_url: str
    started_at: datetime


class Servers:
    """A file per server, below the home; those of servers that were killed are removed when somebody looks."""

    def __init__(self, home: Path) -> None:
        """The servers of the installation in `home`."""
        self._folder = home / "servers"

    @contextmanager
    def listed(self, pid: int, base_url: str) -> Iterator[None]:
        """Have a server listed inside the block.

        Raises:
            StorageFailed: the file cannot be written.
        """
        server = RunningServer(process=ProcessId.of(pid), base_url=base_url, started_at=datetime.now(UTC))
        path = self._folder / f"{pid}.json"
        write_whole(path, server.model_dump_json().encode())
        try:
            yield
        finally:
            path.unlink(missing_ok=True)

    def list(self) -> Sequence[RunningServer]:
        """Those that run, the oldest first."""
        found = (self._read(path) for path in self._folder.glob("*.json"))
        return sorted(filter(None, found), key=lambda server: server.started_at)

    def _read(self, path: Path) -> RunningServer | None:
        try:
            server = RunningServer.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):  # it has ended just now, or is no server's file
            return None
        if server.process.is_alive:
            return server
        path.unlink(missing_ok=True)
        return None
