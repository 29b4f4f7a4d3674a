"""A load test's tables for people; times in milliseconds."""

from collections.abc import Mapping
from typing import Any

from fettle.cli.output import console, print_table, seconds_text
from fettle.loadtest.report import PERCENTILES, LoadReport, LoadResult, Stats, Summary

#: Rows of a table of models; all of them are in the JSON.
MAX_MODELS = 20
#: Above this share of a processor, this program may have been what was slow.
BUSY = 0.8
QUANTITIES = {
    "first token": "ttft_seconds",
    "between tokens": "itl_seconds",
    "per token, by request": "mean_itl_seconds",
    "whole answer": "e2e_seconds",
}


def show(report: LoadReport) -> None:
    """Print what was found."""
    for result in report.results:
        _show_load(result)
    if len(report.results) > 1:
        _show_rows("load", {str(result.load): result.all for result in report.results}, "all loads")


def _show_load(result: LoadResult) -> None:
    found = result.all
    title = f"{result.load}: {found.num_answered:,} of {found.num_requests:,} requests answered"
    rows = [[name, *_row(stats)] for name, field in QUANTITIES.items() if (stats := getattr(found, field))]
    columns = ["milliseconds", "mean", *(f"{percent} %" for percent in PERCENTILES), "max"]
    print_table(columns, rows, title=f"{title} in {seconds_text(result.seconds)}")
    console().print(f"{_throughput(found)}\n")
    if len(result.models) > 1:
        _show_models(result)
    _show_problems(result)


def _row(stats: Stats) -> list[str]:
    values = [stats.mean, *(getattr(stats, f"p{percent}") for percent in PERCENTILES), stats.max]
    return [_milliseconds(value) for value in values]


def _throughput(found: Summary) -> str:
    parts = [f"{found.requests_per_second:.4g} requests/s", f"{found.output_tokens_per_second:,.4g} output tokens/s"]
    if found.goodput is not None:
        parts.append(f"goodput {found.goodput:.4g} requests/s within the objectives")
    how = ", ".join(f"{_COUNTED[name]} ({num:,})" for name, num in found.counted_by.items())
    tokens = f"{found.prompt_tokens:,} prompt and {found.output_tokens:,} output tokens, counted {how or 'by nobody'}"
    return f"{', '.join(parts)}\n{tokens}"


_COUNTED = {"usage": "by the server", "pieces": "by pieces of the streams", "nothing": "by nobody"}


def _show_models(result: LoadResult) -> None:
    busiest = sorted(result.models.items(), key=lambda pair: -pair[1].num_requests)
    more = len(busiest) - MAX_MODELS
    _show_rows("model", dict(busiest[:MAX_MODELS]), f"models; {more:,} more are in the JSON" if more > 0 else "models")


def _show_rows(what: str, found: Mapping[str, Summary], title: str) -> None:
    """A row for each; a column in which there is nothing is left out."""
    cells = [_cells(summary) for summary in found.values()]
    columns = [name for name in cells[0] if any(row[name] for row in cells)]
    rows = [[name, *(row[column] for column in columns)] for name, row in zip(found, cells, strict=True)]
    print_table([what, *columns], rows, title=f"{title} (milliseconds: half of the values / 99 % are within)")


def _cells(found: Summary) -> dict[str, Any]:
    return {
        "done": found.num_answered,
        "failed": found.num_requests - found.num_answered,
        "req/s": found.requests_per_second,
        "tok/s": found.output_tokens_per_second,
        "good/s": found.goodput,
        "first": _two(found.ttft_seconds),
        "between": _two(found.itl_seconds),
        "whole": _two(found.e2e_seconds),
    }


def _two(stats: Stats | None) -> str:
    return f"{_milliseconds(stats.p50)}/{_milliseconds(stats.p99)}" if stats else ""


def _milliseconds(seconds: float) -> str:
    """'0.04', '41.3', '1,204'."""
    value = 1000 * seconds
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def _show_problems(result: LoadResult) -> None:
    failures = result.all.failures
    if failures:
        rows = [[failure.kind, failure.num, failure.example] for failure in failures]
        print_table(["failure", "requests", "for example"], rows)
    if result.client_cpu > BUSY:
        busy = f"this program used {result.client_cpu:.0%} of a processor: it may have been what was slow"
        console().print(f"[yellow]note:[/] {busy}\n")
