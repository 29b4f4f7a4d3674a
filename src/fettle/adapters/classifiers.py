"""Methods that tune a sentence encoder to classify; other methods make models that write."""

from typing import Any

from pydantic import Field

from fettle.adapters.foreign_methods import foreign_methods
from fettle.adapters.kinds.base import AdapterConfig
from fettle.adapters.methods import METHODS, Method
from fettle.errors import InvalidInput
from fettle.plugins import Table, by_name
from fettle.types.encoder import ENCODER_FAMILIES
from fettle.types.foreign import FOREIGN
from fettle.types.tuning import Hyperparameters

#: The linear layers of a BERT; `dense` is that behind the attention and both of the feed-forward.
ENCODER_LINEAR = ("query", "key", "value", "dense")


class ClassifierMethod(Method):
    """A way to make a classifier; a head is trained in every case."""

    objective: str = Field(default="classes", description="cross-entropy over the classes")
    is_head_only: bool = Field(default=False, description="nothing but the head is trained")

    @property
    def made(self) -> str:
        """What it makes, as it is recorded: an adapter kind, 'head', or 'full' for whole weights."""
        return self.kind or ("head" if self.is_head_only else "full")

    def completed(self, given: Hyperparameters) -> Hyperparameters:
        """The settings, with the method's own where none are given.

        Raises:
            InvalidInput: they say of layers or the base what this method has no use for.
        """
        faults = {}
        if given.quantization not in (None, "none"):
            faults["quantization"] = f"quantization={given.quantization}"
        if given.gradient_checkpointing:
            faults["gradient_checkpointing"] = "gradient_checkpointing"
        if self.is_head_only and (given.names_layers or given.unfreeze_per_epoch):
            faults["top_fraction"] = "a choice of layers"
        if faults:
            raise InvalidInput(
                f"method {self.name!r} on a sentence encoder has no use for {' and '.join(faults.values())}",
                hint="Leave it out.",
                param=next(iter(faults)),
            )
        return super().completed(given)

    def adapter_config(self, settings: dict[str, Any]) -> AdapterConfig | None:
        """As every method's; where no layers are named, all linear layers of a BERT are adapted."""
        return super().adapter_config({"target_modules": ENCODER_LINEAR} | settings if self.kind else settings)


_ALL = [
    ClassifierMethod(
        name="full", description="all weights of the encoder, and the head", kind=None, learning_rate=1e-4
    ),
    ClassifierMethod(
        name="last-layers",
        description="the top quarter of the layers, or more with every epoch (unfreeze_per_epoch), and the head",
        kind=None,
        top_fraction=0.25,
        learning_rate=2e-4,
    ),
    ClassifierMethod(
        name="lora", description="low-rank changes to all linear layers, and the head", kind="lora", learning_rate=1e-3
    ),
    ClassifierMethod(
        name="head", description="the head alone, on the vectors as they are", kind=None, is_head_only=True,
        learning_rate=2e-2,
    ),
]  # fmt: skip
CLASSIFIERS: Table[ClassifierMethod] = Table("method for sentence encoders", "classifiers", by_name(_ALL))


def methods_of(family: str) -> Table[Method] | Table[ClassifierMethod]:
    """The methods that fit base models of a family."""
    if family in FOREIGN:
        return foreign_methods(family)
    return CLASSIFIERS if family in ENCODER_FAMILIES else METHODS
