"""Serve the same requests with the engine and its peers; print every target beside what was measured."""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import SHAPES, write_result
from environments import VERSIONS
from folders import make_folders
from measure import Workload, measure_case, measure_probe
from plan import CASES, PROBES, QUICK_CASES, Case
from results import Results
from targets import targets

from fettle.models.dtypes import dtype_for

HERE = Path(__file__).parent
#: The load of the server, and how many adapters give a first token.
CLIENTS, FIRST_TOKENS = 32, 15


def main() -> None:
    """Measure what was asked for."""
    asked = _arguments()
    work = _workload(asked)
    cases = _cases(asked)
    results = Results()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for shape in {case.shape for case in cases.values()} | {asked.shape or "m110"}:
            make_folders(folder / shape, shape)
        _probe(asked, work, folder, results)
        for case_name, case in cases.items():
            _say(case_name)
            measure_case(case_name, case, work, folder, results)
    rows = [target.row(results) for target in targets(work.dtype)]
    _show_speeds(results, work)
    _show_targets(rows)
    settings = {**vars(asked), "results": str(asked.results), "workload": work._asdict(), "peers": VERSIONS}
    write_result(asked.results, "serving", {"settings": settings, "targets": rows} | results.plain())


def _probe(asked: argparse.Namespace, work: Workload, folder: Path, results: Results) -> None:
    settings: dict[str, Any] = work._asdict() | {"shape": asked.shape or "m110", "concurrency": CLIENTS}
    repeats = {"first_token": FIRST_TOKENS}
    for name in asked.probes:
        _say(name)
        measure_probe(name, settings | {"repeats": repeats.get(name, work.repeats)}, folder, results)


def _cases(asked: argparse.Namespace) -> dict[str, Case]:
    """Those asked for, as they were asked for."""
    names = asked.cases if asked.cases is not None else QUICK_CASES if asked.quick else CASES
    change: dict[str, Any] = {"shape": asked.shape} if asked.shape else {}
    return {name: CASES[name]._replace(**change, **_narrowed(asked, CASES[name])) for name in names}


def _narrowed(asked: argparse.Namespace, case: Case) -> dict[str, Any]:
    wanted = asked.concurrency or ([8] if asked.quick else case.concurrency)
    contenders = asked.contenders or case.contenders
    return {
        "concurrency": tuple(number for number in case.concurrency if number in wanted),
        "contenders": tuple(name for name in case.contenders if name in contenders),
    }


def _workload(asked: argparse.Namespace) -> Workload:
    return Workload(
        prompt_tokens=asked.prompt_tokens,
        new_tokens=asked.new_tokens,
        repeats=asked.repeats or (1 if asked.quick else 3),
        most_seconds=asked.most_seconds,
        dtype=str(dtype_for(asked.dtype)).removeprefix("torch."),
        threads=asked.threads,
    )


def _say(what: str) -> None:
    print(f"measuring {what}", file=sys.stderr, flush=True)


def _show_speeds(results: Results, work: Workload) -> None:
    print(f"\nOutput tokens per second, {work.dtype}, {work.threads} threads; of CPU seconds, the same per second\n")
    print(f"{'case':<10}{'at once':>8}  {'contender':<18}{'for':<10}{'tokens/s':>9}{'per CPU s':>11}{'equal':>8}")
    for key in sorted(results.keys, key=lambda key: (list(CASES).index(key[0]), key[3])):
        case, contender, on, concurrency = key
        speeds = [
            results.speed(case, contender, concurrency, on, measure)
            for measure in ("tokens_per_second", "tokens_per_cpu_second")
        ]
        share = results.share_equal(key)
        equal = "-" if share is None else f"{share:.0%}"
        print(f"{case:<10}{concurrency:>8}  {contender:<18}{on:<10}{speeds[0]:>9.0f}{speeds[1]:>11.0f}{equal:>8}")


def _show_targets(rows: list[dict[str, Any]]) -> None:
    width = max(len(row["what"]) for row in rows)
    print(f"\n{'what':<{width}}{'target':>13}{'measured':>12}  holds")
    for row in rows:
        if row["holds"] is None:
            print(f"{row['what']:<{width}}{row['target']:>13}{'-':>12}  not measured: {row['why']}")
        else:
            holds = "yes" if row["holds"] else "no"
            print(f"{row['what']:<{width}}{row['target']:>13}{row['shown']:>12}  {holds}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="8 requests at once, once each, fewer cases: 5 minutes")
    parser.add_argument("--cases", choices=CASES, nargs="*", help="only these")
    parser.add_argument("--contenders", nargs="+", help="only these")
    parser.add_argument("--probes", choices=PROBES, nargs="*", default=PROBES, help="only these")
    parser.add_argument("--concurrency", type=int, nargs="+", help="only these of each case")
    parser.add_argument("--shape", choices=SHAPES, help="for all cases, e.g. to try the program out")
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16"), default="auto")
    parser.add_argument("--prompt-tokens", type=int, default=128)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, help="rounds that count; 3, or 1 when quick")
    parser.add_argument("--most-seconds", type=float, default=40, help="for the rounds of a contender, after the first")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder for the result file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
