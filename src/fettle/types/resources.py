"""The nouns that are stored: base models, files, uploads, jobs, batches, custom models."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from fettle.types.access import DEFAULT_PROJECT
from fettle.types.record import Record
from fettle.types.tuning import TuningResult, TuningSpec

JobState = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
ModelState = Literal["creating", "active", "failed", "deleted"]
PromptFormat = Literal["chat", "prompt"]
UploadState = Literal["pending", "completed", "cancelled", "expired"]
BatchState = Literal[
    "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
]
GivenPurpose = Literal["fine-tune", "batch"]
"""What files are for that clients bring."""
FilePurpose = Literal[GivenPurpose, "fine-tune-results", "batch_output", "evaluation-results"]
MAX_PRIORITY = 100
"""Of a tuning job; the lowest one is as far below zero."""


class BaseModelEntry(Record):
    """A model that can be tuned and served: where it is and what is known of it."""

    name: str
    path: str
    source: Literal["packaged", "folder", "hub"]
    family: str
    parameters: int
    context: int
    licence: str
    size_bytes: int
    methods: tuple[str, ...]


class StoredFile(Record):
    """A file that was uploaded, or that a job has left to be downloaded."""

    id: str
    project_id: str = DEFAULT_PROJECT
    filename: str = Field(min_length=1, max_length=255, description="as it was told; nothing on the disk is called so")
    purpose: FilePurpose
    artifact: str = Field(description="content hash of the folder in the artifact store")
    size_bytes: int
    created_at: datetime


class Upload(Record):
    """A file that comes in parts; it is a file once it is completed."""

    id: str
    project_id: str = DEFAULT_PROJECT
    state: UploadState = "pending"
    filename: str = Field(min_length=1, max_length=255)
    purpose: GivenPurpose
    size_bytes: int = Field(description="of the whole file, as promised")
    file: str | None = Field(default=None, description="id of the file that was made of it")
    created_at: datetime
    expires_at: datetime


class BatchFault(Record):
    """Why a batch cannot be run."""

    code: str
    message: str
    line: int | None = Field(default=None, description="of the input file, from 1; None: the file as a whole")
    param: str | None = None


class Batch(Record):
    """Many requests in one file, answered when there is room for them."""

    id: str
    project_id: str = DEFAULT_PROJECT
    state: BatchState = "validating"
    endpoint: str
    input_file: str = Field(description="id of the file with the requests")
    metadata: dict[str, str] = Field(default_factory=dict, description="the client's own labels")
    key_id: str = Field(default="", description="of whom the tokens of its answers are counted")
    model: str | None = Field(default=None, description="the model that all requests name; None: several, or not known")
    num_requests: int = 0
    num_completed: int = 0
    num_failed: int = 0
    faults: tuple[BatchFault, ...] = ()
    output_file: str | None = Field(default=None, description="id of the file with the answers")
    error_file: str | None = Field(default=None, description="id of the file with what could not be answered")
    created_at: datetime
    expires_at: datetime
    moved_at: dict[BatchState, datetime] = Field(default_factory=dict, description="when it came into each state")


class Order(Record):
    """What was said of a job, beside its spec, when it was ordered over HTTP."""

    train_file: str | None = Field(default=None, description="id of the uploaded file")
    validation_file: str | None = None
    suffix: str | None = None
    alias: str | None = Field(default=None, description="another name for the custom model; no other has it")
    method: dict[str, Any] = Field(default_factory=dict, description="as it was asked for")
    metadata: dict[str, str] = Field(default_factory=dict, description="the client's own labels")


class TuningJob(Record):
    """A tuning run: its spec, state and how it ended."""

    id: str
    project_id: str = DEFAULT_PROJECT
    spec: TuningSpec
    state: JobState = "queued"
    dataset_hash: str
    train_path: str
    validation_path: str | None = None
    created_at: datetime
    pid: int | None = None
    error: str = ""
    result: TuningResult | None = None
    results_file: str | None = Field(default=None, description="id of the table of its steps")
    model_id: str | None = None
    order: Order = Order()
    priority: int = Field(default=0, description="of those that wait, the highest is run first")
    sweep: str | None = Field(default=None, description="id that the jobs of one sweep share")
    keeps_all: bool = Field(default=False, description="whether all runs of its sweep become custom models")
    cluster_id: str | None = Field(default=None, description="of the fine-tuning cluster that it runs on, if one")
    is_supervised: bool = Field(default=False, description="the server runs it; else whoever made it does")
    wanted: JobState | None = Field(default=None, description="what it becomes when its worker ends before its work")
    finished_at: datetime | None = None


class CustomModel(Record):
    """A version of a custom model: name `<set>` (newest) or `<set>:<version>`."""

    id: str
    project_id: str = DEFAULT_PROJECT
    name: str = Field(description="of the version set")
    version: int = Field(ge=1)
    state: ModelState = "creating"
    base: str
    method: str
    kind: str = Field(description="adapter kind, 'full' for whole weights, or 'head' for nothing but a head")
    prompt_format: PromptFormat = "prompt"
    job_id: str
    dataset_hash: str
    artifact: str = Field(description="content hash of the folder in the artifact store")
    size_bytes: int
    alias: str | None = Field(default=None, description="another name of this version, which no other has")
    metrics: dict[str, Any] = Field(default_factory=dict)
    labels: tuple[str, ...] = Field(default=(), description="classes that it tells apart, if it is a classifier")
    created_at: datetime

    @property
    def full_name(self) -> str:
        """The name that means this version for ever, e.g. 'tickets:2'."""
        return f"{self.name}:{self.version}"
