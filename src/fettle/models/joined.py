"""Linear layers that share their input as one product; to serve, not to train."""

import torch
from torch import Tensor, nn


class Joined:
    """One layer whose outputs are those of several; computed when the first of them is asked, kept for the others."""

    def __init__(self, linear: nn.Linear, sizes: list[int]) -> None:
        """`linear` has the rows of all, so many (`sizes`) of each."""
        self.linear, self.sizes = linear, sizes
        self._x: Tensor | None = None
        self._parts: tuple[Tensor, ...] = ()

    def part(self, place: int, x: Tensor) -> Tensor:
        """What the layer at this place makes of `x`."""
        if x is not self._x:
            self._x, self._parts = x, torch.split(self.linear(x), self.sizes, dim=-1)
        out = self._parts[place]
        if place == len(self.sizes) - 1:
            # Nobody asks for more: layers behind this one may have the memory.
            self._x, self._parts = None, ()
        return out


class PartLinear(nn.Linear):
    """One of the layers that are joined."""

    def __init__(self, joined: Joined, place: int) -> None:
        # Not Linear's, which makes a weight.
        nn.Module.__init__(self)
        self._joined, self._place = joined, place
        self.in_features, self.out_features = joined.linear.in_features, joined.sizes[place]

    @property
    def _rows(self) -> slice:
        start = sum(self._joined.sizes[: self._place])
        return slice(start, start + self.out_features)

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """(out, in): its rows of the joined weight."""
        return self._joined.linear.weight[self._rows]

    @property
    def bias(self) -> Tensor | None:  # type: ignore[override]
        """(out,) or None."""
        bias = self._joined.linear.bias
        return None if bias is None else bias[self._rows]

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out): a view into the joined product."""
        return self._joined.part(self._place, x)


def concatenated(linears: list[nn.Linear]) -> nn.Linear:
    """One layer with the rows of all, which share their input and all have a bias or none."""
    first = linears[0]
    made = nn.Linear(first.in_features, 1, bias=False, device="meta")
    made.out_features = sum(linear.out_features for linear in linears)
    made.weight = nn.Parameter(torch.cat([linear.weight.detach() for linear in linears]), requires_grad=False)
    if first.bias is not None:
        made.bias = nn.Parameter(torch.cat([linear.bias.detach() for linear in linears]), requires_grad=False)
    return made
