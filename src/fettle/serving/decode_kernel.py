"""Attention of single tokens straight from the paged cache.

torch's kernel needs every sequence's keys and values gathered into one rectangle, and in bf16 it takes several times as
long for a single query as in float32. This one reads them where they lie, once, and sums in float32.
Shapes: R tokens, K key/value heads, G query heads for each of them, D head dimension, B blocks, S their size, W width.
"""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from fettle.models.compiled import compiled, like, threads_for, wide

#: With fewer tokens for each thread, they share out single heads; else whole tokens, so that blocks are read in order.
_TOKENS_PER_THREAD = 4


def attend_paged(
    q_RKGD: Tensor, keys_BSKD: Tensor, values_BSKD: Tensor, tables_RW: Tensor, starts_R: Tensor, ends_R: Tensor
) -> Tensor:
    """Scaled dot-product attention of one token each, (R, K, G, D), over positions `starts` to before `ends`.

    Args:
        q_RKGD: the queries.
        keys_BSKD: the cache's keys, in the queries' type: float32 or bfloat16.
        values_BSKD: its values.
        tables_RW: which block holds positions 0 to S - 1 of each token's sequence, which the next S, ...; int64.
        starts_R: the first position that each token sees, int64.
        ends_R: the first that it does not see any more, int64.
    """
    num_rows, num_heads, _, size = q_RKGD.shape
    threads = threads_for(2 * tables_RW.numel() * keys_BSKD[0].numel())
    heads_at_once = num_heads if threads == 1 or num_rows >= _TOKENS_PER_THREAD * threads else 1
    out = torch.empty(q_RKGD.shape, dtype=q_RKGD.dtype)
    paged = keys_BSKD, values_BSKD, tables_RW, starts_R, ends_R
    _attend(q_RKGD.contiguous(), *paged, out, size**-0.5, heads_at_once, num_threads=threads)
    return out


def prepare(dtype: torch.dtype) -> None:
    """Compile for caches of this type, or load what was compiled before."""
    one = torch.zeros(1, 1, 1, 1, dtype=dtype)
    attend_paged(one, one, one, torch.zeros(1, 1, dtype=torch.int64), torch.tensor([0]), torch.tensor([1]))


@compiled
def _attend(
    q: Any, keys: Any, values: Any, tables: Any, starts: Any, ends: Any, out: Any, scale: Any, at_once: Any
) -> None:
    # One function, and everything indexed in full: slices count references, which the threads would fight for.
    (num_rows, num_heads, num_queries, size), block_size = q.shape, keys.shape[1]
    num_parts = num_heads // at_once
    for task in numba.prange(num_rows * num_parts):
        row, head = task // num_parts, task % num_parts * at_once
        start, end = starts[row], ends[row]
        # Shapes: heads at once, G, and positions or D.
        weights = np.empty((at_once, num_queries, end - start), np.float32)
        vectors = np.empty((at_once, num_queries, size), np.float32)
        for h in range(at_once):
            for g in range(num_queries):
                for d in range(size):
                    vectors[h, g, d] = wide(q[row, head + h, g, d]) * scale
        for number in range(start // block_size, -(-end // block_size)):
            block, first = tables[row, number], number * block_size
            for place in range(max(start, first), min(end, first + block_size)):
                for h in range(at_once):
                    for g in range(num_queries):
                        score = np.float32(0)
                        for d in range(size):
                            score += vectors[h, g, d] * wide(keys[block, place - first, head + h, d])
                        weights[h, g, place - start] = score
        for h in range(at_once):
            for g in range(num_queries):
                greatest, total = weights[h, g, 0], np.float32(0)
                for place in range(end - start):
                    greatest = max(greatest, weights[h, g, place])
                for place in range(end - start):
                    weight = np.exp(weights[h, g, place] - greatest)
                    weights[h, g, place] = weight
                    total += weight
                total = np.float32(1) / total
                for place in range(end - start):
                    weights[h, g, place] *= total
                # The query is done with; its sum of values takes its place.
                for d in range(size):
                    vectors[h, g, d] = 0
        for number in range(start // block_size, -(-end // block_size)):
            block, first = tables[row, number], number * block_size
            for place in range(max(start, first), min(end, first + block_size)):
                for h in range(at_once):
                    for g in range(num_queries):
                        weight = weights[h, g, place - start]
                        for d in range(size):
                            vectors[h, g, d] += weight * wide(values[block, place - first, head + h, d])
        for h in range(at_once):
            for g in range(num_queries):
                for d in range(size):
                    out[row, head + h, g, d] = like(out[row, head + h, g, d], vectors[h, g, d])
