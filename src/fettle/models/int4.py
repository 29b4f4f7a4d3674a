"""Linear layers with weights of 4 bits, for models that memory would not hold otherwise; to serve, not to train.

Every 32 weights of a row have a scale and a middle of their own (round to nearest, asymmetric), and are multiplied in
the arithmetic's own number type. Source: Dettmers and Zettlemoyer, arXiv 2212.09720, sections 2 and 5 (block-wise).
"""

import torch
from torch import Tensor, nn

GROUP = 32
_MIDDLE, _LARGEST = 8, 15
#: The product takes as many rows of a weight at once.
_ROWS = 16


class Int4Linear(nn.Linear):
    """Computes nearly what the layer that it is made of computes; holds no second copy of its weight."""

    def __init__(self, linear: nn.Linear) -> None:
        # Not Linear's, which makes a weight.
        nn.Module.__init__(self)
        self.in_features, self.out_features, self.bias = linear.in_features, linear.out_features, linear.bias
        rounded, self._scales_GO2 = _rounded(linear.weight.detach())
        self._packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(rounded, 1)

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """(out, in), as far as it is known: a new tensor each time."""
        return self._product(torch.eye(self.in_features, dtype=self._scales_GO2.dtype)).mT.contiguous()

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        out = self._product(x.reshape(-1, self.in_features)).view(*x.shape[:-1], self.out_features)
        return out if self.bias is None else out.add_(self.bias)

    def _product(self, x_TI: Tensor) -> Tensor:
        product = torch.ops.aten._weight_int4pack_mm_for_cpu
        out_TO: Tensor = product(x_TI, self._packed, GROUP, self._scales_GO2)
        return out_TO


def fits_int4(linear: nn.Linear) -> bool:
    """Whether a layer's rows are whole groups, and its columns what the product takes at once."""
    return linear.in_features % GROUP == 0 and linear.out_features % _ROWS == 0


def _rounded(weight_OI: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers n from 0 to 15, (out, in), and a scale s and middle m by group and row: weights are (n - 8) s + m."""
    groups_OGI = weight_OI.float().view(len(weight_OI), -1, GROUP)
    low_OG, high_OG = groups_OGI.aminmax(dim=-1)
    # A group of equal weights needs some scale.
    scale_OG = ((high_OG - low_OG) / _LARGEST).clamp(min=torch.finfo(torch.float32).tiny)
    steps_OGI = ((groups_OGI - low_OG[..., None]) / scale_OG[..., None]).round().clamp(0, _LARGEST)
    scales_GO2 = torch.stack([scale_OG, low_OG + _MIDDLE * scale_OG], -1).transpose(0, 1)
    return steps_OGI.flatten(1).to(torch.int32), scales_GO2.to(weight_OI.dtype).contiguous()
