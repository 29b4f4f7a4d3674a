"""LoRA at one layer in training: the plain formula with its gradients written out.

    y = W x + bias + scale B A drop(x)

Left to autograd this is some forty operations there and back, most of them copies and casts of what is thrown away
again; written out it is the eight products that it must be, each added where it belongs.
Shapes: T tokens, I inputs, O outputs, r the rank.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fettle.adapters.kinds.base import LowRank

#: Of a tensor's form, which of its entries are kept, as ones and zeros, and what they are multiplied by.
Mask = Callable[[Tensor], tuple[Tensor, float]]


def adapted(x: Tensor, base: nn.Linear, change: LowRank, mask: Mask | None) -> Tensor:
    """(..., I) to (..., O), with gradients for `x`, A and B; products are in the weight's type.

    Args:
        x: the layer's input, in the weight's type.
        base: the frozen layer.
        change: A is (r, I), B is (O, r).
        mask: dropout on the low-rank path; None is none.
    """
    flat = x.flatten(0, -2)
    kept, share = mask(flat) if mask else (None, 1.0)
    given = base.weight, base.bias, change.a, change.b, kept, change.scale * share
    out: Tensor = _Adapted.apply(flat, *given)  # type: ignore[no-untyped-call]
    return out.view(*x.shape[:-1], -1)


class _Adapted(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        a: Tensor,
        b: Tensor,
        kept: Tensor | None,
        scale: float,
    ) -> Tensor:
        a_now, b_now = a.to(weight.dtype), (scale * b).to(weight.dtype)
        dropped = x if kept is None else x * kept
        narrow = dropped @ a_now.mT
        ctx.save_for_backward(weight, a_now, b_now, kept, dropped, narrow)
        ctx.scale, ctx.dtypes = scale, (a.dtype, b.dtype)
        return F.linear(x, weight, bias).addmm_(narrow, b_now.mT)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (g,) = gradients
        weight, a_now, b_now, kept, dropped, narrow = ctx.saved_tensors
        of_narrow = g @ b_now
        of_a = (of_narrow.mT @ dropped).to(ctx.dtypes[0])
        of_b = (g.mT @ narrow).to(ctx.dtypes[1]).mul_(ctx.scale)
        of_x = g @ weight if ctx.needs_input_grad[0] else None
        if of_x is not None:
            of_x = of_x.addmm_(of_narrow, a_now) if kept is None else of_x.addcmul_(of_narrow @ a_now, kept)
        return of_x, None, None, of_a, of_b, None, None
