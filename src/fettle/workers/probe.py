"""What torch can do on this machine, as one JSON line: `python -m fettle.workers.probe`."""

import json
import time

import torch

_SIZE = 1024
_REPEATS = 8


def main() -> None:
    """Print version, devices, threads, and how fast matrix products are in each number type."""
    found = {
        "torch": torch.__version__,
        "devices": [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())],
        "threads": torch.get_num_threads(),
        "gflops_float32": round(gflops(torch.float32)),
        "gflops_bfloat16": round(gflops(torch.bfloat16)),
    }
    print(json.dumps({"type": "result", **found}))


def gflops(dtype: torch.dtype) -> float:
    """Billions of operations per second in products of large square matrices; the best of a few."""
    left = torch.ones(_SIZE, _SIZE, dtype=dtype)
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        left @ left
        times.append(time.perf_counter() - start)
    return 2 * _SIZE**3 / min(times) / 1e9


if __name__ == "__main__":
    main()
