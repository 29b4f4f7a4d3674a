"""Attention over the paged cache: of tokens that follow their sequence together, of each piece of a prompt alone.

All index tensors and masks are made once per step and used by every layer.
Shapes: T tokens, R rows, H query heads, K key/value heads, G query heads for each of them, D head dimension.
"""

from collections.abc import Iterable
from collections.abc import Sequence as Seq

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from fettle.models.attention import PackedAttention, attend
from fettle.models.dtypes import SMALL_MODEL_PARAMETERS
from fettle.serving.cache import PagedCache
from fettle.serving.sequence import Piece, Sequence
from fettle.types.decoder import DecoderConfig

#: Rows share a rectangle when they fill at least this share of its length.
FILL = 0.6


def in_attention_order(pieces: Seq[Piece]) -> list[Piece]:
    """Single tokens, longest sequence first; then pieces that see what is in the cache; then the others."""
    return sorted(pieces, key=lambda piece: (_form(piece), -piece.end_position))


def _form(piece: Piece) -> int:
    if piece.count == 1:
        return 0
    return 1 if piece.first_position else 2


class PagedAttention:
    """The decoder's `Attention` for one step; `pieces` are in the order of `in_attention_order`."""

    def __init__(self, cache: PagedCache, config: DecoderConfig, pieces: Seq[Piece], block_size: int) -> None:
        self._cache, self._config = cache, config
        forms = [[piece for piece in pieces if _form(piece) == form] for form in range(3)]
        decode = _compiled if is_compiled(config) else _rectangles
        parts: list[_Part] = decode(forms[0], config, cache) if forms[0] else []
        parts += [_Chunk(piece, config, cache) for piece in forms[1]]
        parts += [_Fresh(forms[2], config)] if forms[2] else []
        self._parts = parts
        self._sizes = [part.num_tokens for part in parts]
        self._places = _places(pieces, block_size)

    def __call__(self, layer: int, q_THD: Tensor, k_TKD: Tensor, v_TKD: Tensor) -> Tensor:
        """The attended values, (T, H, D)."""
        self._cache.write(layer, self._places, k_TKD, v_TKD)
        if len(self._parts) == 1:
            return self._parts[0](layer, q_THD, k_TKD, v_TKD)
        split = zip(self._parts, *(torch.split(x, self._sizes) for x in (q_THD, k_TKD, v_TKD)), strict=True)
        return torch.cat([part(layer, q, k, v) for part, q, k, v in split])


class _Part:
    """Some tokens of the step that are attended in one call."""

    num_tokens: int

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The attended values, (T, H, D)."""
        raise TypeError(type(self).__name__)


class _Rectangle(_Part):
    """One token each of several sequences of similar length, by torch's own attention; this is the definition.

    The G query heads that share a key/value head are taken for G queries of it: then nothing needs to be repeated.
    """

    def __init__(self, rows: Seq[Piece], config: DecoderConfig, cache: PagedCache) -> None:
        self._config, self._cache, self.num_tokens = config, cache, len(rows)
        lengths = [piece.end_position for piece in rows]
        self._length = max(lengths)
        width = len(rows[0].sequence.blocks)
        # Short tables are filled up with their own last block: its values are the sequence's own, if anything's.
        tables = [_table(piece, width) for piece in rows]
        self._blocks = torch.tensor(tables).flatten()
        ends = torch.tensor(lengths)
        self._masks = {window: self._mask(ends, window) for window in _windows(config)}

    def _mask(self, ends_R: Tensor, window: int | None) -> Tensor | None:
        positions = torch.arange(self._length)[None, :]
        sees = positions < ends_R[:, None]
        if window is not None:
            sees &= positions >= ends_R[:, None] - window
        return None if bool(sees.all()) else _additive(sees, self._cache.dtype)[:, None, None, :]

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The attended values, (T, H, D)."""
        keys, values = self._cache.read(layer, self._blocks, self.num_tokens, self._length)
        grouped = q.view(len(q), self._config.num_kv_heads, -1, self._config.head_dim)
        mask = self._masks[self._config.window(layer)]
        return F.scaled_dot_product_attention(grouped, keys, values, attn_mask=mask).flatten(1, 2)


class _Compiled(_Part):
    """One token each of several sequences, by the kernel."""

    def __init__(self, rows: Seq[Piece], config: DecoderConfig, cache: PagedCache) -> None:
        # Here, because numba takes longer to load than a small model, which does without it.
        from fettle.serving.decode_kernel import attend_paged

        self._attend, self._config, self._cache, self.num_tokens = attend_paged, config, cache, len(rows)
        self._tables = pad_sequence([torch.tensor(piece.sequence.blocks) for piece in rows], batch_first=True)
        self._ends = torch.tensor([piece.end_position for piece in rows])
        self._starts = {window: self._first_seen(window) for window in _windows(config)}

    def _first_seen(self, window: int | None) -> Tensor:
        return torch.zeros_like(self._ends) if window is None else (self._ends - window).clamp(min=0)

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The attended values, (T, H, D)."""
        grouped = q.view(len(q), self._config.num_kv_heads, -1, self._config.head_dim)
        starts = self._starts[self._config.window(layer)]
        return self._attend(grouped, *self._cache.layer(layer), self._tables, starts, self._ends).flatten(1, 2)


class _Chunk(_Part):
    """A piece of one prompt that something comes before: it sees what is in the cache, and itself causally."""

    def __init__(self, piece: Piece, config: DecoderConfig, cache: PagedCache) -> None:
        self._config, self._cache, self.num_tokens, self._length = config, cache, piece.count, piece.end_position
        self._blocks = torch.tensor(piece.sequence.blocks)
        positions = torch.arange(piece.end_position)
        distance = positions[piece.first_position :, None] - positions[None, :]
        self._masks = {window: self._mask(distance, window) for window in _windows(config)}

    def _mask(self, distance: Tensor, window: int | None) -> Tensor:
        sees = distance >= 0
        return _additive(sees if window is None else sees & (distance < window), self._cache.dtype)

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The attended values, (T, H, D)."""
        keys, values = self._cache.read(layer, self._blocks, 1, self._length)
        mask = self._masks[self._config.window(layer)]
        return attend(q.transpose(0, 1)[None], keys, values, mask=mask, is_causal=False)[0].transpose(0, 1)


class _Fresh(_Part):
    """Prompts from their beginning, without virtual tokens: all that they see is in the step itself."""

    def __init__(self, pieces: Seq[Piece], config: DecoderConfig) -> None:
        lengths = [piece.count for piece in pieces]
        self.num_tokens = sum(lengths)
        self._packed = PackedAttention(lengths, config.windows)

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The attended values, (T, H, D)."""
        return self._packed(layer, q, k, v)


def is_compiled(config: DecoderConfig) -> bool:
    """Whether single tokens attend by the kernel: where a model is large enough to gain what loading it costs."""
    return config.num_parameters >= SMALL_MODEL_PARAMETERS


def prepare(config: DecoderConfig, dtype: torch.dtype) -> None:
    """Compile what a model's caches need, or load what was compiled before: seconds that no request should wait."""
    if is_compiled(config):
        from fettle.serving import decode_kernel

        decode_kernel.prepare(dtype)


def _compiled(rows: Seq[Piece], config: DecoderConfig, cache: PagedCache) -> list[_Part]:
    return [_Compiled(rows, config, cache)]


def _rectangles(rows: Seq[Piece], config: DecoderConfig, cache: PagedCache) -> list[_Part]:
    """Rows, longest first, in groups that waste little."""
    groups: list[list[Piece]] = []
    for piece in rows:
        if groups and piece.end_position >= FILL * groups[-1][0].end_position:
            groups[-1].append(piece)
        else:
            groups.append([piece])
    return [_Rectangle(group, config, cache) for group in groups]


def _table(piece: Piece, width: int) -> list[int]:
    blocks = piece.sequence.blocks[:width]
    return blocks + blocks[-1:] * (width - len(blocks))


def places(sequence: Sequence, positions: Iterable[int], block_size: int) -> list[int]:
    """Where the keys and values of a sequence's positions are in the cache."""
    blocks = sequence.blocks
    return [blocks[position // block_size] * block_size + position % block_size for position in positions]


def _places(pieces: Seq[Piece], block_size: int) -> Tensor:
    """Where each token's key and value go."""
    return torch.tensor(
        [
            place
            for piece in pieces
            for place in places(piece.sequence, range(piece.first_position, piece.end_position), block_size)
        ]
    )


def _windows(config: DecoderConfig) -> set[int | None]:
    return {config.window(layer) for layer in range(config.num_layers)}


def _additive(sees: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.zeros(sees.shape, dtype=dtype).masked_fill_(~sees, -torch.inf)
