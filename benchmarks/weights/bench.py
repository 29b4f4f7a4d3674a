"""Answer the same held-out requests with plain and with 8-bit weights; compare scores and answers."""

import argparse
import io
import json
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, get_args

sys.path.insert(0, str(Path(__file__).parents[1]))
from cases import CASES, base_model, plan_of, tickets
from common import write_result

from fettle.tuning.tune import tune
from fettle.types.engine import Weights
from fettle.types.evaluation import EvaluationPlan
from fettle.workers.evaluate import run

RESULTS = Path(__file__).parent / "results"
#: Points of a score that may be lost.
ALLOWED = 1.0


def main() -> None:
    """Tune, answer in both ways, print and write."""
    asked = arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train, test = tickets(asked.rows, asked.tests).written("pairs", folder)
        adapter = asked.adapter or tuned(train, folder, asked)
        answered = {weights: answers(weights, adapter, test, folder, asked.threads) for weights in get_args(Weights)}
    summary = compared(answered)
    print(json.dumps(summary, indent=1))
    scores = {weights: found["scores"] for weights, found in answered.items()}
    write_result(RESULTS, "int8", {"asked": vars(asked) | {"adapter": str(asked.adapter)}, "scores": scores} | summary)


def tuned(train: Path, folder: Path, asked: argparse.Namespace) -> Path:
    """A LoRA adapter's folder."""
    plan = plan_of(CASES["lora"], {"epochs": asked.epochs}, train, folder, threads=asked.threads)
    tune(plan, lambda _: None)
    return Path(plan.output_path)


def answers(weights: Weights, adapter: Path, test: Path, folder: Path, threads: int) -> dict[str, Any]:
    """The scores and the answers with weights kept in this way."""
    plan = EvaluationPlan(
        base_path=base_model("pocket").path,
        adapter_path=str(adapter),
        rows_path=str(test),
        output_path=str(folder / weights),
        max_tokens=96,
        threads=threads,
        weights=weights,
    )
    with redirect_stdout(io.StringIO()):
        report = run(plan)
    rows = [json.loads(line) for line in Path(report.predictions_path).read_text(encoding="utf-8").splitlines()]
    return {"scores": {name: 100 * score.mean for name, score in report.scores.items()}, "rows": rows}


def compared(answered: dict[Weights, dict[str, Any]]) -> dict[str, Any]:
    """How much each score falls in 8 bits, how many answers stay, and whether that holds what is promised."""
    plain, small = answered["dtype"], answered["int8"]
    falls = {name: round(score - small["scores"][name], 2) for name, score in plain["scores"].items()}
    pairs = zip(plain["rows"], small["rows"], strict=True)
    equal = sum(one["answer"] == other["answer"] for one, other in pairs)
    return {"points_lost": falls, "share_of_equal_answers": equal / len(plain["rows"]), "holds": holds(falls)}


def holds(falls: dict[str, float]) -> bool:
    """Whether no score falls by more than is allowed."""
    return max(falls.values()) <= ALLOWED


def arguments() -> argparse.Namespace:
    """What is asked for on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1200, help="training rows")
    parser.add_argument("--tests", type=int, default=400, help="held-out rows")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--adapter", type=Path, help="a LoRA on pocket, instead of tuning one")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
