"""Custom models for the user: list, get, card, delete, export."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from fettle.errors import Conflict
from fettle.registry.base_models import BaseModels
from fettle.registry.custom_models import CustomModels as Registry
from fettle.registry.model_card import CURVE_FILE, loss_curve, model_card
from fettle.store.events import EventLog
from fettle.store.files import files_in, storage_told, write_whole
from fettle.store.repository import Repository
from fettle.types.ids import new_id
from fettle.types.resources import CustomModel, PromptFormat, TuningJob
from fettle.types.tuning import EvaluationEvent, StepEvent

CARD_FILE = "README.md"
_steps, _evaluations = TypeAdapter(list[StepEvent]), TypeAdapter(list[EvaluationEvent])


class CustomModels:
    """What was tuned here."""

    def __init__(
        self, registry: Registry, base_models: BaseModels, repository: Repository, events: EventLog, home: Path
    ) -> None:
        """The models in `registry`, with their cards under `home`."""
        self._registry, self._base_models, self._repository, self._events = registry, base_models, repository, events
        self._cards = home / "cards"

    def list(self) -> list[CustomModel]:
        """All active versions of all custom models, oldest first."""
        return self._registry.list()

    def page(self, *, after: str | None = None, limit: int) -> Sequence[CustomModel]:
        """At most `limit` versions, deleted ones too, the newest first, from behind the one with the id `after`.

        Raises:
            NotFound: there is no version `after`.
        """
        return self._repository.page(CustomModel, after=after, limit=limit)

    def get(self, name: str) -> CustomModel:
        """The version that `name` (the newest) or `name:version` means.

        Raises:
            NotFound: there is none; with the nearest name.
        """
        return self._registry.get(name)

    def made_by(self, job: TuningJob) -> CustomModel | None:
        """The version that a job has made, also if it was deleted since; None when it has made none."""
        return self._repository.get(CustomModel, job.model_id) if job.model_id else None

    def path(self, model: CustomModel) -> Path:
        """The folder of its adapter or weights; nobody may change what is in it."""
        return self._registry.path(model)

    def folder_of(self, name: str | None) -> str | None:
        """The same, by a name that a job keeps; None for no name."""
        return None if name is None else str(self.path(self.get(name)))

    def register(
        self,
        job: TuningJob,
        folder: Path,
        *,
        kind: str,
        prompt_format: PromptFormat,
        metrics: dict[str, Any],
        labels: Sequence[str] = (),
    ) -> CustomModel:
        """Make the files in `folder` the job's custom model, with its card; the job has succeeded then.

        Raises:
            StorageFailed: a file cannot be written; the job can be run again and goes on here.
        """
        begun = self._registry.begin(
            job, folder, kind=kind, prompt_format=prompt_format, metrics=metrics, labels=labels
        )
        self._write_card(begun)
        return self._registry.finish(begun)

    def card(self, model: CustomModel) -> str:
        """The model card, as Markdown; the loss curve is a picture beside the file (see `card_folder`)."""
        return (self.card_folder(model) / CARD_FILE).read_text(encoding="utf-8")

    def card_folder(self, model: CustomModel) -> Path:
        """The folder that holds the card and the loss curve; made anew if it was removed."""
        if not (self._cards / model.id / CARD_FILE).exists():
            self._write_card(model)
        return self._cards / model.id

    def delete(self, name: str) -> CustomModel:
        """Delete one version with its files; other versions stay.

        Raises:
            NotFound: there is no such version.
            InvalidInput: the name is of several versions.
        """
        deleted = self._registry.delete(name)
        shutil.rmtree(self._cards / deleted.id, ignore_errors=True)
        return deleted

    def export(self, name: str, folder: Path, *, force: bool = False) -> Path:
        """Copy a model's files and card into `folder`, in the format of `peft` (or `transformers`, for whole weights).

        Args:
            name: name, or name:version.
            folder: must be new or empty.
            force: also write into a folder that holds something; files of the same names are replaced.

        Raises:
            Conflict: the folder is not empty.
            StorageFailed: it cannot be written; nothing is in it then that was not before.
        """
        model = self.get(name)
        check_folder(folder, force=force)
        copy_into(self.files(model), folder)
        return folder

    def files(self, model: CustomModel) -> dict[str, Path]:
        """Its files and card, as they are exported; nobody may change them."""
        return files_in(self.card_folder(model)) | files_in(self.path(model))

    def _write_card(self, model: CustomModel) -> None:
        job = self._repository.get(TuningJob, model.job_id)
        steps = _steps.validate_python(self._told(job.id, "step"))
        evaluations = _evaluations.validate_python(self._told(job.id, "evaluation"))
        if steps or evaluations:
            write_whole(self._cards / model.id / CURVE_FILE, loss_curve(steps, evaluations, model.full_name))
        text = model_card(model, job, self._base_models.get(model.base), has_curve=bool(steps or evaluations))
        write_whole(self._cards / model.id / CARD_FILE, text.encode())

    def _told(self, job_id: str, kind: str) -> Sequence[dict[str, Any]]:
        return [event.body | {"type": kind} for event in self._events.of(job_id, types=(kind,))]


def check_folder(folder: Path, *, force: bool) -> None:
    """See that a model can be exported into a folder.

    Raises:
        Conflict: there is something in it, and `force` was not said.
    """
    if not force and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict(f"{folder} is not empty", hint="Name a new folder, or say --force.", param="folder")


def copy_into(files: dict[str, Path], folder: Path) -> None:
    """Copy files, by their names there, into a folder: all or none of them.

    Raises:
        StorageFailed: it cannot be written.
    """
    # All under a temporary name first: renaming needs no more space.
    partial = folder.with_name(f".{folder.name}.{new_id('partial')}")
    try:
        with storage_told(f"{folder} cannot be written"):
            for name, source in files.items():
                (partial / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, partial / name)
            for name in files:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (partial / name).rename(folder / name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
