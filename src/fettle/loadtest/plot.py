"""A picture of a load test: latencies and throughput by load, and how the answers' times are spread."""

import io
from typing import TYPE_CHECKING, Any

from fettle.loadtest.report import LoadReport, LoadResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = ("p50", "p90", "p99")
FORMATS = ("png", "svg")


def plotted(report: LoadReport, form: str) -> bytes:
    """The picture as a file of one of FORMATS."""
    # Here: it takes half a second to import. Figure without pyplot draws without a screen.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7), dpi=110, layout="constrained")
    first, gaps, speed, spread = figure.subplots(2, 2).flat
    _percentiles(first, report, "ttft_seconds", "time to first token")
    _percentiles(gaps, report, "itl_seconds", "time between tokens")
    _throughput(speed, report)
    _spread(spread, report)
    num = len(report.spec.models)
    figure.suptitle(f"{num} {'model' if num == 1 else 'models'} at {report.spec.url}")
    picture = io.BytesIO()
    figure.savefig(picture, format=form)
    return picture.getvalue()


def _percentiles(axes: "Axes", report: LoadReport, name: str, title: str) -> None:
    places, labels = _loads(report)
    for shown in SHOWN:
        stats = [getattr(result.all, name) for result in report.results]
        values = [_milliseconds(one, shown) for one in stats]
        axes.plot(places, values, marker="o", label=shown)
    axes.tick_params(axis="x", labelrotation=15)
    axes.set(title=title, ylabel="milliseconds", ylim=(0, None), xticks=places, xticklabels=labels)
    axes.legend()
    axes.grid(visible=True, alpha=0.3)


def _throughput(axes: "Axes", report: LoadReport) -> None:
    places, labels = _loads(report)
    axes.bar(places, [result.all.output_tokens_per_second for result in report.results], width=0.5)
    axes.tick_params(axis="x", labelrotation=15)
    axes.set(title="output tokens per second", ylim=(0, None), xticks=places, xticklabels=labels)
    axes.grid(visible=True, axis="y", alpha=0.3)


def _spread(axes: "Axes", report: LoadReport) -> None:
    for result in report.results:
        times = _answer_times(result)
        axes.step(times, [(place + 1) / len(times) for place in range(len(times))], label=str(result.load))
    axes.set(title="answers that have ended after ...", xlabel="seconds", ylabel="share", xlim=(0, None), ylim=(0, 1))
    axes.legend()
    axes.grid(visible=True, alpha=0.3)


def _answer_times(result: LoadResult) -> list[float]:
    return sorted(request.e2e_seconds for request in result.requests if not request.failure)


def _loads(report: LoadReport) -> tuple[list[int], list[str]]:
    return list(range(len(report.results))), [str(result.load) for result in report.results]


def _milliseconds(stats: Any, name: str) -> float:
    return 1000 * getattr(stats, name) if stats else float("nan")
