"""The append-only line of events: what happened to whom and when; progress and audit."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import Field
from sqlalchemy import Connection, insert, select

from fettle.store.database import Database
from fettle.store.tables import events
from fettle.types.ids import now
from fettle.types.record import Record


class Event(Record):
    """Something that happened; ids rise in the order in which events were written."""

    id: int
    subject: str = Field(description="id of what it happened to")
    type: str
    at: datetime
    body: dict[str, Any]


class EventLog:
    """Events are added and read, never changed."""

    def __init__(self, database: Database) -> None:
        """The events in `database`."""
        self._database = database

    def append(self, subject: str, type: str, **body: Any) -> None:  # noqa: A002
        """Write down that something happened to `subject`."""
        with self._database.write() as connection:
            write_event(connection, subject, type, now(), **body)

    def of(self, subject: str, *, after: int = 0, types: tuple[str, ...] = (), limit: int | None = None) -> list[Event]:
        """A subject's events in order, from after the one with id `after`; of all types unless some are named."""
        query = select(events).where(events.c.subject == subject, events.c.id > after).order_by(events.c.id)
        if types:
            query = query.where(events.c.type.in_(types))
        with self._database.read() as connection:
            return [Event.model_validate(dict(row)) for row in connection.execute(query.limit(limit)).mappings()]

    def of_all(self, subjects: Sequence[str], type: str) -> dict[str, list[Event]]:  # noqa: A002
        """The events of one type of several subjects, for each in order."""
        query = select(events).where(events.c.subject.in_(subjects), events.c.type == type).order_by(events.c.id)
        found: dict[str, list[Event]] = {subject: [] for subject in subjects}
        with self._database.read() as connection:
            for row in connection.execute(query).mappings():
                found[row["subject"]].append(Event.model_validate(dict(row)))
        return found

    def newest(
        self, subject: str, *, limit: int, before: int | None = None, types: tuple[str, ...] = ()
    ) -> list[Event]:
        """At most `limit` of a subject's events, the newest first, from before the one with id `before`."""
        query = select(events).where(events.c.subject == subject).order_by(events.c.id.desc())
        if before is not None:
            query = query.where(events.c.id < before)
        if types:
            query = query.where(events.c.type.in_(types))
        with self._database.read() as connection:
            return [Event.model_validate(dict(row)) for row in connection.execute(query.limit(limit)).mappings()]


def write_event(connection: Connection, subject: str, type: str, at: datetime, **body: Any) -> None:  # noqa: A002
    """Write down what happened at a moment, in the transaction of what made it happen: both are kept, or neither."""
    connection.execute(insert(events).values(subject=subject, type=type, at=at, body=body))
