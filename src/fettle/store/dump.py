"""All rows of a database as lines of JSON, a file per table: what one kind of database has told, the other can take."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, Date, DateTime, Integer, MetaData, Table, delete, func, insert, select, text

from fettle.errors import Conflict
from fettle.store.tables import METADATA, installation

#: A home claims its database anew, and a fresh one has the default project.
_NOT_TOLD, _FRESH = installation.name, "projects"
_ROWS_AT_ONCE = 500


def dump(connection: Connection, folder: Path) -> None:
    """Write the rows that a transaction sees into `folder`, which is made."""
    folder.mkdir(parents=True)
    for table in _tables(connection):
        with _file_of(table, folder).open("w", encoding="utf-8") as file:
            for row in connection.execute(select(table)).mappings():
                file.write(json.dumps({name: _plain(value) for name, value in row.items()}) + "\n")


def load(connection: Connection, folder: Path, changed: Callable[[Any], Any]) -> None:
    """Insert what `dump` has written, in a database of the same revision that holds nothing.

    Args:
        connection: in whose transaction it is done.
        folder: where the rows are.
        changed: what becomes of each value that was JSON.

    Raises:
        Conflict: the database holds something.
    """
    tables = _tables(connection)
    if used := [table.name for table in tables if table.name != _FRESH and _count(connection, table)]:
        raise Conflict(f"the database is not empty: there are rows in {', '.join(used)}", hint="Give an empty one.")
    for table in tables:
        if table.name == _FRESH:
            connection.execute(delete(table))
        rows = _rows(table, _file_of(table, folder), changed)
        while some := list(islice(rows, _ROWS_AT_ONCE)):
            connection.execute(insert(table), some)
        _count_on(connection, table)


def _tables(connection: Connection) -> Sequence[Table]:
    """The tables as they are now, perhaps of an earlier revision; those that others refer to come first."""
    found = MetaData()
    found.reflect(connection, only=lambda name, _: name in METADATA.tables and name != _NOT_TOLD)
    return found.sorted_tables


def _file_of(table: Table, folder: Path) -> Path:
    return folder / f"{table.name}.jsonl"


def _count(connection: Connection, table: Table) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


def _rows(table: Table, path: Path, changed: Callable[[Any], Any]) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield {name: _typed(table.c[name], value, changed) for name, value in json.loads(line).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    return value.isoformat() if isinstance(value, date) else value


def _typed(column: Column[Any], value: Any, changed: Callable[[Any], Any]) -> Any:
    if value is not None and isinstance(column.type, DateTime):
        return datetime.fromisoformat(value)
    if value is not None and isinstance(column.type, Date):
        return date.fromisoformat(value)
    return changed(value) if isinstance(value, dict) else value


def _count_on(connection: Connection, table: Table) -> None:
    """Have a server go on counting behind the ids that were inserted."""
    (key, *others) = table.primary_key.columns
    if connection.dialect.name == "postgresql" and not others and isinstance(key.type, Integer):
        query = f"SELECT setval(pg_get_serial_sequence(:table, :key), max({key.name})) FROM {table.name}"
        connection.execute(text(query), {"table": table.name, "key": key.name})
