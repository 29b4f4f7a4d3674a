"""Evaluations: a model's answers to a file of examples, scored in a worker of their own."""

from collections.abc import Callable, Sequence
from pathlib import Path

from fettle.clusters.local import start_worker
from fettle.data.files import check_is_file
from fettle.services.base_models import BaseModels
from fettle.services.custom_models import CustomModels
from fettle.services.engines import resolve
from fettle.settings import Settings
from fettle.types.evaluation import EvaluationPlan, EvaluationReport, ProgressEvent
from fettle.types.ids import new_id


class Evaluations:
    """Measures models."""

    def __init__(
        self,
        base_models: BaseModels,
        custom_models: CustomModels,
        settings: Settings,
        module: str,
    ) -> None:
        """Evaluations of these models; `module` is the worker that does them."""
        self._base_models, self._custom_models, self._settings = base_models, custom_models, settings
        self._module = module

    def run(
        self,
        model: str,
        file: Path,
        *,
        limit: int | None = None,
        max_tokens: int = 256,
        metrics: Sequence[str] = (),
        on_event: Callable[[ProgressEvent], None] = lambda _: None,
    ) -> EvaluationReport:
        """Let a base or custom model answer the rows of `file` and score the answers.

        Args:
            model: its name.
            file: JSONL of examples.
            limit: rows at most, from the top.
            max_tokens: tokens of an answer at most.
            metrics: their names; none means all that fit the rows.
            on_event: called with the progress.

        Raises:
            NotFound: there is no such model or metric.
            FettleError: the rows cannot be used, or the worker failed.
        """
        found = resolve(model, self._base_models, self._custom_models)
        check_is_file(file)
        name, home = new_id("eval"), self._settings.home
        plan = EvaluationPlan.checked(
            {
                "base_path": str(found.model_path),
                "adapter_path": found.adapter and str(found.adapter_path),
                "rows_path": str(file.absolute()),
                "output_path": str(home / "evaluations" / name),
                "metrics": tuple(metrics),
                "limit": limit,
                "max_tokens": max_tokens,
                "threads": self._settings.threads,
                "dtype": self._settings.dtype,
                "weights": self._settings.serving_weights,
            }
        )
        with start_worker(
            self._module,
            plan,
            Path(plan.output_path),
            log_path=home / "logs" / f"{name}.log",
            threads=self._settings.threads,
        ) as worker:
            return EvaluationReport.model_validate(
                worker.result(lambda event: on_event(ProgressEvent.model_validate(event)))
            )
