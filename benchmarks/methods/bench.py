"""Measure every method: what it learns of support tickets and of SNIPS, or how fast it trains in how much memory.

A result file is written for each row of the table; a row that was measured with the same budget is not measured again.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from cases import CASES, Case, Pairs, from_files, method_of, plan_of, tickets, tuned
from common import write_result

from fettle.cli.quickstart.examples import SEED
from fettle.clusters.local import start_worker

RESULTS = Path(__file__).parent / "results"
BATCH_SIZE = 8


def main() -> None:
    """Measure what is asked for and has no result yet."""
    args = arguments()
    for asked in questions(args):
        name = f"{asked['case']}-{asked['set']}"
        if is_done(asked) and not args.again:
            print(f"{name}: has a result", file=sys.stderr)
        else:
            measured = (speed if asked["set"] == "speed" else quality)(asked, args)
            print(f"{name}: {json.dumps(measured)}", flush=True)
            write_result(RESULTS, name, {"asked": asked, "measured": measured})


def questions(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """What decides each row's result: the case, the set, the budget and the learning rate."""
    sets = {"speed": {"steps": args.steps, "batch_size": BATCH_SIZE, "threads": args.threads}}
    if not args.speed:
        sets = {"tickets": dict(zip(("rows", "epochs", "tests"), args.tickets, strict=True))}
        if args.snips:
            sets["snips"] = dict(zip(("rows", "epochs", "tests"), args.snips_budget, strict=True))
    for name in args.cases:
        for of, budget in sets.items():
            # Who prefers one answer to another must first be able to write it: only sets that say so are of use.
            if not (of == "snips" and CASES[name].form == "preferences"):
                yield {"case": name, "set": of, "learning_rate": method_of(CASES[name]).learning_rate} | budget


def is_done(asked: dict[str, Any]) -> bool:
    """Whether a result answers the same question."""
    return any(json.loads(path.read_text())["asked"] == asked for path in RESULTS.glob("*.json"))


def quality(asked: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """Scores on held-out rows, after tuning with the method's defaults."""
    case = CASES[asked["case"]]
    with tempfile.TemporaryDirectory() as folder:
        train, test = _rows(asked, args).written(case.form, Path(folder))
        return tuned(case, {"epochs": asked["epochs"]}, train, test, threads=args.threads)


def _rows(asked: dict[str, Any], args: argparse.Namespace) -> Pairs:
    if asked["set"] == "tickets":
        return tickets(asked["rows"], asked["tests"], SEED)
    train, test = (args.snips / f"{part}.jsonl.gz" for part in ("train", "test"))
    return from_files(train, test, asked["rows"], asked["tests"])


def speed(asked: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """Speed and memory of a short job in a worker of its own, as a user's runs."""
    case, rows = CASES[asked["case"]], asked["steps"] * BATCH_SIZE
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train, _ = tickets(rows, 20).written(case.form, folder)
        return _measured(case, train, folder, args.threads)


def _measured(case: Case, train: Path, folder: Path, threads: int) -> dict[str, Any]:
    settings = {"epochs": 1, "batch_size": BATCH_SIZE, "validation_fraction": 0, "log_interval": 1}
    plan = plan_of(case, settings, train, folder, threads=threads)
    steps: list[dict[str, Any]] = []
    log = folder / "worker.log"
    with start_worker("fettle.workers.tune", plan, folder, log_path=log, threads=threads) as worker:
        result = worker.result(lambda event: steps.append(event) if event["type"] == "step" else None)
    return {
        "method": case.method,
        "form": case.form,
        "base": case.base,
        "tokens_per_second": round(steps[-1]["tokens_per_second"]),
        "peak_memory_bytes": steps[-1]["memory_bytes"],
        "trained_parameters": result["trained_parameters"],
    }


def arguments() -> argparse.Namespace:
    """What is asked for on the command line."""
    budget = {"nargs": 3, "type": int, "metavar": ("ROWS", "EPOCHS", "TESTS")}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--tickets", **budget, default=(1500, 2, 150), help="budget on support tickets")
    parser.add_argument("--snips", type=Path, metavar="FOLDER", help="with train.jsonl.gz and test.jsonl.gz of SNIPS")
    parser.add_argument("--snips-budget", **budget, default=(2000, 1, 200))
    parser.add_argument("--speed", action="store_true", help="speed and memory instead; wants a quiet machine")
    parser.add_argument("--steps", type=int, default=30, help="of a job whose speed is measured")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--again", action="store_true", help="also rows that have a result")
    return parser.parse_args()


if __name__ == "__main__":
    main()
