"""The frozen layer beneath one adapter, as the adapter's kind sees it."""

import torch
from torch import Tensor, nn

from fettle.adapters.adapter import Adapter
from fettle.adapters.kinds.base import row_norms


class FrozenLinear:
    """A linear layer that is not trained; the norms for a finished adapter are computed once and kept."""

    def __init__(self, linear: nn.Linear, adapter: Adapter) -> None:
        self.linear = linear
        self._is_finished = not any(value.requires_grad for value in adapter.named_parameters().values())
        self._norms: Tensor | None = None

    @property
    def bias(self) -> Tensor | None:
        """(out,) or None."""
        return self.linear.bias

    def __call__(self, x: Tensor) -> Tensor:
        """W x, and the bias."""
        out: Tensor = self.linear(x)
        return out

    def norms(self, b: Tensor, a: Tensor) -> Tensor:
        """(out,), the norms of the rows of W + b a, in float32 at least; no gradient flows through them."""
        if self._norms is not None:
            return self._norms
        norms = _norms(self.linear.weight, b, a)
        if self._is_finished:
            self._norms = norms
        return norms


@torch.no_grad()
def _norms(weight: Tensor, b: Tensor, a: Tensor) -> Tensor:
    wide = torch.promote_types(weight.dtype, torch.float32)
    # Sums over thousands of squares in bf16 would stretch a fresh adapter's rows.
    with torch.autocast(weight.device.type, enabled=False):
        norms: Tensor = row_norms(weight.to(wide) + b.to(wide) @ a.to(wide))
    return norms
