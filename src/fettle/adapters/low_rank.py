"""LoRA at one layer in training: the plain formula with its gradients written out, for one adapter or several.

    y = W x + bias + scale B A drop(x)

Left to autograd this is some forty operations there and back, most of them copies and casts of what is thrown away
again; written out it is the eight products that it must be, each added where it belongs. Where each of several
adapters has a part of the tokens, the two products with W are over all of them.
Shapes: T tokens, I inputs, O outputs, r the rank.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fettle.adapters.kinds.base import LowRank

#: Of a tensor's form, which of its entries are kept, as ones and zeros, and what they are multiplied by.
Mask = Callable[[Tensor], tuple[Tensor, float]]


class Part(NamedTuple):
    """Tokens that lie together and have one adapter.

    Attributes:
        num_tokens: how many there are.
        change: what is added for them, A is (r, I), B is (O, r); None is nothing.
        mask: dropout on the low-rank path; None is none.
    """

    num_tokens: int
    change: LowRank | None
    mask: Mask | None


class _Span(NamedTuple):
    """The tokens of a part that is changed, of which entries are kept, and the factor of the change."""

    tokens: slice
    kept: Tensor | None
    scale: float


def adapted(x: Tensor, base: nn.Linear, parts: Sequence[Part]) -> Tensor:
    """(..., I) to (..., O), with gradients for `x`, and each part's A and B; products are in the weight's type.

    Args:
        x: the layer's input, in the weight's type.
        base: the frozen layer.
        parts: of all tokens, in their order.
    """
    flat = x.flatten(0, -2)
    ends = accumulate(part.num_tokens for part in parts)
    changed = [(slice(end - part.num_tokens, end), part, part.change) for end, part in zip(ends, parts, strict=True)]
    spans = [_span(flat, tokens, part, change) for tokens, part, change in changed if change]
    matrices = [matrix for *_, change in changed if change for matrix in (change.a, change.b)]
    out: Tensor = _Adapted.apply(flat, base.weight, base.bias, spans, *matrices)  # type: ignore[no-untyped-call]
    return out.view(*x.shape[:-1], -1)


def _span(flat: Tensor, tokens: slice, part: Part, change: LowRank) -> _Span:
    kept, share = part.mask(flat[tokens]) if part.mask else (None, 1.0)
    return _Span(tokens, kept, change.scale * share)


class _Adapted(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, spans: Sequence[_Span], *matrices: Tensor
    ) -> Tensor:
        out = F.linear(x, weight, bias)
        saved: list[Tensor | None] = [weight]
        for span, a, b in zip(spans, matrices[::2], matrices[1::2], strict=True):
            a_now, b_now = a.to(weight.dtype), (span.scale * b).to(weight.dtype)
            dropped = x[span.tokens] if span.kept is None else x[span.tokens] * span.kept
            narrow = dropped @ a_now.mT
            out[span.tokens].addmm_(narrow, b_now.mT)
            saved += [a_now, b_now, span.kept, dropped, narrow]
        ctx.save_for_backward(*saved)
        ctx.parts = [(span.tokens, span.scale) for span in spans]
        ctx.dtypes = [matrix.dtype for matrix in matrices]
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (g,) = gradients
        weight, *saved = ctx.saved_tensors
        of_x = g @ weight if ctx.needs_input_grad[0] else None
        of_matrices = []
        for place, (tokens, scale) in enumerate(ctx.parts):
            a_now, b_now, kept, dropped, narrow = saved[5 * place : 5 * place + 5]
            g_part = g[tokens]
            of_narrow = g_part @ b_now
            of_a, of_b = of_narrow.mT @ dropped, g_part.mT @ narrow
            of_matrices += [of_a.to(ctx.dtypes[2 * place]), of_b.to(ctx.dtypes[2 * place + 1]).mul_(scale)]
            if of_x is not None:
                _add(of_x[tokens], of_narrow, a_now, kept)
        return of_x, None, None, None, *of_matrices


def _add(of_x: Tensor, of_narrow: Tensor, a: Tensor, kept: Tensor | None) -> None:
    """What comes back through A, added in place."""
    if kept is None:
        of_x.addmm_(of_narrow, a)
    else:
        of_x.addcmul_(of_narrow @ a, kept)
