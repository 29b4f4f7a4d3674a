"""Serve the same requests with the engine, `transformers` and `peft`; print ratios and write a result file."""

import argparse
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import SHAPES, cell, write_result
from contenders import NUM_ADAPTERS, Contender, Ours, Peft, Transformers, make_folders

from fettle.models.dtypes import dtype_for

HERE = Path(__file__).parent
LORA = [f"lora-{number}" for number in range(NUM_ADAPTERS)]
MIXED = [name for number in range(NUM_ADAPTERS // 2) for name in (f"lora-{number}", f"ia3-{number}")]
Runs = list[dict[str, Any]]


def main() -> None:
    """Run all cases at all concurrencies."""
    asked = _arguments()
    torch.set_num_threads(asked.threads)
    dtype = str(dtype_for(asked.dtype)).removeprefix("torch.")
    runs: Runs = []
    with tempfile.TemporaryDirectory() as folder:
        make_folders(Path(folder), asked.shape)
        for case, names, make in _cases(Path(folder), dtype):
            contenders = make()
            for concurrency in asked.concurrency:
                runs += _compare(asked, case, names, contenders, concurrency)
    wall, cpu = _table(runs, "tokens_per_second"), _table(runs, "tokens_per_cpu_second")
    _show(wall, f"{asked.shape}, {dtype}, {asked.threads} threads: output tokens per second")
    _show(cpu, "the same per CPU second (what to look at on a busy machine)")
    _write(asked, dtype, runs, wall + cpu)


def _cases(folder: Path, dtype: str) -> list[tuple[str, list[str] | None, Callable[[], list[Contender]]]]:
    return [
        ("base", None, lambda: [Ours(folder, dtype, []), Transformers(folder, dtype)]),
        ("lora", LORA, lambda: [Ours(folder, dtype, LORA), Peft(folder, dtype, LORA)]),
        ("mixed", MIXED, lambda: [Ours(folder, dtype, MIXED)]),
    ]


def _compare(
    asked: argparse.Namespace, case: str, names: list[str] | None, contenders: list[Contender], concurrency: int
) -> Runs:
    """Every contender on the same prompts, in turn; the first round only warms up.

    Each round has prompts of its own: an engine that keeps what it computed of a prompt must compute these.
    """
    draw = random.Random(concurrency)
    vocabulary = SHAPES[asked.shape]["vocab_size"]

    def drawn() -> list[list[int]]:
        return [[draw.randrange(5, vocabulary) for _ in range(asked.prompt_tokens)] for _ in range(concurrency)]

    prompts = drawn()
    adapters = [names[place % len(names)] for place in range(concurrency)] if names else None
    runs, answers = [], {}
    for contender in contenders:
        answers[contender.name] = contender.answers(prompts, asked.new_tokens, adapters)
    shares = _share_equal(list(answers.values()))
    for repeat in range(asked.repeats):
        prompts = drawn()
        for contender in contenders:
            start, start_cpu = time.perf_counter(), time.process_time()
            made = contender.answers(prompts, asked.new_tokens, adapters)
            seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
            if any(len(row) != asked.new_tokens for row in made):
                raise SystemExit(f"{contender.name} did not make {asked.new_tokens} tokens for each prompt")
            run = {"case": case, "concurrency": concurrency, "contender": contender.name, "repeat": repeat}
            num_tokens = concurrency * asked.new_tokens
            run |= {"seconds": seconds, "tokens_per_second": num_tokens / seconds}
            run |= {"cpu_seconds": cpu_seconds, "tokens_per_cpu_second": num_tokens / cpu_seconds}
            runs.append(run | {"share_of_equal_tokens": shares})
    return runs


def _share_equal(answers: list[list[list[int]]]) -> float | None:
    """The share of tokens that both contenders gave alike, up to where each answer first differs."""
    if len(answers) < 2:
        return None
    same = total = 0
    for one, other in zip(*answers, strict=True):
        pairs = list(zip(one, other, strict=True))
        same += next((place for place, (a, b) in enumerate(pairs) if a != b), len(pairs))
        total += len(pairs)
    return same / total


def _table(runs: Runs, measure: str) -> Runs:
    """Per case and concurrency the best runs and their ratios."""
    best: dict[tuple[str, int], dict[str, float]] = {}
    for run in runs:
        of = best.setdefault((run["case"], run["concurrency"]), {})
        of[run["contender"]] = max(of.get(run["contender"], 0.0), run[measure])
    return [_row(case, concurrency, speeds, best, measure) for (case, concurrency), speeds in best.items()]


def _row(
    case: str, concurrency: int, speeds: dict[str, float], best: dict[tuple[str, int], dict[str, float]], measure: str
) -> dict[str, Any]:
    other = next((name for name in speeds if name != "fettle"), None)
    base = best.get(("base", concurrency), {}).get("fettle")
    return {
        "measure": measure,
        "case": case,
        "concurrency": concurrency,
        "fettle": speeds["fettle"],
        "other": other,
        "other_speed": speeds[other] if other else None,
        "ratio_to_other": speeds["fettle"] / speeds[other] if other else None,
        "ratio_to_own_base": speeds["fettle"] / base if base else None,
    }


def _show(rows: Runs, title: str) -> None:
    print(f"\n{title}\n")
    print(f"{'case':<7}{'concurrency':>12}{'fettle':>9}{'other':>9}  {'':<13}{'ratio':>7}{'to own base':>13}")
    for row in rows:
        print(
            f"{row['case']:<7}{row['concurrency']:>12}{row['fettle']:>9.0f}"
            f"{cell(row['other_speed'], '.0f'):>9}  {row['other'] or '':<13}"
            f"{cell(row['ratio_to_other'], '.2f'):>7}{cell(row['ratio_to_own_base'], '.2f'):>13}"
        )


def _write(asked: argparse.Namespace, dtype: str, runs: Runs, rows: Runs) -> None:
    settings = vars(asked) | {"dtype": dtype, "results": str(asked.results)}
    write_result(asked.results, f"{asked.shape}-{dtype}", {"settings": settings, "summary": rows, "runs": runs})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="m8")
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16"), default="auto")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--prompt-tokens", type=int, default=128)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder for the result file")
    return parser.parse_args()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
