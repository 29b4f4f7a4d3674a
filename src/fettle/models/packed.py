"""Linear layers whose weights lie as the CPU's matrix product reads them; to serve, not to train.

A plain weight is laid out anew at every product, which costs most of it where few tokens are computed at once.
"""

from typing import TypeVar

import torch
from torch import Tensor, nn

_TYPES = (torch.float32, torch.bfloat16)


class PackedLinear(nn.Linear):
    """Computes what the layer that it is made of computes, to the bit in bf16; holds no second copy of its weight."""

    def __init__(self, linear: nn.Linear) -> None:
        # Not Linear's, which makes a weight.
        nn.Module.__init__(self)
        self.in_features, self.out_features, self.bias = linear.in_features, linear.out_features, linear.bias
        self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach())

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """(out, in), unpacked: a new tensor each time."""
        dense: Tensor = self._packed.to_dense()
        return dense

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._packed, self.bias, "none", [], "")
        return out


M = TypeVar("M", bound=nn.Module)


def packed(model: M) -> M:
    """The model with every plain linear layer packed; one on another device or of another type stays as it is."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear and _is_packable(child.weight):
                setattr(parent, name, PackedLinear(child))
    return model


def _is_packable(weight: Tensor) -> bool:
    can = torch._C._has_mkldnn and weight.device.type == "cpu" and weight.dtype in _TYPES
    return can and (weight.dtype is torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported())
