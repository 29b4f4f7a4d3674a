"""Tune `pocket` with every method at several learning rates and score each on held-out rows."""

import argparse
import io
import json
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import redirect_stdout
from itertools import product
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import write_result

from fettle.adapters.methods import METHODS
from fettle.data.files import read_rows
from fettle.data.samples import support_tickets
from fettle.tuning.tune import tune
from fettle.types.evaluation import EvaluationPlan
from fettle.types.tuning import EvaluationEvent, TuningPlan, TuningSpec
from fettle.workers.evaluate import run as evaluate

POCKET = Path(__file__).parents[2] / "src/fettle/registry/packaged/pocket"
RATES = {
    "lora": (2e-3, 4e-3, 8e-3),
    "qlora": (2e-3, 4e-3, 8e-3),
    "adapter": (1e-3, 2e-3, 4e-3),
    "tfew": (1e-2, 3e-2, 6e-2),
    "full": (5e-4, 1e-3, 2e-3),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000, help="training rows, from the top")
    parser.add_argument("--tests", type=int, default=200, help="held-out rows, from the top")
    parser.add_argument("--train", type=Path, help="JSONL instead of support tickets")
    parser.add_argument("--test", type=Path, help="JSONL that belongs to --train")
    parser.add_argument("--methods", nargs="+", default=list(RATES), choices=list(RATES))
    parser.add_argument("--rates", nargs="+", type=float, help="instead of the usual ones")
    parser.add_argument("--set", nargs="+", action="append", default=[], metavar="NAME=VALUE", help="one variant")
    parser.add_argument("--base", type=Path, default=POCKET)
    args = parser.parse_args()
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train, test = rows_of(args, folder)
        variants = [dict(pair.split("=", 1) for pair in pairs) for pairs in args.set] or [{}]
        runs = []
        for method, variant in product(args.methods, variants):
            for rate in args.rates or RATES[method]:
                runs.append(one(args.base, method, {**variant, "learning_rate": rate}, train, test, folder))
                print(json.dumps(runs[-1]), flush=True)
    write_result(Path(__file__).parent / "results", "defaults", {"arguments": sys.argv[1:], "runs": runs})


def rows_of(args: argparse.Namespace, folder: Path) -> tuple[Path, Path]:
    """Files of the rows to tune on and of those to score on."""
    if args.train:
        train, test = (read(path) for path in (args.train, args.test))
    else:
        tickets = list(support_tickets(args.rows + args.tests, seed=5))
        train, test = tickets[: args.rows], tickets[args.rows :]
    return write(folder / "train.jsonl", train[: args.rows]), write(folder / "test.jsonl", test[: args.tests])


def read(path: Path) -> list[dict[str, Any]]:
    """All rows, in an order that does not follow the file's."""
    rows = [row for _, row in read_rows(path)]
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(5)).tolist()
    return [rows[place] for place in order]


def write(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def one(base: Path, method: str, settings: dict[str, Any], train: Path, test: Path, folder: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=folder) as name:
        work, output = Path(name) / "work", Path(name) / "output"
        spec = TuningSpec.from_settings(settings, base="pocket", method=method, name="x")
        plan = TuningPlan(
            spec=spec, base_path=str(base), train_path=str(train), work_path=str(work), output_path=str(output)
        )
        events: list[Any] = []
        start = time.monotonic()
        result = tune(plan, events.append)
        seconds = time.monotonic() - start
        return {
            "method": method,
            "settings": settings,
            "scores": scores(base, method, output, test),
            "validation_loss": [round(e.validation.loss, 4) for e in events if isinstance(e, EvaluationEvent)],
            "seconds": round(seconds, 1),
            "tokens_per_second": round(result.trained_tokens / seconds),
            "trained_parameters": result.trained_parameters,
            "bytes": sum(path.stat().st_size for path in output.glob("*.safetensors")),
        }


def scores(base: Path, method: str, output: Path, test: Path) -> dict[str, float]:
    is_adapter = METHODS[method].kind is not None
    plan = EvaluationPlan(
        base_path=str(base if is_adapter else output),
        adapter_path=str(output) if is_adapter else None,
        rows_path=str(test),
        output_path=str(output / "evaluation"),
    )
    with redirect_stdout(io.StringIO()):
        return {name: round(score.mean, 4) for name, score in evaluate(plan).scores.items()}


if __name__ == "__main__":
    main()
