"""The audit log: every change of a record, written in the transaction that makes it, and requests that were refused.

The database lets it only grow.
"""

from typing import Any

from sqlalchemy import Connection, Select, insert, select

from fettle.store.database import Database
from fettle.store.tables import audit
from fettle.types.access import Action, Actor, AuditEvent, actor
from fettle.types.ids import now


def note(
    connection: Connection, project_id: str, action: Action, kind: str, subject: str, detail: dict[str, Any]
) -> None:
    """Write down a change that whoever is at work makes in this transaction; names of fields, never their values."""
    _write(connection, actor(), project_id, action, kind, subject, detail)


def _write(
    connection: Connection, who: Actor, project_id: str, action: Action, kind: str, subject: str, detail: dict[str, Any]
) -> None:
    body = {"origin": who.origin, "request_id": who.request_id, "detail": detail}
    place = {"project_id": project_id, "at": now(), "who": who.who}
    connection.execute(insert(audit).values(**place, action=action, kind=kind, subject=subject, body=body))


class AuditLog:
    """What was changed, as it was written down."""

    def __init__(self, database: Database) -> None:
        """The log in `database`."""
        self._database = database

    def refused(self, who: Actor, project_id: str, route: str, detail: dict[str, Any]) -> None:
        """Write down that somebody's request was refused."""
        with self._database.write() as connection:
            _write(connection, who, project_id, "refused", "request", route, detail)

    def page(self, *, after: int = 0, limit: int, project_id: str | None = None) -> list[AuditEvent]:
        """At most `limit` changes from after the one with id `after`, oldest first; of all projects, or of one."""
        query = select(audit).where(audit.c.id > after).order_by(audit.c.id).limit(limit)
        if project_id is not None:
            query = query.where(audit.c.project_id == project_id)
        return self._events(query)

    def newest(self, *, limit: int, before: int | None = None, project_id: str | None = None) -> list[AuditEvent]:
        """The last `limit` changes (before the one with the id `before`), oldest first; of all projects, or of one."""
        query = select(audit).order_by(audit.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(audit.c.id < before)
        if project_id is not None:
            query = query.where(audit.c.project_id == project_id)
        return self._events(query)[::-1]

    def _events(self, query: Select[Any]) -> list[AuditEvent]:
        with self._database.read() as connection:
            rows = connection.execute(query).mappings().all()
        fields = [{name: value for name, value in row.items() if name != "body"} | row["body"] for row in rows]
        return [AuditEvent.model_validate(one) for one in fields]
