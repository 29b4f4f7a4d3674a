"""`fettle eval`: a model's scores on a file of examples."""

from pathlib import Path
from typing import Annotated

import typer

from fettle.cli.options import Json
from fettle.cli.output import console, print_json, print_table, seconds_text
from fettle.cli.progress import EvaluationProgress
from fettle.cli.session import opened
from fettle.types.evaluation import EvaluationReport

app = typer.Typer()


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


def show(model: str, report: EvaluationReport) -> None:
    """Print a report for people."""
    rows = [
        [name, f"{score.mean:.1%}", f"{score.low:.1%} - {score.high:.1%}", score.count]
        for name, score in report.scores.items()
    ]
    print_table(["score", "mean", "95 % interval", "rows"], rows, title=f"{model}, {report.rows:,} rows")
    cut = f"; {report.truncated} answers were cut off at the token limit" if report.truncated else ""
    console().print(
        f"{report.completion_tokens:,} tokens in {seconds_text(report.seconds)}: "
        f"{report.tokens_per_second:,.0f} tokens/s{cut}\nEvery answer: {report.predictions_path}"
    )
