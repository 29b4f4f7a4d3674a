"""What clients are told of models and jobs, over HTTP and at the command line: nothing of where their files are."""

from datetime import datetime
from typing import Any, Self

from pydantic import Field

from fettle.types.record import Record
from fettle.types.resources import BaseModelEntry, CustomModel, JobState, ModelState, PromptFormat, TuningJob
from fettle.types.sweeps import SweepResult
from fettle.types.tuning import TuningResult, TuningSpec


class BaseModelTold(Record):
    """A model that can be tuned and served."""

    name: str
    source: str
    family: str
    parameters: int
    context: int
    licence: str
    size_bytes: int
    methods: list[str]

    @classmethod
    def of(cls, entry: BaseModelEntry) -> Self:
        """What is told of a catalogue entry."""
        return cls.model_validate({name: getattr(entry, name) for name in cls.model_fields})


class CustomModelTold(Record):
    """A version of a custom model."""

    id: str
    project_id: str
    name: str = Field(description="of the version set")
    version: int
    state: ModelState
    base: str
    method: str
    kind: str
    prompt_format: PromptFormat
    job_id: str
    size_bytes: int
    alias: str | None
    metrics: dict[str, Any]
    labels: list[str] = Field(description="classes that it tells apart, if it is a classifier")
    created_at: datetime

    @classmethod
    def of(cls, model: CustomModel) -> Self:
        """What is told of a registered version."""
        return cls.model_validate({name: getattr(model, name) for name in cls.model_fields})

    @property
    def full_name(self) -> str:
        """The name that means this version for ever, e.g. 'tickets:2'."""
        return f"{self.name}:{self.version}"


class JobTold(Record):
    """A tuning job."""

    id: str
    project_id: str
    state: JobState
    spec: TuningSpec
    priority: int
    cluster_id: str | None = Field(description="of the fine-tuning cluster that it runs on, if one")
    sweep: str | None = Field(description="id that the jobs of one sweep share")
    train_file: str | None
    validation_file: str | None
    metadata: dict[str, str]
    error: str
    result: TuningResult | None
    model: str | None = Field(description="the version that it has made")
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, job: TuningJob, model: CustomModel | None) -> Self:
        """What is told of a job, and of the version that it has made."""
        about = {name: getattr(job, name) for name in cls.model_fields if name in TuningJob.model_fields}
        order = {name: getattr(job.order, name) for name in ("train_file", "validation_file", "metadata")}
        return cls(**about, **order, model=model and model.full_name)


class JobEvent(Record):
    """Something that a job has told."""

    id: str = Field(description="rises from event to event")
    type: str
    at: datetime
    body: dict[str, Any]


class SweepTold(Record):
    """A sweep: its jobs, in the order of its grid, and what came of them so far."""

    id: str
    jobs: list[JobTold]
    result: SweepResult
