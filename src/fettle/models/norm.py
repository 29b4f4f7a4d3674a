"""Root mean square normalisation, with its gradient written out where the weight is frozen.

Source: arXiv 1910.07467. Shapes: (..., C).
"""

from typing import Any

import torch
from torch import Tensor, nn


class RMSNorm(nn.RMSNorm):
    """`nn.RMSNorm`, which autograd makes fifteen operations of; in training an adapter they are done here in eight."""

    def forward(self, x: Tensor) -> Tensor:
        """x / rms(x) * weight; computed in float32 at least, given in the type of `x`."""
        is_fixed = self.weight.dtype == x.dtype and not self.weight.requires_grad
        if not (is_fixed and x.requires_grad and torch.is_grad_enabled()):
            return super().forward(x)
        out: Tensor = _Normalised.apply(x, self.weight, self.eps)  # type: ignore[no-untyped-call]
        return out


class _Normalised(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        scale = wide.square().mean(-1, keepdim=True).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, scale)
        return (wide * scale).mul_(weight).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, scale = ctx.saved_tensors
        normalised, g = x * scale, gradients[0].to(scale.dtype) * weight
        along = (g * normalised).mean(-1, keepdim=True)
        return g.addcmul_(normalised, along, value=-1).mul_(scale).to(x.dtype), None, None
