"""Loops that are compiled for this machine's processor when they are first used, where torch's products are slow.

They work in the threads of torch: both use the OpenMP library that torch brings along.
"""

from collections.abc import Callable
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
#: One thread reads so many in the time that another takes to wake: on a busy machine, it may take much longer.
_NUMBERS_PER_THREAD = 1 << 16


def compiled(function: Callable[..., None]) -> Callable[..., None]:
    """The function as machine code, with `numba.prange` in parallel; its tensors are float32, bfloat16 or integers.

    Its code is kept beside its file or in the user's cache folder, so that the next process need not compile it. (It is
    compiled again when its file changes; when this one does, remove `__pycache__`.)
    """
    options = {"parallel": True, "fastmath": _FAST, "error_model": "numpy"}
    try:
        machine_code = numba.njit(function, cache=True, **options)
    except RuntimeError:  # neither folder may be written: each process compiles it anew
        machine_code = numba.njit(function, **options)

    def call(*given: Tensor | int | float, num_threads: int) -> None:
        numba.set_num_threads(num_threads)
        # One piece of the work at a time: some are much longer than others.
        with numba.parallel_chunksize(1):
            machine_code(*map(_argument, given))

    return call


def threads_for(num_read: int) -> int:
    """How many threads to read so many numbers in: as many as torch has, or one where others would wake for little."""
    return min(torch.get_num_threads(), int(numba.config.NUMBA_NUM_THREADS), 1 + num_read // _NUMBERS_PER_THREAD)


def _argument(given: Tensor | int | float) -> Any:
    """A tensor's own memory; numpy has no bf16, so its bits are shown as integers."""
    if not isinstance(given, Tensor):
        return np.float32(given) if isinstance(given, float) else given
    return (given.view(torch.uint16) if given.dtype == torch.bfloat16 else given).numpy()


def wide(x: Any) -> Any:
    """In a compiled function, a number of a tensor as float32."""
    raise TypeError(f"{x!r} is outside a compiled function")


@overload(wide, inline="always", strict=False)  # type: ignore[untyped-decorator]
def _wide(x: Any) -> Any:
    if x == numba.types.uint16:
        return lambda x: np.uint32(np.uint32(x) << np.uint32(16)).view(np.float32)
    return lambda x: x


def like(_x: Any, value: Any) -> Any:
    """In a compiled function, a float32 as a number of the tensor that holds `_x`."""
    raise TypeError(f"{value!r} is outside a compiled function")


@overload(like, inline="always", strict=False)  # type: ignore[untyped-decorator]
def _like(_x: Any, value: Any) -> Any:  # noqa: ARG001
    if _x == numba.types.uint16:
        return lambda _x, value: _rounded(value)
    return lambda _x, value: value


@numba.njit(inline="always", error_model="numpy")  # type: ignore[untyped-decorator]
def _rounded(value: Any) -> Any:
    """The bits of the nearest bf16, of two equally near ones the even one; of what is no number, 0x7FC0."""
    bits = np.float32(value).view(np.uint32)
    near = np.uint32(bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))
    return np.uint16(near >> np.uint32(16)) if value == value else np.uint16(0x7FC0)
