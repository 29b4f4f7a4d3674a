"""Examples that a server checks, and models that it measures on them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fettle.cli.remote.connection import NATIVE, Connection
from fettle.cli.remote.jobs import named_as_here
from fettle.data.files import check_is_file
from fettle.types.data import DataReport
from fettle.types.evaluation import EvaluationReport, ProgressEvent
from fettle.types.ids import new_id


class RemoteEvaluations:
    """Evaluations that a server carries out; every answer is kept below a folder of this machine."""

    def __init__(self, server: Connection, home: Path) -> None:
        """The evaluations of `server`, whose answers are kept below `home`."""
        self._server, self._home = server, home

    def run(
        self,
        model: str,
        file: Path,
        *,
        limit: int | None,
        max_tokens: int,
        metrics: Sequence[str],
        on_event: Callable[[ProgressEvent], None],
    ) -> EvaluationReport:
        """A model's scores on a file of examples."""
        check_is_file(file)
        with self._server.uploaded(file) as (file_id,), named_as_here(file):
            order = {"model": model, "file": file_id, "limit": limit, "max_tokens": max_tokens, "metrics": metrics}
            for event in self._server.events(f"{NATIVE}/evaluations", order):
                if event["type"] == "report":
                    return self._kept(event)
                on_event(ProgressEvent.model_validate(event))
        raise AssertionError("an evaluation ends with its report or with an error")

    def _kept(self, told: dict[str, Any]) -> EvaluationReport:
        path = self._home / "evaluations" / new_id("eval") / "predictions.jsonl"
        path.parent.mkdir(parents=True)
        self._server.download(f"/v1/files/{told['predictions_file']}/content", path)
        return EvaluationReport.model_validate({**told["report"], "predictions_path": str(path)})


def check_data(server: Connection, file: Path, validation: Path | None, base: str) -> DataReport:
    """What is in a file of examples, as a base model at the server reads it."""
    for path in filter(None, (file, validation)):
        check_is_file(path)
    with server.uploaded(file, validation) as (file_id, validation_id), named_as_here(file, validation):
        order = {"file": file_id, "validation_file": validation_id, "base": base}
        report = DataReport.model_validate(server.post(f"{NATIVE}/data-checks", order))
    held_out = report.validation and report.validation.model_copy(update={"path": str(validation)})
    return report.model_copy(update={"path": str(file), "validation": held_out})
