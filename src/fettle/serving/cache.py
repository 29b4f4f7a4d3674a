"""Keys and values of all sequences, in blocks.

Shapes: T tokens, R rows, K key/value heads, D head dimension, L positions.
"""

import torch
from torch import Tensor

from fettle.errors import InvalidInput
from fettle.serving.settings import EngineSettings
from fettle.types.decoder import DecoderConfig


class PagedCache:
    """One tensor for all layers; a block holds `block_size` tokens of one sequence."""

    def __init__(self, config: DecoderConfig, *, num_blocks: int, block_size: int, dtype: torch.dtype) -> None:
        heads = (config.num_kv_heads, config.head_dim)
        # zeros, not empty: the operating system gives the memory only when it is written to.
        self._all = torch.zeros(config.num_layers, 2, num_blocks, block_size, *heads, dtype=dtype)
        self._heads, self.dtype = heads, dtype
        self._tokens = [[half.flatten(0, 1) for half in layer] for layer in self._all]
        self._blocks = [[half.flatten(1) for half in layer] for layer in self._all]

    @staticmethod
    def block_bytes(config: DecoderConfig, block_size: int, dtype: torch.dtype) -> int:
        """Memory that one block takes in all layers."""
        return 2 * config.num_layers * block_size * config.num_kv_heads * config.head_dim * dtype.itemsize

    @property
    def size_bytes(self) -> int:
        """Memory that it takes when all of it has been written to."""
        return self._all.nbytes

    def clear(self, blocks: list[int]) -> None:
        """Overwrite blocks with zeros: what another sequence left may be NaN, and 0 * NaN reaches through a mask."""
        if blocks:
            self._all.index_fill_(2, torch.tensor(blocks), 0)

    def write(self, layer: int, places_T: Tensor, k_TKD: Tensor, v_TKD: Tensor) -> None:
        """Put keys and values at their places (block * block_size + offset)."""
        keys, values = self._tokens[layer]
        keys.index_copy_(0, places_T, k_TKD)
        values.index_copy_(0, places_T, v_TKD)

    def layer(self, layer: int) -> tuple[Tensor, Tensor]:
        """All keys and all values of a layer where they lie, (blocks, block size, K, D) each."""
        keys, values = self._all[layer]
        return keys, values

    def read(self, layer: int, blocks: Tensor, num_rows: int, length: int) -> tuple[Tensor, Tensor]:
        """Keys and values of R rows with equally many `blocks` each, (R, K, L, D)."""
        keys, values = (self._read(half, blocks, num_rows)[:, :length].transpose(1, 2) for half in self._blocks[layer])
        return keys, values

    def _read(self, half: Tensor, blocks: Tensor, num_rows: int) -> Tensor:
        return half.index_select(0, blocks).view(num_rows, -1, *self._heads)


def num_blocks(config: DecoderConfig, settings: EngineSettings, dtype: torch.dtype) -> int:
    """As set, or what the memory holds; never more than all sequences can use.

    Raises:
        InvalidInput: the memory holds none.
    """
    if settings.num_blocks is not None:
        return settings.num_blocks
    size = PagedCache.block_bytes(config, settings.block_size, dtype)
    if size > settings.cache_bytes:
        raise InvalidInput(f"cache_bytes {settings.cache_bytes} is less than one block: {size}", param="cache_bytes")
    useful = settings.max_sequences * -(-config.max_positions // settings.block_size)
    return min(settings.cache_bytes // size, useful)
