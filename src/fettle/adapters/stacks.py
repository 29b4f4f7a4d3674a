"""Low-rank and bottleneck parts of many adapters, laid one behind the other, so that few products compute a batch.

Shapes: T tokens, U slots of a group, N tokens of each of them.
"""

from collections.abc import Hashable
from dataclasses import dataclass

import torch
from torch import Tensor

from fettle.adapters.bank import Route, taken_rows
from fettle.adapters.kinds.base import Layer


@dataclass(frozen=True, eq=False)
class Narrow:
    """x to activation(x down + bias) up: through few numbers, for one slot or, stacked, for several.

    Attributes:
        down: (in, rank).
        up: (rank, out).
        bias: (1, rank) or None.
        activation: None for none.
    """

    down: Tensor
    up: Tensor
    bias: Tensor | None = None
    activation: Layer | None = None

    @property
    def form(self) -> Hashable:
        """What is equal for those that can be stacked."""
        return self.up.shape[0], self.bias is None, self.activation, self.down.dtype

    @property
    def parts(self) -> list[Tensor]:
        """Its tensors."""
        return [self.down, self.up] if self.bias is None else [self.down, self.up, self.bias]

    @property
    def is_trained(self) -> bool:
        """Whether gradients flow into it."""
        return any(part.requires_grad for part in self.parts)

    def __call__(self, x_UNI: Tensor) -> Tensor:
        """(U, N, out) of stacked ones."""
        narrow = torch.bmm(x_UNI, self.down) if self.bias is None else torch.baddbmm(self.bias, x_UNI, self.down)
        return torch.bmm(narrow if self.activation is None else self.activation(narrow), self.up)


class Stack:
    """Narrow layers of one form in one block of memory.

    From batch to batch most of them stay: whoever comes takes the place of one that went, and the others are not
    copied. They are float32 at least: of few rows each, a CPU multiplies bf16 matrices much slower.
    """

    def __init__(self) -> None:
        """Of none."""
        self._asked: tuple[int, ...] = ()
        self._slots: tuple[int, ...] = ()
        self._held: list[Narrow] = []
        self._memory: list[Tensor] = []
        self._stacked: Narrow | None = None

    def hold(self, by_slot: dict[int, Narrow], slots: tuple[int, ...]) -> tuple[tuple[int, ...], Narrow]:
        """The slots in the order in which they lie here, and their layers stacked."""
        if slots != self._asked:
            self._asked, self._slots = slots, arranged(self._slots, slots)
        wanted = [by_slot[slot] for slot in self._slots]
        if self._stacked is None or wanted != self._held:
            self._stacked = self._written(wanted)
        return self._slots, self._stacked

    def _written(self, wanted: list[Narrow]) -> Narrow:
        if any(narrow.is_trained for narrow in wanted):
            # It changes from batch to batch, and no gradient flows through what is written into memory.
            self._held, self._memory = [], []
            return _like(wanted[0], [torch.stack(parts) for parts in zip(*(one.parts for one in wanted), strict=True)])
        self._write(wanted)
        return _like(wanted[0], [memory[: len(wanted)] for memory in self._memory])

    @torch.no_grad()
    def _write(self, wanted: list[Narrow]) -> None:
        if not self._memory or len(self._memory[0]) < len(wanted):
            self._held, self._memory = [], [_room(len(wanted), part) for part in wanted[0].parts]
        for place, narrow in enumerate(wanted):
            if place >= len(self._held) or self._held[place] is not narrow:
                for memory, part in zip(self._memory, narrow.parts, strict=True):
                    memory[place] = part
        self._held = wanted


def arranged(before: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, ...]:
    """`wanted` in an order in which as many as possible are where they were before."""
    newcomers = [slot for slot in wanted if slot not in before]
    places: list[int | None] = [slot if slot in wanted else None for slot in before]
    for place, slot in enumerate(places):
        if slot is None and newcomers:
            places[place] = newcomers.pop()
    # The last ones fill the gaps that are left.
    tail = [slot for slot in places[len(wanted) :] if slot is not None]
    return (*(tail.pop() if slot is None else slot for slot in places[: len(wanted)]), *newcomers)


def _room(count: int, part: Tensor) -> Tensor:
    dtype = torch.promote_types(part.dtype, torch.float32)
    # A power of two: a batch that grows by one does not move everything each time.
    return part.new_empty((1 << (count - 1).bit_length(), *part.shape), dtype=dtype)


def _like(narrow: Narrow, parts: list[Tensor]) -> Narrow:
    down, up, *bias = parts
    return Narrow(down, up, bias[0] if bias else None, narrow.activation)


class Narrows:
    """One site's narrow layers by slot; those of the last batch are stacked."""

    def __init__(self) -> None:
        """Of no slot yet."""
        self._by_slot: dict[int, Narrow] = {}
        self._forms: dict[int, Hashable] = {}
        self._stacks: dict[Hashable, Stack] = {}

    def put(self, slot: int, narrow: Narrow | None) -> None:
        """Let a slot have this one, or none."""
        if narrow is not None:
            self._by_slot[slot], self._forms[slot] = narrow, narrow.form
        elif slot in self._by_slot:
            del self._by_slot[slot], self._forms[slot]

    def add(self, y_TO: Tensor, x_TI: Tensor, route: Route) -> None:
        """Add to each token in `y_TO` what its slot's narrow layer makes of it in `x_TI`; both may be the same."""
        if not self._by_slot:
            return
        alike = route.alike(self._forms)
        self._stacks = {form: self._stacks.get(form) or Stack() for form in alike}
        # What is changed below is no input of another layer's any more.
        taken = taken_rows if x_TI is y_TO else route.taken
        for form, slots in alike.items():
            order, stacked = self._stacks[form].hold(self._by_slot, slots)
            group = route.group(order)
            out = stacked(taken(x_TI, group, stacked.down.dtype)).flatten(0, 1)
            if group.is_all:
                y_TO += out
                continue
            out = out if group.kept is None else out.index_select(0, group.kept)
            y_TO.index_add_(0, group.give, out.to(y_TO.dtype))
