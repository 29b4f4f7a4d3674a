"""The page of measured methods, made of the newest results of benchmarks/methods."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from fettle.adapters.classifiers import CLASSIFIERS
from fettle.adapters.methods import METHODS

RESULTS = Path(__file__).parents[1] / "benchmarks" / "methods" / "results"


class Form(NamedTuple):
    """What is learned from a form of rows, and the scores that say how well: of tickets, of SNIPS, and of all of it."""

    learned: str
    tickets: str
    intent: str
    whole: str = ""


FORMS = {
    "pairs": Form("to answer in JSON", "exact_match", "json_field.intent", "json_equal"),
    "choices": Form("to choose an answer", "exact_match", "exact_match"),
    "preferences": Form("to prefer an answer", "exact_match", ""),
    "labels": Form("to classify", "accuracy", "accuracy"),
}
#: case -> set (tickets, snips, speed) -> its newest result
Results = dict[str, dict[str, dict[str, Any]]]

HEAD = """What each method learned with its defaults, how large what it made is, how fast it trained and in how much
memory: the newest results of [benchmarks/methods](../../benchmarks/methods/README.md). Compare only rows that learn the
same. Scores are shares of the held-out rows, with 95 % intervals. "Intent" and "all" are of SNIPS: the intent, and the
whole JSON.

| method | base | learns | tickets | intent | all | trained weights | file | tokens/s | peak memory |
|---|---|---|---|---|---|---|---|---|---|
"""


def measured_methods(folder: Path = RESULTS) -> str:
    """A row for each method that was measured, and on how many rows."""
    results = newest(folder)
    rows = "".join(_row(results[case]) for case in sorted(results, key=lambda case: _place(results[case])))
    return f"{HEAD}{rows}\n{''.join(_budgets(results))}"


def newest(folder: Path) -> Results:
    """The newest result of each case on each set; files sort by time."""
    found: Results = {}
    for path in sorted(folder.glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        found.setdefault(result["asked"]["case"], {})[result["asked"]["set"]] = result
    return found


def _place(sets: dict[str, dict[str, Any]]) -> tuple[int, int]:
    """By what is learned, and then in the order of the methods' table."""
    some = _any_of(sets)
    table = CLASSIFIERS if some["form"] == "labels" else METHODS
    return list(FORMS).index(some["form"]), list(table).index(some["method"])


def _any_of(sets: dict[str, dict[str, Any]]) -> dict[str, Any]:
    measured: dict[str, Any] = next(iter(sets.values()))["measured"]
    return measured


def _row(sets: dict[str, dict[str, Any]]) -> str:
    measured = {of: result["measured"] for of, result in sets.items()}
    some, form = _any_of(sets), FORMS[_any_of(sets)["form"]]
    speed, made = measured.get("speed", {}), measured.get("tickets") or measured.get("snips") or {}
    cells = [
        f"`{some['method']}`",
        f"`{some['base']}`",
        form.learned,
        _score(measured.get("tickets"), form.tickets),
        _score(measured.get("snips"), form.intent),
        _score(measured.get("snips"), form.whole),
        _number(some.get("trained_parameters"), ",d"),
        _bytes(made.get("bytes")),
        _number(speed.get("tokens_per_second"), ",d"),
        _bytes(speed.get("peak_memory_bytes")),
    ]
    return f"| {' | '.join(cells)} |\n"


def _score(measured: dict[str, Any] | None, name: str) -> str:
    """A share with its interval, in percent; that it failed; or nothing, where nothing was measured."""
    if measured is None or not name:
        return ""
    if "failed" in measured:
        return "failed"
    mean, low, high = (100 * measured["scores"][name][part] for part in ("mean", "low", "high"))
    return f"{mean:.1f} % ({low:.0f} to {high:.0f})"


def _number(value: int | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _bytes(count: int | None) -> str:
    """Three digits, in the unit that has them."""
    if count is None:
        return ""
    size, unit = next((size, unit) for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")) if count >= size)
    return f"{count / size:.3g} {unit}"


def _budgets(results: Results) -> Iterator[str]:
    """Per set and budget, the cases that were measured with it."""
    cases: dict[str, list[str]] = {}
    for case, sets in sorted(results.items()):
        for result in sets.values():
            cases.setdefault(_budget(result), []).append(f"`{case}`")
    yield from (f"- {budget}: {', '.join(names)}\n" for budget, names in sorted(cases.items()))


def _budget(result: dict[str, Any]) -> str:
    asked, processor = result["asked"], result["machine"]["processor"]
    if asked["set"] == "speed":
        steps = f"{asked['steps']} steps of {asked['batch_size']} rows"
        return f"speed and memory, {steps}, {asked['threads']} threads on {processor}"
    name = {"tickets": "tickets", "snips": "SNIPS"}[asked["set"]]
    return f"{name}, {asked['rows']:,} rows, epochs: {asked['epochs']}, held-out rows: {asked['tests']}"
