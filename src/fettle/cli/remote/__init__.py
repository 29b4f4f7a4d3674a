"""An installation behind a server, asked over HTTP; what it runs goes on when the command ends."""

from pathlib import Path
from types import TracebackType
from typing import Self

from fettle.cli.remote.access import RemoteAudit, RemoteKeys, RemoteProjects
from fettle.cli.remote.clusters import RemoteClusters, RemoteEndpoints
from fettle.cli.remote.connection import Connection
from fettle.cli.remote.engines import RemoteEngines
from fettle.cli.remote.jobs import RemoteJobs
from fettle.cli.remote.measures import RemoteEvaluations, check_data
from fettle.cli.remote.models import RemoteModels
from fettle.cli.remote.sweeps import RemoteSweeps
from fettle.settings import Settings
from fettle.types.data import DataReport


class Remote:
    """A server as the commands ask for it."""

    def __init__(self, settings: Settings) -> None:
        """The server at `settings.url`.

        Raises:
            InvalidInput: that is no address.
        """
        self._server = server = Connection(settings.url, settings.api_key)
        self.jobs, self.models = RemoteJobs(server), RemoteModels(server)
        self.sweeps = RemoteSweeps(server, self.jobs)
        self.clusters, self.endpoints = RemoteClusters(server), RemoteEndpoints(server)
        self.projects, self.audit = RemoteProjects(server), RemoteAudit(server)
        self.keys = RemoteKeys(server, self.projects)
        self.engines, self.evaluations = RemoteEngines(server), RemoteEvaluations(server, settings.home)

    def check_data(self, file: Path, validation: Path | None, base: str) -> DataReport:
        """What is in a file of examples, and what is wrong with it."""
        return check_data(self._server, file, validation, base)

    def __enter__(self) -> Self:
        """The server itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End the connection."""
        self._server.close()
