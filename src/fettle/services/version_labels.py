"""Labels of version sets: `tickets:production` means a version until the label is moved to another."""

import re
from collections.abc import Sequence

from fettle.errors import InvalidInput, NotFound, unknown
from fettle.services.custom_models import CustomModels
from fettle.store.repository import Repository
from fettle.types.endpoints import VersionLabel
from fettle.types.ids import new_id
from fettle.types.resources import CustomModel

_PATTERN = re.compile(r"[a-z][a-z0-9_-]{0,31}")


class VersionLabels:
    """Words for versions."""

    def __init__(self, repository: Repository, custom_models: CustomModels) -> None:
        """The labels in `repository`, of these models."""
        self._repository, self._custom_models = repository, custom_models

    def list(self, name: str | None = None) -> Sequence[VersionLabel]:
        """All labels, or those of one version set."""
        found = self._repository.find(VersionLabel, **({"name": name} if name else {}))
        return sorted(found, key=lambda one: (one.name, one.label))

    def page(self, name: str | None = None, *, after: str | None = None, limit: int) -> Sequence[VersionLabel]:
        """At most `limit` labels in the order of `list`, from the one behind the label with the id `after`.

        Raises:
            NotFound: there is no label `after`.
        """
        equal = {"name": name} if name else {}
        return self._repository.page(VersionLabel, after=after, limit=limit, by=("name", "label"), **equal)

    def put(self, model: str, label: str) -> VersionLabel:
        """Have a label mean this version from now on, in one step; requests that are being answered go on.

        Args:
            model: name:version, or name for the newest.
            label: small letters, digits, dashes and underscores.

        Raises:
            InvalidInput: the label cannot be one.
            NotFound: there is no such version.
        """
        if not _PATTERN.fullmatch(label):
            hint = "Small letters, digits, dashes and underscores, beginning with a letter; 32 at most."
            raise InvalidInput(f"{label!r} cannot be a label", hint=hint, param="label")
        return self._put(self._custom_models.get(model), label)

    def remove(self, name: str, label: str) -> VersionLabel:
        """Take a label away from a version set.

        Raises:
            NotFound: the set has no such label.
        """
        with self._repository.write() as records:
            found = records.find(VersionLabel, name=name, label=label)
            if not found:
                known = [one.label for one in records.find(VersionLabel, name=name)]
                raise unknown(f"label of {name!r}", label, known, param="label")
            records.delete(VersionLabel, found[0].id)
        return found[0]

    def _put(self, version: CustomModel, label: str) -> VersionLabel:
        with self._repository.write() as records:
            if records.get(CustomModel, version.id).state != "active":
                raise NotFound(f"{version.full_name!r} was deleted", param="model")
            found = records.find(VersionLabel, name=version.name, label=label)
            if found:
                return records.update(found[0], version=version.version)
            about = {"name": version.name, "label": label, "version": version.version}
            return records.insert(VersionLabel(id=new_id("label"), **about))
