"""What a tuning job is asked to do, and what it says while it does it."""

import math
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, field_validator, model_validator

from fettle.errors import InvalidInput
from fettle.types.record import Record

_MAX_ROWS_PER_STEP = 4096
#: Two ways to say the same thing: not both at once.
_RIVALS = (
    ("learning_rate", "learning_rate_multiplier"),
    ("warmup_fraction", "warmup_steps"),
    ("evaluations_per_epoch", "evaluation_interval"),
    ("checkpoints_per_epoch", "checkpoint_interval"),
)


class EarlyStopping(Record):
    """Stop when validation loss no longer falls."""

    patience: int = Field(default=6, ge=0, le=1000, description="evaluations without improvement; 0 never stops early")
    threshold: float = Field(default=0.01, ge=0, description="smallest fall that counts, in nats per token")


class TFewLoss(Record):
    """How the losses of rows with several answers are weighed (method tfew)."""

    unlikelihood: float = Field(default=1.0, ge=0, le=100, description="weight of making wrong answers unlikely")
    length_normalized: float = Field(
        default=1.0, ge=0, le=100, description="weight of choosing the right answer by its mean log-probability"
    )
    numerics: Literal["paper", "repository"] = Field(
        default="paper", description="means by row, as in the paper, or over a step's tokens, as in its code"
    )


class PreferenceLoss(Record):
    """How preferences are learned (method dpo)."""

    beta: float = Field(default=0.1, gt=0, le=10, description="how sharply; lower lets the model move farther")


class Hyperparameters(Record):
    """The knobs of training; None takes the method's own default."""

    epochs: int = Field(default=4, ge=1, le=1000, description="passes over the training rows; hundreds want more")
    learning_rate: float | None = Field(default=None, gt=0, le=10, description="peak step size; default by method")
    learning_rate_multiplier: float | None = Field(
        default=None, gt=0, le=1000, description="peak step size in multiples of the method's, not beside learning_rate"
    )
    batch_size: int | Literal["auto"] = Field(
        default=8, description="rows per optimizer step, 1 to 4096; auto is 0.2 % of the rows, but 8 to 256"
    )
    schedule: Literal["linear", "cosine", "constant", "inverse_sqrt", "stable_then_decay"] = Field(
        default="linear", description="how the rate goes on after it has risen"
    )
    warmup_fraction: float | None = Field(
        default=None, ge=0, le=1, description="share of the steps in which the rate rises; None is 0.05"
    )
    warmup_steps: int | None = Field(
        default=None, ge=0, description="steps in which the rate rises, not beside warmup_fraction"
    )
    decay_fraction: float = Field(
        default=0.2, gt=0, le=1, description="share of the steps in which stable_then_decay falls"
    )
    min_rate_fraction: float = Field(default=0.0, ge=0, le=1, description="the rate falls to this share of its peak")
    weight_decay: float = Field(default=0.0, ge=0, le=1, description="decoupled decay per step, times the rate")
    max_gradient_norm: float = Field(default=1.0, gt=0, description="gradients are scaled down to this norm")
    early_stopping: EarlyStopping = EarlyStopping()
    log_interval: int = Field(default=10, ge=1, description="steps between logged losses; every step for the first 20")
    evaluations_per_epoch: int | None = Field(
        default=None, ge=1, le=100, description="validations in each epoch; None is 1"
    )
    evaluation_interval: int | None = Field(
        default=None, ge=1, description="steps between validations, not beside evaluations_per_epoch"
    )
    checkpoint_interval: int | None = Field(default=None, ge=1, description="steps between checkpoints; None is 100")
    checkpoints_per_epoch: int | None = Field(
        default=None, ge=1, le=100, description="checkpoints in each epoch, not beside checkpoint_interval"
    )
    validation_fraction: float = Field(
        default=0.05, ge=0, le=0.5, description="share of rows held out when no file is given"
    )
    max_validation_rows: int = Field(
        default=1000, ge=1, description="rows of the held-out part that are scored at most"
    )
    seed: int = Field(default=17, ge=0, le=2**32 - 1, description="of the split, the order, the dropout and the start")
    first_layer: int = Field(default=0, ge=0, description="lowest layer that is trained")
    last_layer: int | None = Field(default=None, ge=0, description="highest layer that is trained; None is the top one")
    top_fraction: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="share of the layers that are trained, from the top; not beside a range",
    )
    unfreeze_per_epoch: int = Field(
        default=0, ge=0, le=1000, description="layers below that are trained too, from each epoch but the first on"
    )
    max_tokens_per_batch: int = Field(
        default=8192,
        ge=16,
        description="tokens computed at once; larger batches are accumulated; halved when memory does not suffice",
    )
    gradient_checkpointing: bool = Field(
        default=False, description="layers are computed again instead of kept: less memory, about a third more time"
    )
    optimizer: Literal["adamw", "adafactor"] = Field(
        default="adamw", description="how gradients become steps; T-Few was published with adafactor at 0.003"
    )
    tfew: TFewLoss = TFewLoss()
    preference: PreferenceLoss = PreferenceLoss()
    quantization: Literal["none", "nf4", "int8"] | None = Field(
        default=None, description="how a frozen base is held while it is tuned; default by method"
    )
    trunk_cache_gib: float = Field(
        default=4.0,
        ge=0,
        le=4096,
        description="disk for what frozen lower layers make of rows, shared by all jobs; 0 computes it in every epoch",
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(default="auto", description="number type of the arithmetic")

    @field_validator("batch_size", mode="wrap")
    @classmethod
    def _is_number_or_auto(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        """One fault, where the union would tell one for each of its types."""
        try:
            chosen = handler(value)
        except ValidationError:
            chosen = 0
        if chosen != "auto" and not 1 <= chosen <= _MAX_ROWS_PER_STEP:
            raise ValueError(f"it should be 1 to {_MAX_ROWS_PER_STEP}, or 'auto'")
        return chosen

    @model_validator(mode="after")
    def _says_nothing_twice(self) -> Self:
        pairs = [pair for pair in _RIVALS if all(getattr(self, name) is not None for name in pair)]
        told = [f"{first} and {second} say the same thing: give one of the two" for first, second in pairs]
        if self.top_fraction is not None and (self.first_layer or self.last_layer is not None):
            told.append("top_fraction says which layers are trained: give it, or first_layer and last_layer")
        if told:
            raise ValueError("\n".join(told))
        return self

    def peak_rate(self, default: float) -> float:
        """The peak step size, for a method that has this default."""
        return self.learning_rate or default * (self.learning_rate_multiplier or 1)

    def rows_per_step(self, num_rows: int) -> int:
        """Rows of an optimizer step, when there are `num_rows` to train on."""
        return min(max(math.ceil(num_rows / 500), 8), 256) if self.batch_size == "auto" else self.batch_size

    def num_warmup_steps(self, total: int) -> float:
        """In how many of all steps the rate rises; part of a step, where a share is given."""
        if self.warmup_steps is not None:
            return self.warmup_steps
        return total * (0.05 if self.warmup_fraction is None else self.warmup_fraction)

    def layers(self, num_layers: int) -> range:
        """The layers that are trained in the first epoch, in a model that has this many.

        Raises:
            InvalidInput: the range is empty or leaves the model.
        """
        if self.top_fraction is not None:
            # 0.07 of 100 layers is 7.000000000000001 in floating point.
            return range(num_layers - math.ceil(round(self.top_fraction * num_layers, 9)), num_layers)
        last = num_layers - 1 if self.last_layer is None else self.last_layer
        if not self.first_layer <= last < num_layers:
            raise InvalidInput(
                f"layers {self.first_layer} to {last} are no range of this model",
                hint=f"It has layers 0 to {num_layers - 1}.",
                param="last_layer",
            )
        return range(self.first_layer, last + 1)

    def layers_in(self, epoch: int, num_layers: int) -> range:
        """The layers that are trained in an epoch, numbered from 0.

        Raises:
            InvalidInput: as for `layers`.
        """
        first = self.layers(num_layers)
        return range(max(first.start - epoch * self.unfreeze_per_epoch, 0), first.stop)

    @property
    def names_layers(self) -> bool:
        """Whether it is set which layers are trained."""
        return self.top_fraction is not None or self.last_layer is not None or self.first_layer > 0


class TuningSpec(Record):
    """Everything that is needed to repeat a tuning job."""

    base: str = Field(min_length=1, description="base model")
    method: str = Field(min_length=1, description="what is trained, with which loss")
    name: str = Field(
        min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="of the version set"
    )
    adapter: dict[str, Any] = Field(default_factory=dict, description="settings of the adapter kind, e.g. rank")
    hyperparameters: Hyperparameters = Hyperparameters()
    continues: str | None = Field(default=None, description="custom model that training goes on with; None begins anew")

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], *, base: str, method: str, name: str) -> Self:
        """A spec from one flat list of settings: names of hyperparameters are those, all others are the adapter's.

        A dot reaches inside: `early_stopping.patience`.

        Raises:
            InvalidInput: a value is out of bounds or of the wrong type; all of them are named.
        """
        known = {key: value for key, value in settings.items() if key.partition(".")[0] in Hyperparameters.model_fields}
        adapter = {key: value for key, value in settings.items() if key not in known}
        return cls.checked(
            {"base": base, "method": method, "name": name, "adapter": adapter, "hyperparameters": _nested(known)}
        )


class TuningPlan(Record):
    """A spec with every name resolved to a path: all that the tuner needs, and no more."""

    spec: TuningSpec
    base_path: str
    train_path: str
    validation_path: str | None = None
    work_path: str
    output_path: str
    continues_path: str | None = Field(default=None, description="folder of the adapter that training begins with")
    cache_path: str | None = Field(default=None, description="folder that jobs share; None keeps nothing for others")
    threads: int = 2
    num_processes: int = Field(default=1, ge=1, description="that share each step's rows, and the threads")
    strategy: Literal["ddp", "zero2", "fsdp"] = Field(
        default="ddp", description="what each process has of weights that are trained, as in the settings"
    )


class Metrics(Record):
    """Loss (nats per scored token) and token accuracy (0..1) on one set of rows."""

    loss: float
    token_accuracy: float
    num_tokens: int
    choice_accuracy: float | None = Field(
        default=None, description="share of rows with several answers or classes of which the right one is likeliest"
    )


class StepEvent(Record):
    """A training step's measurements; loss and accuracy are of this step's rows."""

    type: Literal["step"] = "step"
    step: int
    total_steps: int
    epoch: float
    loss: float
    token_accuracy: float
    learning_rate: float
    gradient_norm: float
    tokens_per_second: float
    seconds_left: float
    memory_bytes: int = Field(default=0, description="most that the process has held in memory so far; 0 is unknown")


class EvaluationEvent(Record):
    """A validation's measurements, beside those of the training rows since the last one."""

    type: Literal["evaluation"] = "evaluation"
    step: int
    epoch: float
    train: Metrics
    validation: Metrics
    is_best: bool


class MessageEvent(Record):
    """A sentence for the user."""

    type: Literal["message"] = "message"
    level: Literal["info", "warning", "error"] = "info"
    text: str
    code: str = ""


TuningEvent = StepEvent | EvaluationEvent | MessageEvent


class TuningResult(Record):
    """How a tuning run ended."""

    steps: int
    epochs: float
    stopped_early: bool
    best_step: int
    train: Metrics
    validation: Metrics | None
    trained_parameters: int
    total_parameters: int
    trained_tokens: int
    seconds: float


def _nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in settings.items():
        outer, dot, inner = key.partition(".")
        before = nested.get(outer)
        nested[outer] = {**(before if isinstance(before, dict) else {}), inner: value} if dot else value
    return nested
