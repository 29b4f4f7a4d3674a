"""What an evaluation is asked to do, and the scores that it gives back."""

from typing import Literal

from pydantic import Field

from fettle.types.engine import Weights
from fettle.types.record import Record


class EvaluationPlan(Record):
    """Everything resolved to a path: which model answers which rows, and where the answers go."""

    base_path: str
    adapter_path: str | None = Field(default=None, description="None evaluates the base (or a full model) itself")
    rows_path: str
    output_path: str = Field(description="folder; afterwards holds predictions.jsonl and report.json")
    metrics: tuple[str, ...] = Field(default=(), description="names of metrics; none means all that fit the rows")
    limit: int | None = Field(default=None, ge=1, description="rows to evaluate at most, from the top of the file")
    max_tokens: int = Field(default=256, ge=1, description="tokens of an answer at most")
    seed: int = Field(default=17, ge=0, description="of the confidence intervals")
    threads: int = Field(default=2, ge=1)
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    weights: Weights = "dtype"


class ProgressEvent(Record):
    """How far an evaluation is."""

    type: Literal["progress"] = "progress"
    done: int
    total: int
    tokens_per_second: float


class MetricScore(Record):
    """A metric's value over the rows, and the interval in which it lies with 95 % confidence."""

    mean: float
    low: float
    high: float
    count: int = Field(description="rows that it could be computed on")


class EvaluationReport(Record):
    """What a model scored on a file of rows."""

    rows: int
    scores: dict[str, MetricScore]
    prompt_tokens: int
    completion_tokens: int
    truncated: int = Field(description="answers that were cut off at max_tokens")
    seconds: float = Field(description="of generation, without loading")
    tokens_per_second: float = Field(description="completion tokens per second, all rows together")
    predictions_path: str
    confusion: dict[str, dict[str, int]] = Field(
        default_factory=dict, description="of a classifier: for each expected label, how often each label was given"
    )
