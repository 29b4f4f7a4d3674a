"""Linear layers whose weights lie as the CPU's matrix product reads them; to serve, not to train.

A plain weight is laid out anew at every product, which costs most of it where few tokens are computed at once.
"""

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


def is_packable(weight: Tensor) -> bool:
    """Whether such weights can be packed: on a CPU, in a type that it multiplies."""
    can = torch._C._has_mkldnn and weight.device.type == "cpu" and weight.dtype in _TYPES
    return can and (weight.dtype is torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported())
