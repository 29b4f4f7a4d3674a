"""How one layer's queries meet keys and values: the border between the decoder and who runs it.

Shapes: T tokens of all sequences in a row, H query heads, K key/value heads, D head dimension, N documents.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class Attention(Protocol):
    """Training and serving each bring their own; the decoder only calls it."""

    def __call__(self, layer: int, q_THD: Tensor, k_TKD: Tensor, v_TKD: Tensor) -> Tensor:
        """The attended values, (T, H, D)."""
        ...


@dataclass(frozen=True)
class _Group:
    num_documents: int
    length: int


class PackedAttention:
    """Causal attention inside each of the documents that lie in a row; none sees another.

    Documents of similar length are padded to one rectangle each, at their ends: under a causal mask no real token sees
    a later one, so the padding needs no mask and the fast causal kernel applies. (One block-diagonal mask over all
    tokens costs five times as much on a CPU.)

    Args:
        lengths: of the documents.
        windows: by layer, how far back a token sees; empty is without limit.
        device: of the tokens.
        num_tokens: with those after the last document, which attend to nothing of their own: what comes out for them
            means nothing. None is the documents' sum.
    """

    #: A document joins a rectangle when it fills at least this share of its length.
    FILL = 0.8
    #: Whether a token sees only itself and those before it.
    IS_CAUSAL = True

    def __init__(
        self,
        lengths: Sequence[int],
        windows: Sequence[int | None] = (),
        device: torch.device | str = "cpu",
        num_tokens: int | None = None,
    ) -> None:
        num_tokens = sum(lengths) if num_tokens is None else num_tokens
        order = sorted(range(len(lengths)), key=lambda document: -lengths[document])
        self._groups = _grouped([lengths[document] for document in order], self.FILL)
        self._windows = windows
        self._is_one_rectangle = len(self._groups) == 1 and max(lengths) * len(lengths) == num_tokens
        self._take, self._put = (t.to(device) for t in _indices(lengths, order, self._groups, num_tokens))

    def __call__(self, layer: int, q_THD: Tensor, k_TKD: Tensor, v_TKD: Tensor) -> Tensor:
        """The attended values, (T, H, D)."""
        window = self._windows[layer] if self._windows else None
        if self._is_one_rectangle:
            return self._rectangle(self._groups[0], window, q_THD, k_TKD, v_TKD)
        padded = [x.index_select(0, self._take) for x in (q_THD, k_TKD, v_TKD)]
        sizes = [group.num_documents * group.length for group in self._groups]
        parts = zip(*(torch.split(x, sizes) for x in padded), strict=True)
        done = [self._rectangle(group, window, *part) for group, part in zip(self._groups, parts, strict=True)]
        return torch.cat(done).index_select(0, self._put)

    def _rectangle(self, group: _Group, window: int | None, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        shape = (group.num_documents, group.length, -1, q.shape[-1])
        shaped = [x.view(shape).transpose(1, 2) for x in (q, k, v)]
        mask = causal_window(group.length, window, q.device) if window and window < group.length else None
        return attend(*shaped, mask=mask, is_causal=self.IS_CAUSAL and mask is None).transpose(1, 2).flatten(0, 1)


def attend(q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None, is_causal: bool) -> Tensor:
    """Scaled dot-product attention over (N, heads, length, D); groups of queries share fewer key/value heads."""
    grouped = q.shape[1] != k.shape[1]
    has_gradients = q.requires_grad or k.requires_grad or v.requires_grad
    if has_gradients and q.dtype == torch.bfloat16 and q.device.type == "cpu":
        # There, the backward pass of short documents takes two to six times as long in bf16 as in float32.
        with torch.autocast("cpu", enabled=False):
            return attend(q.float(), k.float(), v.float(), mask=mask, is_causal=is_causal).to(q.dtype)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=is_causal, enable_gqa=grouped)


def causal_window(length: int, window: int, device: torch.device | str) -> Tensor:
    """True where a query (row) sees a key (column): not later, and less than `window` positions back."""
    distance = torch.arange(length, device=device)[:, None] - torch.arange(length, device=device)[None, :]
    return (distance >= 0) & (distance < window)


def _grouped(lengths_descending: Sequence[int], fill: float) -> list[_Group]:
    groups: list[_Group] = []
    for length in lengths_descending:
        if groups and length >= fill * groups[-1].length:
            groups[-1] = _Group(groups[-1].num_documents + 1, groups[-1].length)
        else:
            groups.append(_Group(1, length))
    return groups


def _indices(
    lengths: Sequence[int], order: Sequence[int], groups: Sequence[_Group], num_tokens: int
) -> tuple[Tensor, Tensor]:
    """Which token fills each place of the rectangles, and at which place each token's result lies."""
    starts = torch.tensor([0, *lengths]).cumsum(0).tolist()
    take, put = [], torch.zeros(num_tokens, dtype=torch.long)
    documents, place = iter(order), 0
    for group in groups:
        for _ in range(group.num_documents):
            document = next(documents)
            start, length = starts[document], lengths[document]
            # Padding repeats the last token: any value does, for nothing looks at it.
            take.append((torch.arange(group.length).clamp(max=length - 1)) + start)
            put[start : start + length] = torch.arange(place, place + length)
            place += group.length
    return torch.cat(take), put
