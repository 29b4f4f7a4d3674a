"""Keys, projects and the audit log of a server."""

from collections.abc import Sequence
from urllib.parse import quote

from fettle.cli.remote.connection import NATIVE, PAGE, Connection
from fettle.errors import unknown
from fettle.types.access import AuditEvent, KeyChange, KeySpec, KeyTold, Project


class RemoteProjects:
    """Tenants."""

    def __init__(self, server: Connection) -> None:
        """The projects of `server`."""
        self._server = server

    def create(self, name: str, description: str) -> Project:
        """Begin a project."""
        body = {"name": name, "description": description}
        return Project.model_validate(self._server.post(f"{NATIVE}/projects", body))

    def list(self) -> Sequence[Project]:
        """All projects, oldest first."""
        return list(self._server.pages(f"{NATIVE}/projects", Project))

    def get(self, name: str) -> Project:
        """One of them, or NotFound."""
        found = {project.id: project for project in self.list()}
        if name not in found:
            raise unknown("project", name, found)
        return found[name]

    def delete(self, name: str) -> Project:
        """End a project in which nothing is at work."""
        return Project.model_validate(self._server.delete(f"{NATIVE}/projects/{quote(name, safe='')}"))


class RemoteKeys:
    """API keys."""

    def __init__(self, server: Connection, projects: RemoteProjects) -> None:
        """The keys of `server`."""
        self._server, self._projects = server, projects

    def create(self, spec: KeySpec) -> tuple[KeyTold, str]:
        """What is recorded of a new key, and the key itself."""
        made = self._server.post(f"{NATIVE}/keys", spec)
        return KeyTold.model_validate(made["key"]), str(made["api_key"])

    def list(self, project: str | None = None) -> Sequence[KeyTold]:
        """The keys of a project or of all, oldest first."""
        wanted = self._projects.get(project).id if project else None
        found = list(self._server.pages(f"{NATIVE}/keys", KeyTold))[::-1]
        return [key for key in found if wanted in (None, key.project_id)]

    def change(self, name: str, changes: KeyChange) -> KeyTold:
        """Give a key other limits; what is not named stays."""
        sent = changes.model_dump(mode="json", exclude_unset=True)
        return KeyTold.model_validate(self._server.patch(f"{NATIVE}/keys/{quote(name, safe='')}", sent))

    def revoke(self, name: str) -> KeyTold:
        """End a key, by its id or by how it begins."""
        return KeyTold.model_validate(self._server.post(f"{NATIVE}/keys/{quote(name, safe='')}/revoke"))


class RemoteAudit:
    """Who has changed what."""

    def __init__(self, server: Connection) -> None:
        """The log of `server`."""
        self._server = server

    def page(self, *, after: int = 0, limit: int, project_id: str | None = None) -> Sequence[AuditEvent]:
        """At most as many changes as a page has from after the one with id `after`, oldest first."""
        return self._page(after=after, limit=min(limit, PAGE), project=project_id)

    def newest(self, *, limit: int, project_id: str | None = None) -> Sequence[AuditEvent]:
        """The last `limit` changes, oldest first."""
        found: list[AuditEvent] = []
        while limit > len(found):
            after = found[-1].id if found else None
            page = self._page(after=after, limit=min(limit - len(found), PAGE), order="desc", project=project_id)
            if not page:
                break
            found += page
        return found[::-1]

    def _page(self, **params: str | int | None) -> Sequence[AuditEvent]:
        found = self._server.get(f"{NATIVE}/audit", **params)
        return [AuditEvent.model_validate(one) for one in found["data"]]
