"""Tuning methods: what is trained, and with which defaults; known to the control plane, carried out by `tuning`."""

from typing import Any, Literal

from pydantic import Field

from fettle.adapters.kinds import KINDS
from fettle.adapters.kinds.base import AdapterConfig
from fettle.errors import InvalidInput
from fettle.plugins import Table, by_name
from fettle.types.record import Record
from fettle.types.tuning import Hyperparameters


class Method(Record):
    """A way to make a model custom."""

    name: str
    description: str
    kind: str | None = Field(description="adapter kind that is trained; None trains all weights")
    objective: str = Field(default="next_token", description="what is to become small; listed in tuning.objectives")
    quantization: Literal["none", "nf4", "int8"] = Field(default="none", description="how the frozen base is held")
    top_fraction: float | None = Field(default=None, description="layers that are trained, where none are named")
    learning_rate: float = Field(gt=0, description="default; benchmarks/defaults says which were swept")

    def completed(self, given: Hyperparameters) -> Hyperparameters:
        """The settings, with the method's own where none are given."""
        own = {
            "learning_rate": given.peak_rate(self.learning_rate),
            "learning_rate_multiplier": None,
            "quantization": given.quantization or self.quantization,
        }
        if self.top_fraction is not None and not given.names_layers:
            own["top_fraction"] = self.top_fraction
        return given.model_copy(update=own)

    def adapter_config(self, settings: dict[str, Any]) -> AdapterConfig | None:
        """The kind's settings from untrusted values; None for a method without an adapter.

        Raises:
            InvalidInput: a setting is unknown or out of bounds; all of them are named.
        """
        if self.kind is not None:
            config: AdapterConfig = KINDS[self.kind].config.checked(settings)
            return config
        if settings:
            raise InvalidInput(f"method {self.name!r} has no adapter settings, but got {', '.join(sorted(settings))}")
        return None


_ALL = [
    Method(name="full", description="all weights (vanilla fine-tuning)", kind=None, learning_rate=1e-3),
    Method(
        name="last-layers",
        description="the weights of the top quarter of the layers, or more with every epoch (unfreeze_per_epoch)",
        kind=None,
        top_fraction=0.25,
        learning_rate=1e-3,
    ),
    Method(
        name="lora",
        description="low-rank changes to all linear layers; with dora=true DoRA, with rank_stabilized=true rsLoRA",
        kind="lora",
        learning_rate=4e-3,
    ),
    Method(
        name="adapter",
        description="bottleneck adapters: a narrow layer behind attention and MLP",
        kind="bottleneck",
        learning_rate=1e-3,
    ),
    Method(
        name="qlora",
        description="LoRA on a base that is held in 4 bits (or 8, with quantization=int8)",
        kind="lora",
        quantization="nf4",
        learning_rate=4e-3,
    ),
    Method(
        name="tfew",
        description="IA3 vectors on keys, values and the MLP, with T-Few's losses where rows have choices",
        kind="ia3",
        objective="tfew",
        learning_rate=3e-2,
    ),
    Method(
        name="dpo",
        description="LoRA that learns to prefer one answer to another",
        kind="lora",
        objective="preference",
        learning_rate=4e-4,
    ),
]
METHODS: Table[Method] = Table("method", "methods", by_name(_ALL))
