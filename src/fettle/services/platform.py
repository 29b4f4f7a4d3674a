"""`Platform`: an installation, opened; what the command line and the server work with."""

from typing import Self

from fettle.services.keys import Keys
from fettle.services.projects import Projects
from fettle.services.quotas import Quotas
from fettle.services.refusals import Refusals
from fettle.services.workspace import Shared, WorkerModules, Workspace
from fettle.settings import Settings
from fettle.store.audit import AuditLog
from fettle.store.database import Database
from fettle.store.ownership import claim
from fettle.store.usage import KeyUsage
from fettle.types.access import DEFAULT_PROJECT

__all__ = ["FETTLE_WORKERS", "Platform", "WorkerModules"]

FETTLE_WORKERS = WorkerModules()


class Platform(Workspace):
    """An installation: its projects, keys and engines, and the services of its default project.

    Opening it brings the database up to date and the records in line with what really runs.
    """

    def __init__(self, settings: Settings, workers: WorkerModules = FETTLE_WORKERS) -> None:
        """Open the installation in `settings.home`, which is made if needed.

        Args:
            settings: of the installation.
            workers: the modules that do the work, each in a process of its own.

        Raises:
            StorageFailed: the home folder or its database cannot be used.
            Conflict: the database belongs to another home folder.
        """
        settings.make_home()
        self._database = _opened(settings)
        shared = Shared(settings, workers, self._database)
        super().__init__(shared, DEFAULT_PROJECT)
        self._workspaces: dict[str, Workspace] = {DEFAULT_PROJECT: self}
        self.projects, self.audit = Projects(shared.repository), AuditLog(self._database)
        self.refusals = Refusals(self.audit)
        self.quotas = Quotas(KeyUsage(self._database))
        self.keys = Keys(shared.repository, self.projects, self.quotas)
        self.everywhere.tuning_jobs.recover()
        self.clusters.make_defaults()
        every = self.everywhere
        for kept in (shared.artifacts, every.uploads, every.batches, every.tuning_jobs, self.responses):
            kept.sweep()

    def of(self, project: str) -> Workspace:
        """The services of a project."""
        if project not in self._workspaces:
            self._workspaces[project] = Workspace(self._shared, project)
        return self._workspaces[project]

    @property
    def everywhere(self) -> Workspace:
        """The services that see all projects: for what goes on behind them, and for no client."""
        return self._shared.everywhere

    def __enter__(self) -> Self:
        """The platform itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """End what still runs and let go of the database."""
        self.supervisor.stop()
        self.engines.kill()
        self.quotas.close()
        self._database.close()


def _opened(settings: Settings) -> Database:
    """The database, which is this home's alone."""
    database = Database.open(settings.database)
    try:
        if settings.database_url:
            claim(database, settings.home)
    except BaseException:
        database.close()
        raise
    return database
