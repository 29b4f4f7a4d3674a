"""Custom models: versions in version sets; `name` is the newest active version, `name:2` that one for ever."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fettle.errors import InvalidInput, unknown
from fettle.store.artifacts import ArtifactStore
from fettle.store.files import files_in
from fettle.store.repository import Artifact, Records, Repository
from fettle.types.endpoints import VersionLabel
from fettle.types.ids import new_id, now
from fettle.types.resources import CustomModel, PromptFormat, TuningJob


class CustomModels:
    """The registry of tuned models."""

    def __init__(self, repository: Repository, artifacts: ArtifactStore) -> None:
        """The models in `repository`, whose files are in `artifacts`."""
        self._repository, self._artifacts = repository, artifacts

    def list(self) -> list[CustomModel]:
        """All active versions, oldest first."""
        return self._repository.find(CustomModel, state="active")

    def get(self, name: str) -> CustomModel:
        """The version that `name` (newest), `name:version`, `name:label` or its alias means.

        Raises:
            NotFound: there is none; with the nearest name.
        """
        if found := self._repository.find(CustomModel, alias=name, state="active"):
            return found[0]
        set_name, colon, number = name.partition(":")
        number = self._labelled(set_name, number)
        siblings = self._repository.find(CustomModel, name=set_name, state="active")
        versions = {str(model.version): model for model in siblings}
        if not colon and siblings:
            return max(siblings, key=lambda model: model.version)
        if number in versions:
            return versions[number]
        known = self.list()
        full_names = [model.full_name for model in known]
        raise unknown("custom model", name, full_names if colon else {model.name for model in known}, param="model")

    def path(self, model: CustomModel) -> Path:
        """The folder of its adapter or weights.

        Raises:
            NotFound: it was deleted.
        """
        return self._artifacts.path(model.artifact)

    def begin(
        self,
        job: TuningJob,
        folder: Path,
        *,
        kind: str,
        prompt_format: PromptFormat,
        metrics: dict[str, Any],
        labels: Sequence[str] = (),
    ) -> CustomModel:
        """Keep the files in `folder` as the next version of the job's name; it is `creating` until `finish`.

        A job makes one version, however often it comes here.

        Raises:
            StorageFailed: the files cannot be kept; nothing is recorded.
        """
        if made := self._unfinished(job):
            return made
        with self._artifacts.staged(files_in(folder), is_linked=True) as staged, self._repository.write() as records:
            artifact = self._artifacts.place(staged, records)
            model = CustomModel(
                id=new_id("model"),
                project_id=job.project_id,
                name=job.spec.name,
                version=_last_version(records, job) + 1,
                base=job.spec.base,
                method=job.spec.method,
                kind=kind,
                prompt_format=prompt_format,
                job_id=job.id,
                dataset_hash=job.dataset_hash,
                artifact=artifact.hash,
                size_bytes=staged.size_bytes,
                alias=job.order.alias,
                metrics=metrics,
                labels=tuple(labels),
                created_at=now(),
            )
            return records.insert(model)

    def finish(self, model: CustomModel) -> CustomModel:
        """Make it active, and its job succeeded, at the same moment."""
        with self._repository.write() as records:
            active = records.move(CustomModel, model.id, "active")
            records.move(TuningJob, model.job_id, "succeeded", model_id=model.id, pid=None, error="", finished_at=now())
            records.tell(model.job_id, "succeeded", model=model.alias or model.full_name)
            records.tell(model.id, "created", name=model.full_name, job=model.job_id)
        return active

    def delete(self, name: str) -> CustomModel:
        """Delete one version: its record stays as deleted, its number is not used again, its files go.

        Raises:
            NotFound: there is no such version.
            InvalidInput: the name is of several versions.
        """
        model = self._only(name)
        with self._repository.write() as records:
            deleted = records.move(CustomModel, model.id, "deleted")
            if is_last := not _users(records, model.artifact):
                records.delete(Artifact, model.artifact)
            records.tell(model.id, "deleted", name=model.full_name)
        if is_last:
            self._artifacts.sweep_one(model.artifact)
        return deleted

    def _labelled(self, name: str, number: str) -> str:
        """The version that a label means; what is no label stays as it is."""
        labels = self._repository.find(VersionLabel, name=name, label=number) if number else []
        return str(labels[0].version) if labels else number

    def _only(self, name: str) -> CustomModel:
        model = self.get(name)
        siblings = [other.full_name for other in self.list() if other.name == model.name]
        if name == model.name and len(siblings) > 1:
            raise InvalidInput(
                f"{name!r} has {len(siblings)} versions", hint=f"Name one: {', '.join(siblings)}.", param="model"
            )
        return model

    def _unfinished(self, job: TuningJob) -> CustomModel | None:
        made = self._repository.find(CustomModel, job_id=job.id, state="creating")
        return made[0] if made else None


def _last_version(records: Records, job: TuningJob) -> int:
    return records.highest(CustomModel, "version", name=job.spec.name, project_id=job.project_id)


def _users(records: Records, artifact: str) -> list[CustomModel]:
    """The models, whosever they are, that have these files."""
    found = records.everywhere.find(CustomModel, artifact=artifact)
    return [model for model in found if model.state in ("creating", "active")]
