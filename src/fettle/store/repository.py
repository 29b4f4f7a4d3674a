"""Records in and out of the tables, by type: `get(TuningJob, id)`; states move only as the lifecycle allows."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from pydantic import ValidationError
from sqlalchemy import ColumnElement, Connection, Table, delete, func, insert, select, true, tuple_, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import IntegrityError

from fettle.errors import Conflict, StorageFailed, unknown
from fettle.store import tables
from fettle.store.audit import note
from fettle.store.database import Database
from fettle.store.events import write_event
from fettle.types.access import DEFAULT_PROJECT, SYSTEM, Action, ApiKey, Project, actor
from fettle.types.clusters import Cluster
from fettle.types.endpoints import Endpoint, VersionLabel
from fettle.types.ids import now
from fettle.types.kept_answers import KeptAnswer
from fettle.types.lifecycle import check_move
from fettle.types.record import Record
from fettle.types.resources import BaseModelEntry, Batch, CustomModel, StoredFile, TuningJob, Upload
from fettle.types.responses import StoredResponse

R = TypeVar("R", bound=Record)


#: Keys that one which is not there is compared with, to find one that may be meant.
_MOST_COMPARED = 200


class Artifact(Record):
    """A folder in the artifact store, known by its content."""

    hash: str
    size_bytes: int
    created_at: datetime


@dataclass(frozen=True)
class Stored:
    """Where records of a type are kept and what people call them."""

    table: Table
    key: str
    what: str
    lifecycle: str = ""
    is_audited: bool = True


STORED: dict[type[Record], Stored] = {
    BaseModelEntry: Stored(tables.base_models, "name", "base model"),
    TuningJob: Stored(tables.tuning_jobs, "id", "tuning job", "job"),
    CustomModel: Stored(tables.custom_models, "id", "custom model", "model"),
    Artifact: Stored(tables.artifacts, "hash", "artifact", is_audited=False),
    StoredFile: Stored(tables.files, "id", "file"),
    Upload: Stored(tables.uploads, "id", "upload", "upload"),
    Batch: Stored(tables.batches, "id", "batch", "batch"),
    Cluster: Stored(tables.clusters, "id", "cluster", "cluster"),
    Endpoint: Stored(tables.endpoints, "id", "endpoint", "endpoint"),
    VersionLabel: Stored(tables.version_labels, "id", "label"),
    KeptAnswer: Stored(tables.kept_answers, "id", "answer", is_audited=False),
    StoredResponse: Stored(tables.responses, "id", "response", is_audited=False),
    Project: Stored(tables.projects, "id", "project", "project"),
    ApiKey: Stored(tables.api_keys, "id", "API key", "key"),
}


class Records:
    """The records as one transaction sees them; those of one project only, if one is named.

    Whatever is asked of a project's records, rows of others are not there; what is added becomes the project's.
    """

    def __init__(self, connection: Connection, project: str | None = None) -> None:
        """The records on the other side of `connection`; of all projects, if none is named."""
        self.connection, self.project = connection, project

    @property
    def everywhere(self) -> "Records":
        """The records of all projects, in the same transaction."""
        return Records(self.connection)

    def insert(self, record: R) -> R:
        """Add a record.

        Raises:
            Conflict: there is one with its key (or another value that must be the only one).
        """
        stored = STORED[type(record)]
        if self.project is not None and "project_id" in stored.table.c:
            record = record.model_copy(update={"project_id": self.project})
        try:
            self.connection.execute(insert(stored.table).values(_row(record, stored.table)))
        except IntegrityError as error:
            key = getattr(record, stored.key)
            raise Conflict(f"the {stored.what} {key!r} cannot be added: {error.orig}") from error
        self._note("created", record)
        return record

    def find(self, kind: type[R], **equal: Any) -> list[R]:
        """The records whose columns have these values, oldest first."""
        table = STORED[kind].table
        query = select(table).filter_by(**equal).where(self._mine(table)).order_by(*_oldest_first(kind))
        return [_record(kind, row) for row in self.connection.execute(query).mappings()]

    def find_any(self, kind: type[R], column: str, values: Sequence[str]) -> list[R]:
        """The records that have one of these values in a column, oldest first."""
        table = STORED[kind].table
        query = select(table).where(table.c[column].in_(values), self._mine(table)).order_by(*_oldest_first(kind))
        return [_record(kind, row) for row in self.connection.execute(query).mappings()]

    def page(
        self,
        kind: type[R],
        *,
        after: str | None = None,
        limit: int,
        is_oldest_first: bool = False,
        by: Sequence[str] = (),
        within: Mapping[tuple[str, ...], str] | None = None,
        **equal: Any,
    ) -> list[R]:
        """At most `limit` of the records whose columns have these values.

        Args:
            kind: the type of the records, which have a time at which they were made if `by` names nothing else.
            after: key of the record behind which the page begins; None begins at the first.
            limit: records at most.
            is_oldest_first: else the newest come first.
            by: columns in whose order they come instead, which together are each record's own.
            within: texts that the records must hold deeper inside, by their path.
            **equal: columns and their values.

        Raises:
            NotFound: there is no record `after`.
        """
        table = STORED[kind].table
        columns = by or ("created_at", STORED[kind].key)
        place, is_rising = tuple_(*(table.c[name] for name in columns)), is_oldest_first or bool(by)
        query = select(table).filter_by(**equal).where(self._mine(table))
        for path, value in (within or {}).items():
            # Step by step: in a path as one text, PostgreSQL would read quotes and commas of a name as its own.
            inside: Any = table.c.body
            for name in path:
                inside = inside[name]
            query = query.where(inside.as_string() == value)
        if after is not None:
            found = self.get(kind, after)
            last = tuple_(*(getattr(found, name) for name in columns), types=[table.c[name].type for name in columns])
            query = query.where(place > last if is_rising else place < last)
        order = [column if is_rising else column.desc() for column in place.clauses]
        return [_record(kind, row) for row in self.connection.execute(query.order_by(*order).limit(limit)).mappings()]

    def get(self, kind: type[R], key: str) -> R:
        """The record with this key.

        Raises:
            NotFound: there is none; with the nearest key.
        """
        found = self.find(kind, **{STORED[kind].key: key})
        if not found:
            raise unknown(STORED[kind].what, key, self._keys(kind))
        return found[0]

    def update(self, record: R, **changes: Any) -> R:
        """Change fields of a record (not its state: see `move`); what it is afterwards.

        Raises:
            NotFound: it is gone.
        """
        if "state" in changes:
            raise ValueError("a state changes through move()")
        return self._replace(record, changes)

    def move(self, kind: type[R], key: str, state: str, **changes: Any) -> R:
        """Change a record's state, and other fields with it; what it is afterwards.

        Raises:
            Conflict: the state it has now does not allow it.
        """
        record, stored = self.get(kind, key), STORED[kind]
        check_move(stored.lifecycle, key, record.state, state)  # type: ignore[attr-defined]
        return self._replace(record, {**changes, "state": state})

    def touch(self, kind: type[R], key: str, **columns: Any) -> None:
        """Write down columns that say when something was last used; no change, and not told as one."""
        table = STORED[kind].table
        self.connection.execute(update(table).where(table.c[STORED[kind].key] == key).values(columns))

    def tell(self, subject: str, type: str, **body: Any) -> None:  # noqa: A002
        """Write down in this transaction that something happened: whoever follows is told of what is so, and of all."""
        write_event(self.connection, subject, type, now(), **body)

    def delete(self, kind: type[R], key: str) -> None:
        """Remove a record; nothing happens when it is gone already."""
        table = STORED[kind].table
        for record in self.find(kind, **{STORED[kind].key: key}):
            self.connection.execute(delete(table).where(table.c[STORED[kind].key] == key))
            self._note("deleted", record)

    def delete_before(self, kind: type[Record], moment: datetime) -> None:
        """Remove the records that were made before a moment, without a note of it: their time is over."""
        table = STORED[kind].table
        self.connection.execute(delete(table).where(table.c.created_at < moment, self._mine(table)))

    def highest(self, kind: type[R], column: str, **equal: Any) -> int:
        """The greatest number in a column among the records with these values; 0 when there are none."""
        table = STORED[kind].table
        query = select(func.max(table.c[column])).filter_by(**equal).where(self._mine(table))
        return self.connection.execute(query).scalar() or 0

    def _replace(self, record: R, changes: dict[str, Any]) -> R:
        stored = STORED[type(record)]
        changed = type(record).model_validate({**dict(record), **changes})
        column = stored.table.c[stored.key]
        key = getattr(record, stored.key)
        query = update(stored.table).where(column == key, self._mine(stored.table))
        done = self.connection.execute(query.values(_row(changed, stored.table)))
        if done.rowcount == 0:
            raise unknown(stored.what, key, self._keys(type(record)))
        # What the system writes down of its own work is in the events; a change of state is told whoever made it.
        if "state" in changes or actor() is not SYSTEM:
            state = {"state": changes["state"]} if "state" in changes else {}
            self._note("changed", changed, fields=sorted(changes), **state)
        return changed

    def _keys(self, kind: type[Record]) -> list[str]:
        table = STORED[kind].table
        query = select(table.c[STORED[kind].key]).where(self._mine(table)).limit(_MOST_COMPARED)
        return list(self.connection.execute(query).scalars())

    def _mine(self, table: Table) -> ColumnElement[bool]:
        """That a row is the project's."""
        is_shared = self.project is None or "project_id" not in table.c
        return true() if is_shared else table.c.project_id == self.project

    def _note(self, action: Action, record: Record, **detail: Any) -> None:
        stored = STORED[type(record)]
        if stored.is_audited:
            project = getattr(record, "project_id", None) or self.project or DEFAULT_PROJECT
            note(self.connection, project, action, stored.what, getattr(record, stored.key), detail)


class Repository:
    """The records of the installation, or of one project; each method here is a transaction of its own."""

    def __init__(self, database: Database, project: str | None = None) -> None:
        """The records in `database`; of all projects, if none is named."""
        self.database, self.project = database, project

    def of(self, project: str | None) -> "Repository":
        """The same records as a project sees them; None: all."""
        return Repository(self.database, project)

    @property
    def everywhere(self) -> "Repository":
        """The records of all projects."""
        return self.of(None)

    @contextmanager
    def read(self) -> Iterator[Records]:
        """Several looks at one and the same moment."""
        with self.database.read() as connection:
            yield Records(connection, self.project)

    @contextmanager
    def write(self) -> Iterator[Records]:
        """Several changes of which all or none are kept; no other writer runs beside."""
        with self.database.write() as connection:
            yield Records(connection, self.project)

    def insert(self, record: R) -> R:
        """See `Records.insert`."""
        with self.write() as records:
            return records.insert(record)

    def get(self, kind: type[R], key: str) -> R:
        """See `Records.get`."""
        with self.read() as records:
            return records.get(kind, key)

    def find(self, kind: type[R], **equal: Any) -> list[R]:
        """See `Records.find`."""
        with self.read() as records:
            return records.find(kind, **equal)

    def page(self, kind: type[R], **asked: Any) -> list[R]:
        """See `Records.page`."""
        with self.read() as records:
            return records.page(kind, **asked)

    def update(self, record: R, **changes: Any) -> R:
        """See `Records.update`; only the given fields change, whatever else others changed meanwhile."""
        with self.write() as records:
            current = records.get(type(record), getattr(record, STORED[type(record)].key))
            return records.update(current, **changes)

    def touch(self, kind: type[R], key: str, **columns: Any) -> None:
        """See `Records.touch`."""
        with self.write() as records:
            records.touch(kind, key, **columns)

    def move(self, kind: type[R], key: str, state: str, **changes: Any) -> R:
        """See `Records.move`."""
        with self.write() as records:
            return records.move(kind, key, state, **changes)


def _oldest_first(kind: type[Record]) -> list[ColumnElement[Any]]:
    table = STORED[kind].table
    return [table.c[name] for name in ("created_at", STORED[kind].key) if name in table.c]


def _row(record: Record, table: Table) -> dict[str, Any]:
    columns = {name: getattr(record, name) for name in table.c.keys() if name != "body"}  # noqa: SIM118
    rest = record.model_dump(mode="json", exclude=set(columns))
    return {**columns, "body": rest} if "body" in table.c else columns


def _record(kind: type[R], row: RowMapping) -> R:
    fields = {name: value for name, value in row.items() if name != "body"}
    try:
        return kind.model_validate({**row.get("body", {}), **fields})
    except ValidationError as error:
        key = row[STORED[kind].key]
        raise StorageFailed(
            f"the record of {STORED[kind].what} {key!r} cannot be read: {error.error_count()} fields do not fit",
            hint="The database was changed by hand or by another version of Fettle.",
        ) from error
