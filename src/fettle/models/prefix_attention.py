"""Attention of several answers to one prompt: the prompt is computed once, and each answer sees it and itself.

Shapes: T tokens of all rows, H query heads, K key/value heads, D head dimension.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from fettle.models.attention import PackedAttention, attend


class _Answer(NamedTuple):
    """Where an answer and its prefix lie in the row of tokens."""

    prefix_start: int
    prefix: int
    start: int
    length: int


@dataclass(frozen=True)
class _Rectangle:
    """Answers of like size, padded: B answers of A tokens, P tokens of prefix.

    Attributes:
        shape: (B, A).
        queries: (B * A,) places of the answers' tokens.
        keys: (B * (P + A),) places of what they may see.
        key_positions: (B, P + A), and past everything where it is padding.
        query_positions: (B, A).
    """

    shape: tuple[int, int]
    queries: Tensor
    keys: Tensor
    query_positions: Tensor
    key_positions: Tensor

    def mask(self, window: int | None) -> Tensor:
        """(B, 1, A, P + A): what is not later, and less than `window` back."""
        distance = self.query_positions[:, :, None] - self.key_positions[:, None, :]
        seen = distance >= 0
        return (seen if window is None else seen & (distance < window)).unsqueeze(1)


class SharedPrefixAttention:
    """Causal attention in rows that are laid out as a prefix and then its answers; no answer sees another.

    Equal to every answer packed behind a copy of its prefix, at the cost of one prefix. The first answer lies behind
    its prefix, so the two are one document under the fast causal kernel; only other answers need a mask.

    Args:
        prefixes: tokens of each row's prefix; one at least.
        answers: tokens of each of its answers.
        windows: by layer, how far back a token sees; empty is without limit.
        device: of the tokens.
        num_tokens: with those after the last row, which mean nothing; None is the rows' sum.
    """

    #: An answer joins a rectangle when prefix and answer each fill at least this share of it.
    FILL = 0.75

    def __init__(
        self,
        prefixes: Sequence[int],
        answers: Sequence[Sequence[int]],
        windows: Sequence[int | None] = (),
        device: torch.device | str = "cpu",
        num_tokens: int | None = None,
    ) -> None:
        starts, found = _places(prefixes, answers)
        num_tokens = sum(prefixes) + sum(map(sum, answers)) if num_tokens is None else num_tokens
        groups = _grouped(found, self.FILL)
        documents = [prefix + row[0] for prefix, row in zip(prefixes, answers, strict=True)]
        spans = [torch.arange(start, start + size) for start, size in zip(starts, documents, strict=True)]
        first_places = torch.cat(spans)
        self._windows = windows
        self._first = PackedAttention(documents, windows, device)
        self._first_places = first_places.to(device)
        self._rectangles = [_rectangle(group, device) for group in groups]
        self._put = _put(first_places, groups, num_tokens).to(device)
        self._masks: dict[int | None, list[Tensor]] = {}

    def __call__(self, layer: int, q_THD: Tensor, k_TKD: Tensor, v_TKD: Tensor) -> Tensor:
        """The attended values, (T, H, D)."""
        masks = self._masks_of(self._windows[layer] if self._windows else None)
        first = self._first(layer, *(x.index_select(0, self._first_places) for x in (q_THD, k_TKD, v_TKD)))
        done = [_attended(r, mask, q_THD, k_TKD, v_TKD) for r, mask in zip(self._rectangles, masks, strict=True)]
        return torch.cat([first, *done]).index_select(0, self._put)

    def _masks_of(self, window: int | None) -> list[Tensor]:
        if window not in self._masks:
            self._masks[window] = [rectangle.mask(window) for rectangle in self._rectangles]
        return self._masks[window]


def _attended(rectangle: _Rectangle, mask: Tensor, q_THD: Tensor, k_TKD: Tensor, v_TKD: Tensor) -> Tensor:
    """(B * A, H, D) for the answers' tokens."""
    num_answers, _ = rectangle.shape
    taken = [
        x.index_select(0, places).view(num_answers, -1, *x.shape[1:]).transpose(1, 2)
        for x, places in ((q_THD, rectangle.queries), (k_TKD, rectangle.keys), (v_TKD, rectangle.keys))
    ]
    return attend(*taken, mask=mask, is_causal=False).transpose(1, 2).flatten(0, 1)


def _places(prefixes: Sequence[int], answers: Sequence[Sequence[int]]) -> tuple[list[int], list[_Answer]]:
    """Where each prefix begins, and all answers but the first ones."""
    starts, found, place = [], [], 0
    for prefix, sizes in zip(prefixes, answers, strict=True):
        starts.append(place)
        place += prefix
        for number, size in enumerate(sizes):
            if number:
                found.append(_Answer(starts[-1], prefix, place, size))
            place += size
    return starts, found


def _grouped(answers: Sequence[_Answer], fill: float) -> list[list[_Answer]]:
    """Answers that share a rectangle, whose first one's sizes are the largest."""
    groups: list[list[_Answer]] = []
    for answer in sorted(answers, key=lambda answer: (-answer.prefix, -answer.length, answer.start)):
        home = next((g for g in groups if _fits(answer, g[0], fill)), None)
        if home is None:
            groups.append([answer])
        else:
            home.append(answer)
    return groups


def _fits(answer: _Answer, largest: _Answer, fill: float) -> bool:
    has_room = answer.prefix <= largest.prefix and answer.length <= largest.length
    return has_room and answer.prefix >= fill * largest.prefix and answer.length >= fill * largest.length


def _rectangle(group: Sequence[_Answer], device: torch.device | str) -> _Rectangle:
    starts, prefixes, own, lengths = (
        torch.tensor([getattr(answer, name) for answer in group])[:, None]
        for name in ("prefix_start", "prefix", "start", "length")
    )
    in_prefix, in_answer = torch.arange(group[0].prefix)[None, :], torch.arange(group[0].length)[None, :]
    queries = own + torch.minimum(in_answer, lengths - 1)
    keys = torch.cat([starts + torch.minimum(in_prefix, prefixes - 1), queries], dim=1)
    never = torch.iinfo(torch.long).max // 2
    answer_positions = prefixes + in_answer
    prefix_positions = torch.where(in_prefix < prefixes, in_prefix, never)
    key_positions = torch.cat([prefix_positions, answer_positions], dim=1)
    shape = (len(group), group[0].length)
    moved = (x.to(device) for x in (queries.flatten(), keys.flatten(), answer_positions, key_positions))
    return _Rectangle(shape, *moved)


def _put(first_places: Tensor, groups: Sequence[Sequence[_Answer]], num_tokens: int) -> Tensor:
    """(T,) where each token's result lies among those of the first documents and then the rectangles."""
    put = torch.zeros(num_tokens, dtype=torch.long)
    put[first_places] = torch.arange(len(first_places))
    place = len(first_places)
    for group in groups:
        for answer in group:
            put[answer.start : answer.start + answer.length] = torch.arange(place, place + answer.length)
            place += group[0].length
    return put
