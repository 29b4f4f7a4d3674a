"""Attention of single tokens straight from the paged cache, compiled for this machine's processor when first used.

torch's kernel needs every sequence's keys and values gathered into one rectangle, and in bf16 it takes several times as
long for a single query as in float32. This one reads them where they lie, once, and sums in float32. It works in the
threads of torch: both use the OpenMP library that torch brings along.
Shapes: R tokens, K key/value heads, G query heads for each of them, D head dimension, B blocks, S their size, W width.
"""

from typing import Any

import numba
import numpy as np
import torch
from numba.extending import overload
from torch import Tensor

# Before the first parallel call: beside threads of numba's own, those of torch would go on spinning.
numba.config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]
#: Sums may be taken in any order, and products fused with them; what is not a number stays so.
_FAST = {"reassoc", "contract", "nsz", "arcp"}
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
    threads = min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)
    num_rows, num_heads, _, size = q_RKGD.shape
    heads_at_once = num_heads if num_rows >= _TOKENS_PER_THREAD * threads else 1
    out = torch.empty(q_RKGD.shape, dtype=torch.float32)
    arrays = map(_array, (q_RKGD.contiguous(), keys_BSKD, values_BSKD, tables_RW, starts_R, ends_R, out))
    numba.set_num_threads(threads)
    with numba.parallel_chunksize(1):  # some sequences are much longer than others
        _attend(*arrays, np.float32(size**-0.5), heads_at_once)
    return out.to(q_RKGD.dtype)


def prepare(dtype: torch.dtype) -> None:
    """Compile for caches of this type, or load what was compiled before: seconds that no request should wait."""
    one = torch.zeros(1, 1, 1, 1, dtype=dtype)
    attend_paged(one, one, one, torch.zeros(1, 1, dtype=torch.int64), torch.tensor([0]), torch.tensor([1]))


def _array(tensor: Tensor) -> Any:
    """The same memory; numpy has no bf16, so its bits are shown as integers."""
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _wide(x: Any) -> Any:
    """A number as float32; only compiled functions know how."""
    raise TypeError(f"{x!r} is outside a compiled function")


@overload(_wide, inline="always", strict=False)  # type: ignore[untyped-decorator]
def _overloaded(x: Any) -> Any:
    # A bf16 is the upper half of a float32.
    if x == numba.types.uint16:
        return lambda x: np.uint32(np.uint32(x) << np.uint32(16)).view(np.float32)
    return lambda x: x


def _compiled(function: Any) -> Any:
    options = {"parallel": True, "fastmath": _FAST, "error_model": "numpy"}
    try:
        return numba.njit(function, cache=True, **options)
    except RuntimeError:  # no folder to keep it in may be written: each process compiles it anew
        return numba.njit(function, **options)


@_compiled
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
                    vectors[h, g, d] = _wide(q[row, head + h, g, d]) * scale
        for number in range(start // block_size, -(-end // block_size)):
            block, first = tables[row, number], number * block_size
            for place in range(max(start, first), min(end, first + block_size)):
                for h in range(at_once):
                    for g in range(num_queries):
                        score = np.float32(0)
                        for d in range(size):
                            score += vectors[h, g, d] * _wide(keys[block, place - first, head + h, d])
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
                            vectors[h, g, d] += weight * _wide(values[block, place - first, head + h, d])
        for h in range(at_once):
            for g in range(num_queries):
                for d in range(size):
                    out[row, head + h, g, d] = vectors[h, g, d]
