"""Cases and probes as they are measured: contenders in turn, every round with prompts of its own."""

import json
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from common import SHAPES
from environments import NotMeasured, last_line
from folders import adapter_folder
from plan import CONTENDERS, Case
from processes import Running
from results import Results, Run

#: Tokens of a warm-up's answers.
WARMUP_TOKENS = 8
PROBE_SECONDS = 900


class Workload(NamedTuple):
    """What every case has in common."""

    prompt_tokens: int
    new_tokens: int
    repeats: int
    most_seconds: float
    dtype: str
    threads: int


def measure_case(name: str, case: Case, work: Workload, folder: Path, results: Results) -> None:
    """Add the runs of a case to the results, and who could not be measured and why."""
    with ExitStack() as stack:
        there = []
        for contender in case.contenders:
            try:
                there.append(stack.enter_context(_started(contender, case, work, folder)))
            except NotMeasured as error:
                results.fail(name, contender, str(error))
        for one in there:
            results.loaded[f"{name}/{one.name}"] = one.loaded
        for concurrency in case.concurrency:
            _measure(name, case, concurrency, work, there, results)


def measure_probe(name: str, settings: dict[str, Any], folder: Path, results: Results) -> None:
    """Run one of `PROBES` and add what it found."""
    command = [sys.executable, Path(__file__).with_name(f"{name}.py"), json.dumps(settings | {"folder": str(folder)})]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_SECONDS, check=True)
        results.probes[name] = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        results.fail(name, "fettle", f"took more than {PROBE_SECONDS} seconds")
    except subprocess.CalledProcessError as error:
        results.fail(name, "fettle", f"failed: {last_line(error.stderr)}")


def _started(name: str, case: Case, work: Workload, folder: Path) -> Running:
    job = {
        "base": str(folder / case.shape / "base"),
        "adapters": {adapter: str(adapter_folder(folder / case.shape, adapter)) for adapter in case.names},
        "dtype": work.dtype,
        "threads": work.threads,
    }
    return Running(name, CONTENDERS[name], job, folder / f"{name}.log")


def _measure(
    name: str, case: Case, concurrency: int, work: Workload, there: Sequence[Running], results: Results
) -> None:
    """Rounds at one concurrency: one that is not counted, then as many as fit the time, at least one."""
    rounds = _rounds(case, concurrency, work)
    ways = [(one, on) for one in there for on in _targets(case)]
    spent = dict.fromkeys(ways, 0.0)
    for repeat in range(-1, work.repeats):
        prompts, adapters = next(rounds)
        for way in [way for way in ways if spent[way] < work.most_seconds]:
            one, on = way
            num_new, start = work.new_tokens if repeat >= 0 else WARMUP_TOKENS, monotonic()
            try:
                told = one.answer(prompts, num_new, adapters if on == "adapters" else None)
            except NotMeasured as error:
                results.fail(name, one.name, str(error))
                ways.remove(way)
                continue
            if repeat >= 0:
                spent[way] += monotonic() - start
                results.runs.append(Run.of(name, one.name, on, concurrency, repeat, told))
                results.keep_answers(name, one.name, on, concurrency, repeat, told["answers"])


def _targets(case: Case) -> tuple[str, ...]:
    """What requests are for."""
    if not case.adapters:
        return ("base",)
    return ("base", "adapters") if case.is_beside_base else ("adapters",)


def _rounds(case: Case, concurrency: int, work: Workload) -> Iterator[tuple[list[list[int]], list[str] | None]]:
    """Prompts and adapters; both are new in every round, as an engine keeps what it computed of them."""
    draw, names, asked = random.Random(concurrency), case.names, 0
    size = SHAPES[case.shape]["vocab_size"]
    while True:
        prompts = [[draw.randrange(300, size) for _ in range(work.prompt_tokens)] for _ in range(concurrency)]
        yield prompts, [names[(asked + n) % len(names)] for n in range(concurrency)] if names else None
        asked += concurrency
