"""`Platform`: every service of one installation, wired together; what the command line and the server work with."""

from typing import Self

from fettle.registry.base_models import BaseModels as BaseModelRegistry
from fettle.registry.custom_models import CustomModels as CustomModelRegistry
from fettle.services.base_models import BaseModels
from fettle.services.batches import Batches
from fettle.services.custom_models import CustomModels
from fettle.services.engines import Engines
from fettle.services.evaluations import Evaluations
from fettle.services.files import Files
from fettle.services.supervisor import Supervisor
from fettle.services.sweeps import Sweeps
from fettle.services.tuning_jobs import TuningJobs
from fettle.services.uploads import Uploads
from fettle.settings import Settings
from fettle.store.artifacts import ArtifactStore
from fettle.store.database import Database
from fettle.store.events import EventLog
from fettle.store.repository import Repository
from fettle.types.record import Record


class WorkerModules(Record):
    """The module of each kind of worker; run as `python -m MODULE SPEC.json`."""

    tune: str = "fettle.workers.tune"
    sweep: str = "fettle.workers.sweep"
    evaluate: str = "fettle.workers.evaluate"
    engine: str = "fettle.workers.engine"


FETTLE_WORKERS = WorkerModules()


class Platform:
    """An installation: its models, jobs, evaluations and engines.

    Opening it brings the database up to date and the records in line with what really runs.
    """

    def __init__(self, settings: Settings, workers: WorkerModules = FETTLE_WORKERS) -> None:
        """Open the installation in `settings.home`, which is made if needed.

        Args:
            settings: of the installation.
            workers: the modules that do the work, each in a process of its own.

        Raises:
            StorageFailed: the home folder or its database cannot be used.
        """
        self.settings, home = settings, settings.make_home()
        self._database = Database.open(home / "fettle.db")
        repository, self.events = Repository(self._database), EventLog(self._database)
        artifacts = ArtifactStore(home / "artifacts", repository)
        bases, customs = BaseModelRegistry(repository), CustomModelRegistry(repository, artifacts)
        self.files = Files(repository, artifacts, self.events)
        self.uploads = Uploads(repository, self.files, home / "uploads")
        self.batches = Batches(repository, self.files, self.events, home / "batches")
        self.base_models = BaseModels(bases, customs, self.events, home)
        self.custom_models = CustomModels(customs, bases, repository, self.events, home)
        parts = repository, artifacts, self.events, bases, self.custom_models, self.files, settings
        self.tuning_jobs, self.sweeps = TuningJobs(*parts, workers.tune), Sweeps(*parts, workers.sweep)
        self.supervisor = Supervisor(self.tuning_jobs, settings.max_tuning_jobs)
        self.evaluations = Evaluations(self.base_models, self.custom_models, settings, workers.evaluate)
        self.engines = Engines(self.base_models, self.custom_models, settings, workers.engine)
        self.tuning_jobs.recover()
        for kept in (artifacts, self.uploads, self.batches):
            kept.sweep()

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
        self._database.close()
