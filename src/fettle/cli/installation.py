"""What the commands ask of an installation, whether it is opened in this process or is behind a server."""

from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Protocol

from fettle.types.access import AuditEvent, KeyChange, KeySpec, KeyTold, Project
from fettle.types.clusters import Cluster, ClusterReport, ClusterSpec, ShapeOffer
from fettle.types.data import DataReport
from fettle.types.encoding import Encoded, EncodeRequest
from fettle.types.endpoints import Endpoint, EndpointSpec, VersionLabel
from fettle.types.evaluation import EvaluationReport, ProgressEvent
from fettle.types.generation import GenerateChunk, GenerateRequest
from fettle.types.resources import JobState
from fettle.types.sweeps import SweepResult
from fettle.types.told import BaseModelTold, CustomModelTold, JobTold
from fettle.types.tuning import TuningEvent, TuningSpec

OnEvent = Callable[[TuningEvent], None]
OnJobEvent = Callable[[str, TuningEvent], None]


class Jobs(Protocol):
    """Tuning jobs."""

    def list(self) -> Sequence[JobTold]:
        """All of them, oldest first."""

    def get(self, job_id: str) -> JobTold:
        """One of them, or NotFound."""

    def create(
        self, spec: TuningSpec, train: Path, validation: Path | None, *, cluster: str | None, priority: int
    ) -> JobTold:
        """Check everything and record a job."""

    def run(self, job_id: str, on_event: OnEvent, *, is_begun: bool) -> CustomModelTold:
        """See a job to its end; the custom model that it made. One that was begun goes on from its checkpoint."""

    def follow(self, job_id: str, on_event: OnEvent) -> JobTold:
        """Everything that a job has told and tells until its end, whoever runs it; the job as it ended."""

    def stop(self, job_id: str, state: JobState) -> JobTold:
        """Have a job become paused or cancelled."""

    def metrics(self, job_id: str) -> str:
        """What a job has measured, as CSV."""

    def on_leaving(self, job_id: str) -> str:
        """What to say to somebody who does not wait for a job's end."""


class Sweeps(Protocol):
    """Tuning jobs that are trained together and compared."""

    def create(
        self,
        specs: Sequence[TuningSpec],
        train: Path,
        validation: Path | None,
        *,
        cluster: str | None,
        priority: int,
        keep_all: bool,
    ) -> str:
        """Check everything and record the jobs; the sweep's id."""

    def jobs_of(self, sweep_id: str) -> Sequence[JobTold]:
        """A sweep's jobs in their order, or NotFound."""

    def run(self, sweep_id: str, on_event: OnJobEvent, *, keep_all: bool, is_begun: bool) -> SweepResult:
        """See a sweep to its end; `on_event` is called with the id of a job and what it tells."""

    def on_leaving(self, sweep_id: str) -> str:
        """What to say to somebody who does not wait for a sweep's end."""


class Models(Protocol):
    """Base models and custom models."""

    def bases(self) -> Sequence[BaseModelTold]:
        """All base models."""

    def customs(self) -> Sequence[CustomModelTold]:
        """All active versions of all custom models, oldest first."""

    def get(self, name: str) -> CustomModelTold:
        """A version of a custom model, or NotFound."""

    def card(self, name: str) -> str:
        """Its model card, as Markdown."""

    def delete(self, name: str) -> CustomModelTold:
        """Delete one version."""

    def export(self, name: str, folder: Path, *, force: bool) -> None:
        """Write its files into a folder, which is new or empty unless `force` is said."""

    def label(self, name: str, word: str) -> VersionLabel:
        """Have a label mean a version."""


class Clusters(Protocol):
    """Units that are reserved."""

    def create(self, spec: ClusterSpec) -> Cluster:
        """Reserve units."""

    def list(self) -> Sequence[Cluster]:
        """All that are not deleted, oldest first."""

    def get(self, name: str) -> Cluster:
        """One of them by its id or name, or NotFound."""

    def report(self, cluster: Cluster) -> ClusterReport:
        """A cluster with what it holds and has cost."""

    def resize(self, name: str, units: int) -> Cluster:
        """Give a cluster another number of units."""

    def delete(self, name: str, *, cascade: bool) -> Cluster:
        """Give its units back."""

    def offers(self, base: str | None) -> Sequence[ShapeOffer]:
        """What a unit can be."""


class Endpoints(Protocol):
    """Names under which hosting clusters serve models."""

    def create(self, spec: EndpointSpec) -> Endpoint:
        """Serve a model under a name."""

    def list(self) -> Sequence[Endpoint]:
        """All that are not deleted, oldest first."""

    def get(self, name: str) -> Endpoint:
        """One of them by its id or name, or NotFound."""

    def activate(self, name: str) -> Endpoint:
        """Have it answer again."""

    def deactivate(self, name: str) -> Endpoint:
        """Have it refuse requests."""

    def delete(self, name: str) -> Endpoint:
        """Give it up."""


class Keys(Protocol):
    """API keys."""

    def create(self, spec: KeySpec) -> tuple[KeyTold, str]:
        """What is recorded of a new key, and the key itself."""

    def list(self, project: str | None = None) -> Sequence[KeyTold]:
        """The keys of a project or of all, oldest first."""

    def change(self, name: str, changes: KeyChange) -> KeyTold:
        """Give a key other limits; what is not named stays."""

    def revoke(self, name: str) -> KeyTold:
        """End a key, by its id or by how it begins."""


class Projects(Protocol):
    """Tenants."""

    def create(self, name: str, description: str) -> Project:
        """Begin a project."""

    def list(self) -> Sequence[Project]:
        """All projects, oldest first."""

    def get(self, name: str) -> Project:
        """One of them, or NotFound."""

    def delete(self, name: str) -> Project:
        """End a project in which nothing is at work."""


class Audit(Protocol):
    """Who has changed what."""

    def page(self, *, after: int = 0, limit: int, project_id: str | None = None) -> Sequence[AuditEvent]:
        """Some changes from after the one with id `after`, oldest first; none when there are no more."""

    def newest(self, *, limit: int, project_id: str | None = None) -> Sequence[AuditEvent]:
        """The last `limit` changes, oldest first."""


class Engines(Protocol):
    """What answers; belongs to one event loop."""

    def find(self, model: str) -> object:
        """Something, if there is a model of this name, else NotFound."""

    def generate(self, request: GenerateRequest) -> AsyncGenerator[GenerateChunk, None]:
        """The chunks of an answer as they are made; the last one has its finish reason and counts."""

    async def encode(self, request: EncodeRequest) -> Encoded:
        """Of which class texts are."""

    async def stop(self) -> None:
        """End what was started for this."""


class Evaluations(Protocol):
    """Measures models."""

    def run(
        self,
        model: str,
        file: Path,
        *,
        limit: int | None,
        max_tokens: int,
        metrics: Sequence[str],
        on_event: Callable[[ProgressEvent], None],
    ) -> EvaluationReport:
        """A model's scores on a file of examples."""


class Installation(Protocol):
    """All of it; there are two, `here.Here` and `remote.Remote`."""

    @property
    def jobs(self) -> Jobs:
        """Tuning jobs."""

    @property
    def sweeps(self) -> Sweeps:
        """Tuning jobs that are trained together and compared."""

    @property
    def models(self) -> Models:
        """Base models and custom models."""

    @property
    def clusters(self) -> Clusters:
        """Units that are reserved."""

    @property
    def endpoints(self) -> Endpoints:
        """Names under which hosting clusters serve models."""

    @property
    def keys(self) -> Keys:
        """API keys."""

    @property
    def projects(self) -> Projects:
        """Tenants."""

    @property
    def audit(self) -> Audit:
        """Who has changed what."""

    @property
    def engines(self) -> Engines:
        """What answers."""

    @property
    def evaluations(self) -> Evaluations:
        """Measures models."""

    def check_data(self, file: Path, validation: Path | None, base: str) -> DataReport:
        """What is in a file of examples, and what is wrong with it."""
