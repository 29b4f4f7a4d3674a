"""Tune `pocket` with every method at several learning rates and score each on held-out support tickets."""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import write_result

from fettle.adapters.methods import METHODS
from fettle.data.samples import support_tickets
from fettle.data.template import Template
from fettle.models.tokenizer import Tokenizer
from fettle.serving import Engine
from fettle.tuning.tune import tune
from fettle.types.generation import GenerateRequest, SamplingParams
from fettle.types.tuning import EvaluationEvent, Hyperparameters, TuningPlan, TuningSpec

POCKET = Path(__file__).parents[2] / "src/fettle/registry/packaged/pocket"
RATES = {"lora": (1e-3, 2e-3, 4e-3), "tfew": (1e-2, 2e-2, 4e-2), "full": (3e-4, 6e-4, 1.2e-3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--tests", type=int, default=200)
    parser.add_argument("--methods", nargs="+", default=list(RATES), choices=list(RATES))
    parser.add_argument("--rates", nargs="+", type=float, help="instead of the usual ones")
    parser.add_argument("--base", type=Path, default=POCKET)
    args = parser.parse_args()
    torch.set_num_threads(2)
    tickets = list(support_tickets(args.rows + args.tests, seed=5))
    train, tests = tickets[: args.rows], tickets[args.rows :]
    runs = []
    for method in args.methods:
        for rate in args.rates or RATES[method]:
            runs.append(one(args.base, method, rate, args.epochs, train, tests))
            print(json.dumps(runs[-1]), flush=True)
    write_result(Path(__file__).parent / "results", "defaults", {"arguments": sys.argv[1:], "runs": runs})


def one(base: Path, method: str, rate: float, epochs: int, train: list[dict], tests: list[dict]) -> dict:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in train))
        plan = TuningPlan(
            spec=TuningSpec(
                base="pocket",
                method=method,
                name="x",
                hyperparameters=Hyperparameters(epochs=epochs, learning_rate=rate),
            ),
            base_path=str(base),
            train_path=str(folder / "train.jsonl"),
            work_path=str(folder / "work"),
            output_path=str(folder / "output"),
        )
        events: list = []
        start = time.monotonic()
        result = tune(plan, events.append)
        seconds = time.monotonic() - start
        losses = [round(e.validation.loss, 4) for e in events if isinstance(e, EvaluationEvent)]
        return {
            "method": method,
            "rate": rate,
            "exact_match": exact_match(base, method, folder / "output", tests),
            "validation_loss": losses,
            "seconds": round(seconds, 1),
            "tokens_per_second": round(result.trained_tokens / seconds),
            "trained_parameters": result.trained_parameters,
        }


def exact_match(base: Path, method: str, output: Path, tests: list[dict]) -> float:
    engine = Engine.load(output if METHODS[method].kind is None else base)
    template = Template(Tokenizer.load(base))
    if METHODS[method].kind is not None:
        engine.add_adapter("tuned", output)
    for number, row in enumerate(tests):
        tokens = tuple(template.row_prompt(row["prompt"]))
        request = GenerateRequest(
            model="tuned", token_ids=tokens, sampling=SamplingParams(temperature=0, max_tokens=96)
        )
        engine.add(str(number), request, adapter=None if METHODS[method].kind is None else "tuned")
    answers = [""] * len(tests)
    while engine.has_work:
        for chunk in engine.step():
            answers[int(chunk.request_id)] += chunk.text
    return sum(a == row["completion"] for a, row in zip(answers, tests, strict=True)) / len(tests)


if __name__ == "__main__":
    main()
