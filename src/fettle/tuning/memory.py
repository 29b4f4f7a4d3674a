"""Memory: how much was needed, and batches that are too large for it."""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fettle.data.packing import Batch

#: What Linux tells of this process.
STATUS = Path("/proc/self/status")


class DoesNotFitError(Exception):
    """A batch needs more memory than there is; if `is_shared`, together with other runs' batches."""

    def __init__(self, batch: Batch, *, is_shared: bool = False) -> None:
        """The error of this batch."""
        super().__init__(f"{len(batch.tokens)} tokens in {batch.num_rows} rows")
        self.num_rows, self.num_tokens, self.is_shared = batch.num_rows, len(batch.tokens), is_shared


@contextmanager
def fitting(batch: Batch) -> Iterator[None]:
    """Inside, whatever way of memory to run out is a DoesNotFitError."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        # Its frames hold the batch's tensors, which must be free before anything is tried again.
        raise DoesNotFitError(batch) from None


def is_out_of_memory(error: MemoryError | RuntimeError) -> bool:
    """Whether memory ran out; on a CPU, torch says so in a plain RuntimeError."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return "can't allocate memory" in str(error)


def peak_memory_bytes() -> int:
    """The most that this process has held in memory so far."""
    # Not `ru_maxrss`, where this file is: Linux lets a process begin with the peak of the one that started it.
    if STATUS.exists():
        (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
