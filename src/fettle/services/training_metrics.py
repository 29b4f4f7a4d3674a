"""A job's steps as a table, in the columns of OpenAI's result files."""

import csv
import io
from collections.abc import Iterable

from fettle.store.events import Event

COLUMNS = ("step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy")


def training_csv(events: Iterable[Event]) -> str:
    """A row for each step that was logged or validated; cells of what was not measured are empty.

    Args:
        events: those of a job that are steps or evaluations, in order. A step that was done again after an
            interruption is told again; the last time counts.
    """
    rows: dict[int, dict[str, float]] = {}
    for event in events:
        rows.setdefault(event.body["step"], {}).update(_cells(event))
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({"step": step, **rows[step]} for step in sorted(rows))
    return text.getvalue()


def _cells(event: Event) -> dict[str, float]:
    body = event.body
    if event.type == "step":
        return {"train_loss": body["loss"], "train_accuracy": body["token_accuracy"]}
    scores = body["validation"]
    return {"valid_loss": scores["loss"], "valid_mean_token_accuracy": scores["token_accuracy"]}
