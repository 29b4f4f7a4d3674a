"""Checks of data files: done in a worker, because counting tokens needs the base model's tokenizer."""

import tempfile
from pathlib import Path

from fettle.clusters.local import start_worker
from fettle.data.files import check_is_file
from fettle.services.base_models import BaseModels
from fettle.settings import Settings
from fettle.types.data import CheckPlan, DataReport

CHECK_MODULE = "fettle.workers.check"


def check_data(
    file: Path, validation: Path | None, base: str, *, base_models: BaseModels, settings: Settings
) -> DataReport:
    """What is in a file of examples, as the base model reads it.

    Raises:
        NotFound: there is no such file or base model.
        FettleError: a file cannot be read at all. Bad rows are in the report.
    """
    for path in [file, validation] if validation else [file]:
        check_is_file(path)
    entry = base_models.get(base)
    plan = CheckPlan(
        path=str(file),
        validation_path=str(validation) if validation else None,
        base_path=entry.path,
        context=entry.context,
    )
    with (
        tempfile.TemporaryDirectory(prefix="fettle-") as folder,
        start_worker(
            CHECK_MODULE,
            plan,
            Path(folder),
            log_path=settings.home / "logs" / "check.log",
            threads=settings.threads,
        ) as worker,
    ):
        return DataReport.model_validate(worker.result(lambda _: None))
