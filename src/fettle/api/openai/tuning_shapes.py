"""What OpenAI's clients send to tune a model; its method may also be one of ours, with all our settings."""

import re
from typing import Annotated, Any, Self

from pydantic import AfterValidator, ConfigDict, Field, field_validator, model_validator

from fettle.types.record import Record
from fettle.types.tuning import TuningSpec

#: OpenAI's methods that ours carry out under another name.
OWN_METHODS = {"supervised": "lora"}
#: OpenAI's hyperparameters that are called otherwise here; all others are ours.
OWN_NAMES = {"n_epochs": "epochs", "beta": "preference.beta"}
AUTO = "auto"
MAX_LABELS = 16


def _short(labels: dict[str, str]) -> dict[str, str]:
    if len(labels) > MAX_LABELS or any(len(name) > 64 or len(text) > 512 for name, text in labels.items()):
        raise ValueError(f"at most {MAX_LABELS} labels of 64 characters, each with a text of 512 at most")
    return labels


Labels = Annotated[dict[str, str], AfterValidator(_short)]


class MethodSettings(Record):
    """What a method is told."""

    hyperparameters: dict[str, Any] = Field(default_factory=dict)


class Method(Record):
    """`{"type": T, T: {"hyperparameters": {...}}}`."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, MethodSettings]
    type: str = Field(min_length=1)

    @model_validator(mode="after")
    def _has_only_its_own(self) -> Self:
        others = sorted(self.__pydantic_extra__.keys() - {self.type})
        if others:
            raise ValueError(f"of type {self.type!r}, and yet it has settings of {', '.join(others)}")
        return self

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Those of the method that is meant."""
        settings = self.__pydantic_extra__.get(self.type)
        return settings.hyperparameters if settings else {}


class JobRequest(Record):
    """A tuning job that is ordered; None means not given."""

    model: str = Field(min_length=1, max_length=512)
    training_file: str = Field(min_length=1)
    validation_file: str | None = None
    suffix: str | None = Field(default=None, min_length=1, max_length=64)
    seed: int | None = None
    method: Method | None = None
    hyperparameters: dict[str, Any] | None = Field(default=None, description="the older form of method `supervised`")
    metadata: Labels | None = None
    integrations: Any = None

    @field_validator("integrations")
    @classmethod
    def _are_none(cls, value: Any) -> Any:
        if value:
            raise ValueError("this server reports to no other; leave it out")
        return value

    @model_validator(mode="after")
    def _says_it_once(self) -> Self:
        if self.method and self.hyperparameters:
            raise ValueError("'hyperparameters' is the older form of 'method': give one of the two")
        return self

    @property
    def method_asked(self) -> dict[str, Any]:
        """The method in the newer form."""
        if self.method:
            return self.method.model_dump(mode="json")
        return {"type": "supervised", "supervised": {"hyperparameters": self.hyperparameters or {}}}

    @property
    def label(self) -> str:
        """The suffix, as far as a name can hold it; "" without one."""
        return _nameable(self.suffix or "")

    def spec(self) -> TuningSpec:
        """What is to be done.

        Raises:
            InvalidInput: a value is out of bounds or of the wrong type; all of them are named.
            NotFound: there is no such method.
        """
        chosen = self.method_asked
        method = OWN_METHODS.get(chosen["type"], chosen["type"])
        asked = chosen.get(chosen["type"], {}).get("hyperparameters", {})
        settings = {OWN_NAMES.get(name, name): value for name, value in asked.items() if not _is_left_open(name, value)}
        if self.seed is not None:
            settings["seed"] = self.seed
        name = self.label or f"{_nameable(self.model.rpartition('/')[2])[:57]}-tuned"
        return TuningSpec.from_settings(settings, base=self.model, method=method, name=name)


def _nameable(text: str) -> str:
    """What a name can hold of a text."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")


def _is_left_open(name: str, value: Any) -> bool:
    """Whether the default is wanted; a batch size of "auto" goes by the number of rows."""
    return value is None or (value == AUTO and name != "batch_size")
