"""Tuning methods on families that run through `transformers`: the same, on the linear layers that a family has."""

from functools import cache
from typing import Any

from fettle.adapters.kinds.base import AdapterConfig
from fettle.adapters.methods import METHODS, Method
from fettle.plugins import Table, by_name
from fettle.types.foreign import FOREIGN, Foreign


class ForeignMethod(Method):
    """A method whose adapter is at a family's own linear layers, where none are named."""

    family: str

    def adapter_config(self, settings: dict[str, Any]) -> AdapterConfig | None:
        """As every method's."""
        own = TARGETS.get(self.kind or "", _no_targets)(FOREIGN[self.family], settings)
        return super().adapter_config(own | settings)


@cache
def foreign_methods(family: str) -> Table[Method]:
    """The methods for a family in `FOREIGN`."""
    methods: list[Method] = [ForeignMethod(**method.model_dump(), family=family) for method in METHODS.values()]
    return Table("method", "methods", by_name(methods))


def _all_linear(family: Foreign, _: dict[str, Any]) -> dict[str, Any]:
    return {"target_modules": family.linear}


def _vectors(family: Foreign, settings: dict[str, Any]) -> dict[str, Any]:
    targets = settings.get("target_modules", family.ia3)
    return {"target_modules": targets, "feedforward_modules": tuple(leaf for leaf in family.inputs if leaf in targets)}


def _behind(family: Foreign, _: dict[str, Any]) -> dict[str, Any]:
    return {"target_modules": family.behind}


def _no_targets(*_: object) -> dict[str, Any]:
    return {}


#: By kind, which layers of a family it is at; kinds of virtual tokens are at none.
TARGETS = {"lora": _all_linear, "ia3": _vectors, "bottleneck": _behind}
