"""Tune with every method at several learning rates, on a few rows, and score each run on held-out rows.

A result file is written after each case; a case that has one of the same budget and rates is not run again.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from cases import CASES, Pairs, from_files, method_of, tickets, tuned
from common import write_result

RESULTS = Path(__file__).parent / "results"
#: A third of a decade.
STEP = 10 ** (1 / 3)


def main() -> None:
    """Sweep the cases that are asked for and have no result yet."""
    args = arguments()
    for name in args.cases:
        asked = asked_of(args, name)
        if is_done(asked) and not args.again:
            print(f"{name}: has a result", file=sys.stderr)
            continue
        write_result(RESULTS, name, {"asked": asked, "runs": sweep(name, asked, rows_of(args), args.threads)})


def asked_of(args: argparse.Namespace, name: str) -> dict[str, Any]:
    """What decides a case's result."""
    settings = {"epochs": args.epochs} | dict(pair.split("=", 1) for pair in args.set)
    files = [str(path) for path in args.files or ()]
    rates = args.rates or rates_around(method_of(CASES[name]).learning_rate)
    return {"case": name, "rows": args.rows, "tests": args.tests, "files": files, "settings": settings, "rates": rates}


def rates_around(default: float) -> list[float]:
    """The default, and the rates a third of a decade below and above."""
    return [float(f"{default * STEP**place:.2g}") for place in (-1, 0, 1)]


def is_done(asked: dict[str, Any]) -> bool:
    """Whether a result answers the same question."""
    return any(json.loads(path.read_text()).get("asked") == asked for path in RESULTS.glob("*.json"))


def rows_of(args: argparse.Namespace) -> Pairs:
    """The rows of the files, or support tickets."""
    return from_files(*args.files, args.rows, args.tests) if args.files else tickets(args.rows, args.tests)


def sweep(name: str, asked: dict[str, Any], rows: Pairs, threads: int) -> list[dict[str, Any]]:
    """One run per rate, from the same seed and on the same rows."""
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        train, test = rows.written(CASES[name].form, Path(folder))
        for rate in asked["rates"]:
            settings = asked["settings"] | {"learning_rate": rate}
            runs.append(tuned(CASES[name], settings, train, test, threads=threads, validates=True))
            print(json.dumps(runs[-1]), flush=True)
    return runs


def arguments() -> argparse.Namespace:
    """What is asked for on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--rows", type=int, default=700, help="training rows")
    parser.add_argument("--tests", type=int, default=120, help="held-out rows, which validate too")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rates", nargs="+", type=float, help="instead of three around the default")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="other settings")
    parser.add_argument("--files", nargs=2, type=Path, metavar=("TRAIN", "TEST"), help="JSONL instead of tickets")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--again", action="store_true", help="also cases that have a result")
    return parser.parse_args()


if __name__ == "__main__":
    main()
