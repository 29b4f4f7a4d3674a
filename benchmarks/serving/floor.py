"""What this machine can do at best: bytes read a second, and operations a second in large products.

python benchmarks/serving/floor.py '{"dtype": "bfloat16", "threads": 2}'
"""

import json
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

import torch
from torch import nn

NUM_BYTES = 1 << 30
ROWS, INPUTS, OUTPUTS = 2048, 768, 2048
REPEATS, SECONDS = 5, 0.5


def measured(asked: dict[str, Any]) -> dict[str, float]:
    """Both figures, the best of some repeats."""
    torch.set_num_threads(asked["threads"])
    memory = torch.ones(NUM_BYTES // 4)
    layer = nn.Linear(INPUTS, OUTPUTS, bias=False).to(getattr(torch, asked["dtype"]))
    rows = torch.randn(ROWS, INPUTS).to(getattr(torch, asked["dtype"]))
    with torch.inference_mode():
        return {
            "bytes_per_second": NUM_BYTES / _best_seconds(memory.sum),
            "flops_per_second": 2 * ROWS * INPUTS * OUTPUTS / _best_seconds(lambda: layer(rows)),
        }


def _best_seconds(do: Callable[[], object]) -> float:
    """Of one call, in the best of the repeats."""
    do()
    return min(_seconds(do) for _ in range(REPEATS))


def _seconds(do: Callable[[], object]) -> float:
    count, start = 0, perf_counter()
    while (spent := perf_counter() - start) < SECONDS:
        do()
        count += 1
    return spent / count


if __name__ == "__main__":
    print(json.dumps(measured(json.loads(sys.argv[1]))))
