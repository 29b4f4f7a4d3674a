"""Do T-Few's losses and its vectors help with few rows, as published, on the packaged base model?

Three ways to learn to choose, five seeds, each of which draws its own rows. Source of the question: arXiv 2205.05638,
section 3.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from cases import FORMS, Case, Part, tickets, tuned, write
from common import write_result

RESULTS = Path(__file__).parent / "results"
#: The published ones.
SEEDS = (42, 1024, 0, 1, 32)
WITHOUT = {"tfew.unlikelihood": 0, "tfew.length_normalized": 0}
#: What is tuned on rows of which form, with which settings.
WAYS: dict[str, tuple[Case, dict[str, Any]]] = {
    "T-Few": (Case("tfew", "choices"), {}),
    "IA3, L_LM alone": (Case("tfew", "choices"), WITHOUT),
    "prompt tuning": (Case("prompt"), {}),
}


def main() -> None:
    """Tune, score, print medians with their quartiles, and write."""
    asked = arguments()
    runs = [run(way, seed, asked) for seed in SEEDS for way in WAYS]
    summary = {way: _quartiles([one["accuracy"] for one in runs if one["way"] == way]) for way in WAYS}
    for way, found in summary.items():
        print(f"{way:16} {found['median']:.1%} ({found['low']:.1%} to {found['high']:.1%})")
    write_result(RESULTS, "fewshot", {"asked": vars(asked), "summary": summary, "runs": runs})


def run(way: str, seed: int, asked: argparse.Namespace) -> dict[str, Any]:
    """The share of held-out rows whose right choice is the likeliest."""
    case, settings = WAYS[way]
    with tempfile.TemporaryDirectory() as name:
        train, test = _files(case, seed, asked, Path(name))
        budget = {"epochs": asked.epochs, "seed": seed, "validation_fraction": 0}
        told = tuned(case, budget | settings, train, test, threads=asked.threads)
    found = {"way": way, "seed": seed, "accuracy": told["scores"]["exact_match"]["mean"]}
    print(json.dumps(found), flush=True)
    return found


def _files(case: Case, seed: int, asked: argparse.Namespace, folder: Path) -> tuple[Path, Path]:
    """Rows of requests, each with the actions of which one is right; what cannot read choices learns the right one."""
    drawn = tickets(asked.rows, asked.tests, seed)
    values = sorted({json.loads(row["completion"])[drawn.field] for row in [*drawn.train, *drawn.test]})
    train, test = (list(FORMS["choices"](Part(rows, drawn.field, values))) for rows in (drawn.train, drawn.test))
    if case.form == "pairs":
        train = [{"prompt": row["prompt"], "completion": row["answer"]} for row in train]
    return write(folder / "train.jsonl", train), write(folder / "test.jsonl", test)


def _quartiles(values: list[float]) -> dict[str, float]:
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": middle, "low": low, "high": high}


def arguments() -> argparse.Namespace:
    """What is asked for on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=64, help="training rows of each seed")
    parser.add_argument("--tests", type=int, default=200, help="held-out rows of each seed")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
