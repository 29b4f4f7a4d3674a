"""Projects: tenants, each with rows, models and keys of its own."""

import re
from collections.abc import Sequence

from fettle.errors import Conflict, InvalidInput, unknown
from fettle.store.repository import STORED, Records, Repository
from fettle.types.access import DEFAULT_PROJECT, ApiKey, Project
from fettle.types.clusters import Cluster
from fettle.types.ids import now
from fettle.types.record import Record
from fettle.types.resources import Batch, TuningJob, Upload

_NAME = re.compile("[a-z0-9][a-z0-9-]{0,62}")
#: The states in which something is at work for a project, or holds what others could have.
_AT_WORK: dict[type[Record], tuple[str, ...]] = {
    TuningJob: ("queued", "running"),
    Batch: ("validating", "in_progress", "finalizing", "cancelling"),
    Upload: ("pending",),
    Cluster: ("creating", "active", "updating", "failed", "deleting"),
}


class Projects:
    """The projects of this installation; there is always the default one."""

    def __init__(self, repository: Repository) -> None:
        """The projects in `repository`."""
        self._repository = repository

    def create(self, name: str, description: str = "") -> Project:
        """Begin a project.

        Raises:
            InvalidInput: it cannot be called so.
            Conflict: there is one of this name, or there was: its rows must not become another's.
        """
        if not _NAME.fullmatch(name):
            hint = "Small letters, digits and dashes, at most 63; the first one is no dash."
            raise InvalidInput(f"{name!r} cannot be the name of a project", hint=hint, param="name")
        project = Project.checked({"id": name, "description": description, "created_at": now()})
        with self._repository.write() as records:
            if found := records.find(Project, id=name):
                what = "was" if found[0].state == "deleted" else "is"
                raise Conflict(f"there {what} a project {name!r} already", hint="Give another name.", param="name")
            return records.insert(project)

    def list(self) -> list[Project]:
        """All projects, oldest first."""
        return self._repository.find(Project, state="active")

    def page(self, *, after: str | None = None, limit: int) -> Sequence[Project]:
        """At most `limit` projects, oldest first, from the one behind the project `after`.

        Raises:
            NotFound: there is no project `after`.
        """
        return self._repository.page(Project, after=after, limit=limit, is_oldest_first=True, state="active")

    def get(self, name: str) -> Project:
        """The project of this name.

        Raises:
            NotFound: there is none; with the nearest name.
        """
        with self._repository.read() as records:
            return active_project(records, name)

    def delete(self, name: str) -> Project:
        """End a project: its keys open nothing any more, so nobody sees its rows; they are kept, as the log's are.

        Raises:
            NotFound: there is none; with the nearest name.
            Conflict: it is the default one, or something is at work in it.
        """
        if name == DEFAULT_PROJECT:
            raise Conflict(f"the project {name!r} is always there", hint="Delete what is in it.", param="project")
        with self._repository.write() as records:
            active_project(records, name)
            _check_is_idle(Records(records.connection, name), name)
            for key in records.find(ApiKey, project_id=name, state="active"):
                records.move(ApiKey, key.id, "revoked")
            return records.move(Project, name, "deleted")


def active_project(records: Records, name: str) -> Project:
    """The project of this name, as a transaction sees it.

    Raises:
        NotFound: there is none; with the nearest name.
    """
    if found := records.find(Project, id=name, state="active"):
        return found[0]
    raise unknown("project", name, [one.id for one in records.find(Project, state="active")], param="project")


def _check_is_idle(own: Records, name: str) -> None:
    """Refuse to end a project in which something is at work; `own` are its records."""
    counts = {kind: sum(len(own.find(kind, state=state)) for state in states) for kind, states in _AT_WORK.items()}
    if any(counts.values()):
        told = ", ".join(f"{STORED[kind].what}: {number}" for kind, number in counts.items() if number)
        hint = "Cancel its jobs, batches and uploads, and delete its clusters first."
        raise Conflict(f"the project {name!r} is in use ({told})", hint=hint, param="project")
