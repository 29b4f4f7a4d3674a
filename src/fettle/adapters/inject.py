"""Put `AdaptedLinear` in the place of linear layers, found by name in any module tree."""

import re
from collections.abc import Callable, Iterable

from torch import Tensor, nn

from fettle.adapters.bank import AdapterBank
from fettle.adapters.kinds.base import Site
from fettle.adapters.linear import AdaptedLinear
from fettle.errors import InvalidInput
from fettle.models.foreign import ForeignDecoder

_LAYER = re.compile(r"\.(?P<list>layers|h|layer|blocks)\.(?P<number>\d+)\.")


def layer_number(name: str) -> int | None:
    """The layer that a module belongs to by its name, e.g. 3 for 'model.layers.3.mlp.up_proj'."""
    found = _LAYER.search(f".{name}")
    return int(found["number"]) if found else None


def layer_list(name: str) -> str | None:
    """What the list of layers is called that a module is in by its name, e.g. 'layers'."""
    found = _LAYER.search(f".{name}")
    return found["list"] if found else None


def inject(model: nn.Module, bank: AdapterBank) -> list[Site]:
    """Make every linear layer inside the model's layers adaptable; returns them. What it computes stays the same."""
    linears = [
        (name, m) for name, m in model.named_modules() if isinstance(m, nn.Linear) and layer_number(name) is not None
    ]
    for name, linear in linears:
        parent, _, leaf = name.rpartition(".")
        made = (InBatch if isinstance(model, ForeignDecoder) else AdaptedLinear)(linear, bank, name)
        setattr(model.get_submodule(parent), leaf, made)
    return sites_of(model)


class InBatch(AdaptedLinear):
    """An adapted layer in a model that has a batch dimension; the tokens are still one row."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out), every token by its slot."""
        return super().forward(x.flatten(0, -2)).view(*x.shape[:-1], -1)


def sites_of(model: nn.Module) -> list[Site]:
    """The adaptable sites of a model that `inject` has been called on."""
    return [module.site for module in model.modules() if isinstance(module, AdaptedLinear)]


def choose(
    sites: Iterable[Site], targets: Iterable[str], in_range: Callable[[int], bool] = lambda _: True
) -> list[Site]:
    """The sites whose last name is in `targets`, in the layers that `in_range` accepts.

    Raises:
        InvalidInput: a target names no linear layer of the model, or nothing is left.
    """
    known = list(sites)
    leaves = {site.leaf for site in known}
    wanted = set(targets)
    if strays := sorted(wanted - leaves):
        raise InvalidInput(
            f"target_modules {strays} are not in this model",
            hint=f"It has: {', '.join(sorted(leaves))}.",
            param="target_modules",
        )
    chosen = [site for site in known if site.leaf in wanted and in_range(layer_number(site.name) or 0)]
    if not chosen:
        raise InvalidInput("no layer is left to train", hint="Widen first_layer and last_layer.", param="first_layer")
    return chosen
