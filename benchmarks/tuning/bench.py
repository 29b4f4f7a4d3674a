"""Tune the same adapter on the same rows with Fettle and with `transformers` + `peft`; print ratios, write a result."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import SHAPES, cell, random_llama, write_result
from contenders import CONTENDERS

from fettle.adapters.methods import METHODS
from fettle.models.dtypes import has_native_bfloat16
from fettle.testing.models import tiny_adapter

HERE = Path(__file__).parent
PEERS = [name for name in CONTENDERS if name != "fettle"]
ADAPTERS: dict[str, dict[str, Any]] = {"lora": {"rank": 32}, "tfew": {}}
#: The first steps prepare what later ones use (the first is never timed).
WARMUP = 2
#: How far two losses of one batch may lie apart, relatively.
TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-2}
Runs = list[dict[str, Any]]


def main() -> None:
    """Run all cases, the contenders in turn."""
    asked = _arguments()
    rows = make_rows(asked.rows, SHAPES[asked.shape]["vocab_size"], asked.seed)
    runs: Runs = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        random_llama(folder / "base", asked.shape)
        for method in asked.methods:
            kind = METHODS[method].kind
            assert kind is not None
            tiny_adapter(folder / method, kind, folder / "base", asked.seed, **ADAPTERS[method])
            for dtype in asked.dtype:
                runs += _compare(asked, folder, rows, method, dtype)
    summary = summarize(runs)
    _show(summary, asked)
    settings = vars(asked) | {"results": str(asked.results)}
    lengths = [len(row["tokens"]) for row in rows]
    measured = {"settings": settings, "row_lengths": lengths, "summary": summary, "runs": runs}
    write_result(asked.results, asked.shape, measured)


def make_rows(count: int, vocab_size: int, seed: int) -> list[dict[str, Any]]:
    """Random rows of 40 to 400 tokens of which 30 to 80 % are the prompt."""
    draw = np.random.default_rng(seed)
    lengths, shares = draw.integers(40, 401, count), draw.uniform(0.3, 0.8, count)
    return [
        {"tokens": draw.integers(5, vocab_size, length).tolist(), "num_prompt": int(length * share)}
        for length, share in zip(lengths, shares, strict=True)
    ]


def _compare(asked: argparse.Namespace, folder: Path, rows: Runs, method: str, dtype: str) -> Runs:
    runs = []
    for repeat in range(asked.repeats):
        for contender in ["fettle", *asked.peers]:
            job = {"contender": contender, "method": method, "dtype": dtype, "rows": rows}
            job |= {"base": str(folder / "base"), "adapter": str(folder / method)}
            job |= {"batch_size": asked.batch_size, "threads": asked.threads}
            run = _measure(folder / "job.json", job)
            run |= _speeds(run, [len(row["tokens"]) for row in rows], asked.batch_size)
            runs.append({"method": method, "dtype": dtype, "contender": contender, "repeat": repeat} | run)
            print(f"{method} {dtype} {contender}: {run['tokens_per_second']:.0f} tokens/s", file=sys.stderr)
        _refuse_different(runs, TOLERANCE[dtype])
    return runs


def _measure(path: Path, job: dict[str, Any]) -> dict[str, Any]:
    """One contender in a process of its own, so that its peak memory is its own."""
    path.write_text(json.dumps(job))
    command = [sys.executable, str(HERE / "contenders.py"), str(path)]
    done = subprocess.run(
        command, env=os.environ | {"HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{job['contender']} failed:\n{done.stderr}")
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _speeds(run: dict[str, Any], lengths: list[int], size: int) -> dict[str, float]:
    """Real tokens, without padding, over the time of the steps after the first ones."""
    tokens = [sum(lengths[start : start + size]) for start in range(0, len(lengths), size)]
    counted = sum(tokens[WARMUP:])
    return {
        "tokens_per_second": counted / sum(run["step_seconds"][WARMUP - 1 :]),
        "tokens_per_cpu_second": counted / sum(run["step_cpu_seconds"][WARMUP - 1 :]),
    }


def _refuse_different(runs: Runs, tolerance: float) -> None:
    """A comparison of speeds is worth nothing unless the same is computed."""
    losses = {run["contender"]: run["first_loss"] for run in runs}
    ours = losses["fettle"]
    if strays := {name: loss for name, loss in losses.items() if abs(loss - ours) > tolerance * abs(ours)}:
        raise SystemExit(f"the loss of the first batch differs: fettle {ours}, {strays}")


def summarize(runs: Runs) -> Runs:
    """Medians over the repeats, and Fettle's ratio to each."""
    cases: dict[tuple[str, str, str], Runs] = {}
    for run in runs:
        cases.setdefault((run["method"], run["dtype"], run["contender"]), []).append(run)
    measures = ("tokens_per_second", "tokens_per_cpu_second", "peak_mb", "loaded_mb", "first_loss")
    middle = {case: {name: median(run[name] for run in of) for name in measures} for case, of in cases.items()}
    return [_row(case, values, middle[(*case[:2], "fettle")]) for case, values in middle.items()]


def _row(case: tuple[str, str, str], values: dict[str, float], ours: dict[str, float]) -> dict[str, Any]:
    names = ("tokens_per_second", "tokens_per_cpu_second", "peak_mb")
    ratios = {f"fettle_to_it_{name}": ours[name] / values[name] for name in names}
    return dict(zip(("method", "dtype", "contender"), case, strict=True)) | values | ratios


def _show(rows: Runs, asked: argparse.Namespace) -> None:
    print(f"\n{asked.shape}, {asked.threads} threads, {asked.batch_size} rows a step; ratios are Fettle's to each\n")
    columns = (("tokens_per_second", "tokens/s"), ("tokens_per_cpu_second", "per CPU s"), ("peak_mb", "peak MB"))
    print(f"{'method':<7}{'type':<10}{'':<16}" + "".join(f"{title:>11}{'ratio':>7}" for _, title in columns))
    for row in rows:
        is_ours = row["contender"] == "fettle"
        ratios = [None if is_ours else row[f"fettle_to_it_{name}"] for name, _ in columns]
        cells = [f"{row[name]:>11.0f}{cell(ratio, '.2f'):>7}" for (name, _), ratio in zip(columns, ratios, strict=True)]
        print(f"{row['method']:<7}{row['dtype']:<10}{row['contender']:<16}" + "".join(cells))


def _arguments() -> argparse.Namespace:
    both = ["float32", "bfloat16"]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="m8")
    parser.add_argument("--rows", type=int, default=192)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--methods", nargs="+", choices=list(ADAPTERS), default=list(ADAPTERS))
    parser.add_argument("--dtype", nargs="+", choices=both, default=both if has_native_bfloat16() else both[:1])
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS[:1])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of the rows and the adapter")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder for the result file")
    asked = parser.parse_args()
    if asked.rows <= WARMUP * asked.batch_size:
        parser.error(f"--rows must be more than {WARMUP} batches")
    return asked


if __name__ == "__main__":
    main()
