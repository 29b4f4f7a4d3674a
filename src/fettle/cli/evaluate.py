"""`fettle eval`: a model's scores on a file of examples."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from fettle.cli.options import Json
from fettle.cli.output import console, print_json, print_table, seconds_text
from fettle.cli.progress import EvaluationProgress
from fettle.cli.session import opened
from fettle.types.evaluation import EvaluationReport

app = typer.Typer()
MAX_CONFUSION_LABELS = 12


@app.command("eval")
def evaluate(
    model: Annotated[str, typer.Argument(help="A custom model (NAME or NAME:VERSION) or a base model.")],
    file: Annotated[Path, typer.Argument(help="JSONL file of examples (.gz and .zst too).")],
    limit: Annotated[int | None, typer.Option(min=1, help="Rows to take at most, from the top.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens of an answer at most.")] = 256,
    metrics: Annotated[list[str] | None, typer.Option("--metric", help="Only these metrics; may be repeated.")] = None,
    as_json: Json = False,
) -> None:
    """Measure a model on a file of examples.

    Every row's prompt is answered greedily and compared with its completion (of a conversation: its last answer).
    """
    with opened() as platform, EvaluationProgress(model) as progress:
        report = platform.evaluations.run(
            model, file, limit=limit, max_tokens=max_tokens, metrics=tuple(metrics or ()), on_event=progress
        )
    print_json(report) if as_json else show(model, report)


def print_confusion(confusion: Mapping[str, Mapping[str, int]]) -> None:
    """Print how often each expected label (a row) was given each label (a column), unless that is too wide."""
    labels = sorted({*confusion, *(label for row in confusion.values() for label in row)})
    if len(labels) <= MAX_CONFUSION_LABELS:
        rows = [[expected, *(confusion.get(expected, {}).get(given, 0) for given in labels)] for expected in labels]
        print_table(["expected", *labels], rows, title="answers by expected label")


def show(model: str, report: EvaluationReport) -> None:
    """Print a report for people."""
    rows = [
        [name, f"{score.mean:.1%}", f"{score.low:.1%} - {score.high:.1%}", score.count]
        for name, score in report.scores.items()
    ]
    print_table(["score", "mean", "95 % interval", "rows"], rows, title=f"{model}, {report.rows:,} rows")
    if report.confusion:
        print_confusion(report.confusion)
        told = f"{report.prompt_tokens:,} tokens read in {seconds_text(report.seconds)}"
        console().print(f"{told}\nEvery answer: {report.predictions_path}")
        return
    cut = f"; {report.truncated} answers were cut off at the token limit" if report.truncated else ""
    console().print(
        f"{report.completion_tokens:,} tokens in {seconds_text(report.seconds)}: "
        f"{report.tokens_per_second:,.0f} tokens/s{cut}\nEvery answer: {report.predictions_path}"
    )
