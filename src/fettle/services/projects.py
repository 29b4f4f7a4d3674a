"""Projects: tenants, each with rows, models and keys of its own."""

import re

from fettle.errors import Conflict, InvalidInput
from fettle.store.repository import Repository
from fettle.types.access import Project
from fettle.types.ids import now

_NAME = re.compile("[a-z0-9][a-z0-9-]{0,62}")


class Projects:
    """The projects of this installation; there is always the default one."""

    def __init__(self, repository: Repository) -> None:
        """The projects in `repository`."""
        self._repository = repository

    def create(self, name: str, description: str = "") -> Project:
        """Begin a project.

        Raises:
            InvalidInput: it cannot be called so.
            Conflict: there is one of this name.
        """
        if not _NAME.fullmatch(name):
            hint = "Small letters, digits and dashes, at most 63; the first one is no dash."
            raise InvalidInput(f"{name!r} cannot be the name of a project", hint=hint, param="name")
        project = Project.checked({"id": name, "description": description, "created_at": now()})
        with self._repository.write() as records:
            if records.find(Project, id=name):
                raise Conflict(f"there is a project {name!r} already", hint="Give another name.", param="name")
            return records.insert(project)

    def list(self) -> list[Project]:
        """All projects, oldest first."""
        return self._repository.find(Project)

    def get(self, name: str) -> Project:
        """The project of this name.

        Raises:
            NotFound: there is none; with the nearest name.
        """
        return self._repository.get(Project, name)
