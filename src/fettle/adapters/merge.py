"""Fold an adapter into the weights, for export and for a model that has a machine to itself."""

import torch
from torch import nn

from fettle.adapters.adapter import Adapter
from fettle.errors import InvalidInput


@torch.no_grad()
def merge_into(model: nn.Module, adapter: Adapter) -> None:
    """Change the plain linear layers of `model` (no `inject` before) so that it computes what base + adapter does.

    Raises:
        InvalidInput: no weights could do the same.
    """
    if adapter.virtual:
        raise InvalidInput(
            f"a {adapter.kind} adapter cannot be merged into weights: it is {adapter.num_virtual_tokens} positions "
            "before every sequence",
            hint="Serve it beside its base model, or tune with method lora, which can be merged.",
        )
    for name, params in adapter.sites.items():
        linear = model.get_submodule(name)
        assert isinstance(linear, nn.Linear)
        weight, bias = adapter.maths.merge(linear.weight, linear.bias, params, adapter.config)
        linear.weight.copy_(weight)
        if bias is not None:
            linear.bias.copy_(bias)
