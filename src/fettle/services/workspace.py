"""`Workspace`: the services of one project, which see its rows only."""

from functools import cached_property

from fettle.registry.base_models import BaseModels as BaseModelRegistry
from fettle.registry.custom_models import CustomModels as CustomModelRegistry
from fettle.services.base_models import BaseModels
from fettle.services.batches import Batches
from fettle.services.clusters import Clusters
from fettle.services.custom_models import CustomModels
from fettle.services.endpoints import Endpoints
from fettle.services.engine_keeper import EngineKeeper
from fettle.services.engines import Engines
from fettle.services.evaluations import Evaluations
from fettle.services.files import Files
from fettle.services.inventory import this_machine
from fettle.services.kept_answers import KeptAnswers
from fettle.services.responses import Responses
from fettle.services.supervisor import Supervisor
from fettle.services.sweeps import Sweeps
from fettle.services.tuning_jobs import TuningJobs
from fettle.services.uploads import Uploads
from fettle.services.version_labels import VersionLabels
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


class Shared:
    """What the projects of an installation have in common: the store, base models, engines, and who runs the jobs."""

    def __init__(self, settings: Settings, workers: WorkerModules, database: Database) -> None:
        """What is shared in `settings.home`, on `database`."""
        self.settings, self.workers = settings, workers
        self.repository, self.events = Repository(database), EventLog(database)
        self.artifacts = ArtifactStore(settings.home / "artifacts", self.repository, settings.artifacts_url)
        self.base_models = BaseModelRegistry(self.repository)

    @cached_property
    def everywhere(self) -> "Workspace":
        """The services that see all projects: for what goes on behind them, and for no client."""
        return Workspace(self, None)

    @cached_property
    def engines(self) -> Engines:
        """The engines, which answer for all projects."""
        every = self.everywhere
        return Engines(every.base_models, every.custom_models, every.endpoints, self.settings, self.workers.engine)

    @cached_property
    def engine_keeper(self) -> EngineKeeper:
        """What has the engines follow the store."""
        every = self.everywhere
        return EngineKeeper(self.engines, every.endpoints, every.base_models, every.custom_models)

    @cached_property
    def supervisor(self) -> Supervisor:
        """What runs the jobs of all projects."""
        return Supervisor(self.everywhere.tuning_jobs, self.everywhere.sweeps, self.settings.max_tuning_jobs)


class Workspace:
    """A project's files, models, jobs, evaluations and answers."""

    def __init__(self, shared: Shared, project: str | None) -> None:
        """The services of `project`; None: of all projects."""
        self._shared, self.project, self.settings, home = shared, project, shared.settings, shared.settings.home
        repository, artifacts, self.events = shared.repository.of(project), shared.artifacts, shared.events
        bases, customs = shared.base_models, CustomModelRegistry(repository, artifacts)
        self.files = Files(repository, artifacts)
        self.uploads = Uploads(repository, self.files, home / "uploads")
        self.batches = Batches(repository, self.files, home / "batches")
        self.responses = Responses(repository)
        self.base_models = BaseModels(bases, customs, self.events, home)
        self.custom_models = CustomModels(customs, bases, repository, self.events, home)
        self.clusters = Clusters(repository, bases, self.events, this_machine())
        self.endpoints = Endpoints(repository, self.base_models, self.custom_models)
        self.version_labels = VersionLabels(repository, self.custom_models)
        self.kept_answers = KeptAnswers(repository)
        parts = repository, artifacts, self.events, bases, self.custom_models, self.files, self.settings
        self.tuning_jobs = TuningJobs(*parts, shared.workers.tune)
        self.sweeps = Sweeps(*parts, shared.workers.sweep)
        self.evaluations = Evaluations(self.base_models, self.custom_models, self.settings, shared.workers.evaluate)

    @cached_property
    def engines(self) -> Engines:
        """What answers, for this project's models."""
        return self._shared.engines.of(self.custom_models, self.endpoints)

    @property
    def engine_keeper(self) -> EngineKeeper:
        """What has the engines follow the store."""
        return self._shared.engine_keeper

    @property
    def supervisor(self) -> Supervisor:
        """What runs the jobs of all projects."""
        return self._shared.supervisor
