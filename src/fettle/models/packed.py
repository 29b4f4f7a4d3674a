"""Linear layers whose weights lie as the CPU's matrix product reads them; to serve, not to train.

A plain weight is laid out anew at every product, which costs most of it where few tokens are computed at once.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fettle.models.huge_pages import put_in_huge_pages

#: From one power of two to the next, the number of rows goes in eight steps.
_STEP_BITS = 3
_TYPES = (torch.float32, torch.bfloat16)


class PackedLinear(nn.Linear):
    """Computes what the layer that it is made of computes, to the bit in bf16; holds no second copy of its weight."""

    def __init__(self, linear: nn.Linear) -> None:
        # Not Linear's, which makes a weight.
        nn.Module.__init__(self)
        self.in_features, self.out_features, self.bias = linear.in_features, linear.out_features, linear.bias
        self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach())
        put_in_huge_pages(torch.ops.mkldnn.data_ptr(self._packed), torch.ops.mkldnn._nbytes(self._packed))

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """(out, in), unpacked: a new tensor each time."""
        dense: Tensor = self._packed.to_dense()
        return dense

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        rows = x.flatten(0, -2)
        fillers = num_computed(len(rows)) - len(rows)
        filled = F.pad(rows, (0, 0, 0, fillers)) if fillers else rows
        out: Tensor = torch.ops.mkldnn._linear_pointwise(filled, self._packed, self.bias, "none", [], "")
        return out[: len(rows)].view(*x.shape[:-1], self.out_features)


def num_computed(num_rows: int) -> int:
    """So many rows, or up to an eighth more.

    The library compiles a product anew for every number of rows, in a millisecond, and keeps half a megabyte of it:
    where all numbers occur, as in a server, that soon is a gigabyte.
    """
    step = 1 << max(0, (num_rows - 1).bit_length() - _STEP_BITS - 1)
    return -(-num_rows // step) * step


def is_packable(weight: Tensor) -> bool:
    """Whether such weights can be packed: on a CPU, in a type that it multiplies."""
    can = torch._C._has_mkldnn and weight.device.type == "cpu" and weight.dtype in _TYPES
    return can and (weight.dtype is torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported())
