"""Train the same rows with Fettle and beside it with its peers; print what holds of the targets, write a result."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from meter import WARMUP, Job
from suite import CASES, Case, Target

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import SHAPES, random_llama, write_result

from fettle.models.dtypes import has_native_bfloat16
from fettle.tuning.methods import trainee_for
from fettle.types.tuning import TuningSpec

HERE = Path(__file__).parent
#: How far two losses may lie apart, relatively.
TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-2}
#: Parameters of a fresh adapter are moved by this much, so that it changes what the model says.
NOISE = 0.02
Record = dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """What was asked of a case, and what was measured."""

    case: str
    dtype: str
    target: str
    measured: float
    holds: bool


class CaseFailedError(Exception):
    """A contender has failed, or they do not compute the same."""


def main() -> int:
    """Run the cases, each one's contenders in turn; the exit code, which is 1 if one of them failed."""
    asked = _arguments()
    runs, verdicts, failed = [], [], {}
    for name in asked.cases:
        case = _sized(CASES[name], asked)
        for dtype in _dtypes(case, asked):
            try:
                done = _compared(name, case, dtype, asked)
            except CaseFailedError as error:
                # The others are worth having: they took their time.
                failed[f"{name} {dtype}"] = str(error)
                print(f"{name} {dtype} failed: {error}", file=sys.stderr)
                continue
            runs += done
            verdicts += judged(name, dtype, case, summaries(done))
    _show(runs, verdicts, asked)
    said = [asdict(verdict) for verdict in verdicts]
    settings = vars(asked) | {"results": str(asked.results)}
    cases = {name: _told(_sized(CASES[name], asked)) for name in asked.cases}
    measured = {"settings": settings, "cases": cases, "targets": said, "failed": failed, "runs": runs}
    write_result(asked.results, "tuning", measured)
    return 1 if failed else 0


def _compared(name: str, case: Case, dtype: str, asked: argparse.Namespace) -> list[Record]:
    with tempfile.TemporaryDirectory() as folder:
        runs = [{"case": name, "dtype": dtype} | run for run in _runs(case, dtype, Path(folder), asked)]
    _refuse_different(runs, TOLERANCE[dtype])
    return runs


def _sized(case: Case, asked: argparse.Namespace) -> Case:
    """The case as it is, or smaller."""
    if not asked.quick:
        return case
    return replace(case, steps=min(case.steps, WARMUP + 2), batch_size=max(case.batch_size // 2, 1), in_float32=False)


def _dtypes(case: Case, asked: argparse.Namespace) -> list[str]:
    if asked.dtype:
        return [asked.dtype]
    if not has_native_bfloat16():
        return ["float32"]
    return ["float32", "bfloat16"] if case.in_float32 else ["bfloat16"]


def _runs(case: Case, dtype: str, folder: Path, asked: argparse.Namespace) -> Iterator[Record]:
    base = random_llama(folder / "base", case.shape)
    adapter = _write_adapter(folder / "adapter", base, case, asked.seed)
    draw = np.random.default_rng(asked.seed)
    rows = case.rows(draw, case.steps * case.batch_size, SHAPES[case.shape]["vocab_size"])
    for repeat in range(asked.repeats):
        for contender in case.contenders:
            with tempfile.TemporaryDirectory(dir=folder) as work:
                job = Job(
                    contender=contender,
                    method=case.method,
                    dtype=dtype,
                    settings=case.settings,
                    rows=rows,
                    base=str(base),
                    adapter=str(adapter),
                    folder=work,
                    batch_size=case.batch_size,
                    threads=asked.threads,
                )
                run = _measured(folder / "job.json", job)
            run |= _speeds(run)
            print(f"{case.shape} {dtype} {contender}: {run['tokens_per_second']:.0f} tokens/s", file=sys.stderr)
            yield {"contender": contender, "repeat": repeat} | run


def _write_adapter(folder: Path, base: Path, case: Case, seed: int) -> Path:
    """What all contenders begin with, as PEFT's files."""
    spec = TuningSpec.from_settings(case.settings | {"seed": seed}, base="random", method=case.method, name="bench")
    trainee = trainee_for(spec, base, torch.float32)
    random = torch.Generator().manual_seed(seed)
    for value in trainee.parameters.values():
        value.data += NOISE * torch.randn(value.shape, generator=random)
    folder.mkdir()
    trainee.write(folder, base=base, name=str(base))
    return folder


def _measured(path: Path, job: Job) -> Record:
    """One contender in a process of its own, so that its peak memory is its own."""
    path.write_text(json.dumps(asdict(job)))
    command = [sys.executable, str(HERE / "contenders.py"), str(path)]
    done = subprocess.run(
        command, env=os.environ | {"HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CaseFailedError(f"{job.contender} ended with {done.returncode}:\n{done.stderr}")
    measured: Record = json.loads(done.stdout.splitlines()[-1])
    return measured


def _speeds(run: Record) -> dict[str, float]:
    timed = run["steps"][run["warmup"] :]
    tokens, seconds, cpu = (sum(step[name] for step in timed) for name in ("tokens", "seconds", "cpu_seconds"))
    return {"tokens_per_second": tokens / seconds, "tokens_per_cpu_second": tokens / cpu}


def _refuse_different(runs: list[Record], tolerance: float) -> None:
    """A comparison of speeds is worth nothing unless the same is computed."""
    losses = {run["contender"]: run["loss"] for run in runs}
    ours, *others = losses.values()
    if any(abs(other - ours) > tolerance * abs(ours) for other in others):
        raise CaseFailedError(f"the contenders do not compute the same; their losses are {losses}")


def summaries(runs: list[Record]) -> dict[str, dict[str, float]]:
    """Of each contender, the medians over the repeats."""
    measures = ("tokens_per_second", "tokens_per_cpu_second", "peak_mb")
    of: dict[str, list[Record]] = {}
    for run in runs:
        of.setdefault(run["contender"], []).append(run)
    return {name: {measure: median(run[measure] for run in its) for measure in measures} for name, its in of.items()}


def judged(name: str, dtype: str, case: Case, found: dict[str, dict[str, float]]) -> list[Verdict]:
    """Each of the case's targets, and whether it holds."""

    def measured(target: Target) -> float:
        ours = found[case.contenders[0]][target.measure]
        return ours / found[target.beside][target.measure] if target.beside else ours

    return [Verdict(name, dtype, t.text, measured(t), t.holds(measured(t))) for t in case.targets]


def _told(case: Case) -> Record:
    return {name: getattr(case, name) for name in ("shape", "method", "settings", "batch_size", "steps", "contenders")}


def _show(runs: list[Record], verdicts: list[Verdict], asked: argparse.Namespace) -> None:
    print(f"\n{asked.threads} threads; medians of {asked.repeats}; real tokens\n")
    print(f"{'case':<20}{'type':<10}{'':<18}{'tokens/s':>10}{'per CPU s':>11}{'peak MB':>9}")
    for case, dtype in dict.fromkeys((run["case"], run["dtype"]) for run in runs):
        its = [run for run in runs if (run["case"], run["dtype"]) == (case, dtype)]
        for name, of in summaries(its).items():
            print(f"{case:<20}{dtype:<10}{name:<18}" + "{:>10.0f}{:>11.0f}{:>9.0f}".format(*of.values()))
    print(f"\n{'case':<20}{'type':<10}{'target':<30}{'measured':>9}")
    for v in verdicts:
        print(f"{v.case:<20}{v.dtype:<10}{v.target:<30}{v.measured:>9.2f}  {'holds' if v.holds else 'does not hold'}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--quick", action="store_true", help="smaller batches, fewer steps, one number type")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--dtype", choices=list(TOLERANCE), help="instead of the cases' own")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of the rows and the adapter")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder for the result file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
