"""Tuning methods: what is trained, and with which defaults; known to the control plane, carried out by `tuning`."""

from typing import Any, Literal

from pydantic import Field

from fettle.adapters.kinds import KINDS
from fettle.adapters.kinds.base import AdapterConfig
from fettle.adapters.kinds.virtual import VirtualConfig, VirtualKind
from fettle.errors import InvalidInput
from fettle.plugins import Table, by_name
from fettle.types.record import Record
from fettle.types.tuning import Hyperparameters

_LAYERS = ("first_layer", "last_layer", "top_fraction", "unfreeze_per_epoch")


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
        """The settings, with the method's own where none are given.

        Raises:
            InvalidInput: they choose layers, and the method acts on all at once.
        """
        self._check_layers(given)
        own = {
            "learning_rate": given.peak_rate(self.learning_rate),
            "learning_rate_multiplier": None,
            "quantization": given.quantization or self.quantization,
        }
        if self.top_fraction is not None and not given.names_layers:
            own["top_fraction"] = self.top_fraction
        return given.model_copy(update=own)

    def _check_layers(self, given: Hyperparameters) -> None:
        fields = Hyperparameters.model_fields
        chosen = {name: value for name in _LAYERS if (value := getattr(given, name)) != fields[name].default}
        if chosen and self.kind is not None and isinstance(KINDS[self.kind], VirtualKind):
            told = ", ".join(f"{name}={value}" for name, value in chosen.items())
            raise InvalidInput(
                f"method {self.name!r} acts on all layers at once, but got {told}",
                hint="Leave the choice of layers out, or tune with method lora.",
                param=next(iter(chosen)),
            )

    def room(self, settings: dict[str, Any], context: int) -> int:
        """Tokens that a row may have in a context of so many positions, with these settings of the adapter.

        Raises:
            InvalidInput: as for `adapter_config`, or virtual tokens leave no room.
        """
        config = self.adapter_config(settings)
        taken = config.num_virtual_tokens if isinstance(config, VirtualConfig) else 0
        if taken >= context:
            raise InvalidInput(
                f"num_virtual_tokens is {taken}, which leaves no room in the context of {context} tokens",
                hint="A few tens are usual.",
                param="num_virtual_tokens",
            )
        return context - taken

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
        learning_rate=2e-3,
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
        learning_rate=6e-2,
    ),
    Method(
        name="prompt",
        description="prompt tuning: learned embeddings (num_virtual_tokens) before every sequence",
        kind="prompt",
        learning_rate=6e-2,
    ),
    Method(
        name="prefix",
        description="prefix tuning: learned keys and values of every layer (num_virtual_tokens) before every sequence",
        kind="prefix",
        learning_rate=2e-2,
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
