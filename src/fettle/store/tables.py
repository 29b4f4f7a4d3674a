"""The tables: columns for what is looked up or guarded, `body` for the other fields of the record."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from fettle.types.access import DEFAULT_PROJECT


class Moment(TypeDecorator[datetime]):
    """A point in time: UTC in the database and aware in Python, also where the database knows no time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC."""
        return value and value.astimezone(UTC)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        """From UTC."""
        return value and (value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC))


#: A number that may be above two thousand million; SQLite's integers are as wide as needed.
WIDE = BigInteger().with_variant(Integer(), "sqlite")

METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def _body() -> Column[Any]:
    return Column("body", JSON, nullable=False)


def _project() -> Column[Any]:
    """Whose row it is; a table that has this column shows a project its own rows only (see `Records`)."""
    return Column("project_id", String, nullable=False, index=True, server_default=DEFAULT_PROJECT)


def _listed() -> Index:
    """By it a page is found without a look at the others."""
    return Index(None, "project_id", "created_at", "id")


base_models = Table(
    "base_models",
    METADATA,
    Column("name", String, primary_key=True),
    _body(),
)

tuning_jobs = Table(
    "tuning_jobs",
    METADATA,
    Column("id", String, primary_key=True),
    _project(),
    Column("state", String, nullable=False, index=True),
    Column("dataset_hash", String, nullable=False, index=True),
    Column("created_at", Moment, nullable=False),
    _body(),
    _listed(),
)

custom_models = Table(
    "custom_models",
    METADATA,
    Column("id", String, primary_key=True),
    _project(),
    Column("name", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("base", String, nullable=False, index=True),
    Column("job_id", String, ForeignKey("tuning_jobs.id"), nullable=False),
    # Not a foreign key: the record of a deleted model stays when its files are gone.
    Column("artifact", String, nullable=False, index=True),
    Column("alias", String, nullable=True, index=True, unique=True),
    Column("created_at", Moment, nullable=False),
    _body(),
    UniqueConstraint("project_id", "name", "version"),
    _listed(),
)

artifacts = Table(
    "artifacts",
    METADATA,
    Column("hash", String, primary_key=True),
    Column("size_bytes", WIDE, nullable=False),
    Column("created_at", Moment, nullable=False),
)

files = Table(
    "files",
    METADATA,
    Column("id", String, primary_key=True),
    _project(),
    Column("purpose", String, nullable=False, index=True),
    Column("artifact", String, nullable=False, index=True),
    Column("created_at", Moment, nullable=False),
    _body(),
    _listed(),
)

uploads = Table(
    "uploads",
    METADATA,
    Column("id", String, primary_key=True),
    _project(),
    Column("state", String, nullable=False, index=True),
    Column("created_at", Moment, nullable=False),
    _body(),
)

batches = Table(
    "batches",
    METADATA,
    Column("id", String, primary_key=True),
    _project(),
    Column("state", String, nullable=False, index=True),
    Column("created_at", Moment, nullable=False),
    _body(),
    _listed(),
)

responses = Table(
    "responses",
    METADATA,
    Column("id", String, primary_key=True),
    _project(),
    # By it those whose time is over are found.
    Column("created_at", Moment, nullable=False, index=True),
    _body(),
)

events = Table(
    "events",
    METADATA,
    Column("id", WIDE, primary_key=True, autoincrement=True),
    Column("subject", String, nullable=False, index=True),
    Column("type", String, nullable=False),
    Column("at", Moment, nullable=False),
    _body(),
)

projects = Table(
    "projects",
    METADATA,
    Column("id", String, primary_key=True),
    Column("state", String, nullable=False, server_default="active"),
    Column("created_at", Moment, nullable=False),
    _body(),
    Index(None, "created_at", "id"),
)

api_keys = Table(
    "api_keys",
    METADATA,
    Column("id", String, primary_key=True),
    _project(),
    Column("state", String, nullable=False),
    # What is shown of a key finds its row; the digest is then compared in constant time.
    Column("prefix", String, nullable=False, index=True),
    Column("digest", String, nullable=False, unique=True),
    Column("created_at", Moment, nullable=False),
    Column("last_used_at", Moment, nullable=True),
    _body(),
    _listed(),
    Index(None, "created_at", "id"),
)

key_usage = Table(
    "key_usage",
    METADATA,
    Column("key_id", String, ForeignKey("api_keys.id"), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("num_tokens", BigInteger, nullable=False),
)

audit = Table(
    "audit",
    METADATA,
    Column("id", WIDE, primary_key=True, autoincrement=True),
    _project(),
    Column("at", Moment, nullable=False),
    Column("who", String, nullable=False),
    Column("action", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("subject", String, nullable=False),
    _body(),
)


def _live_name(table: str) -> Index:
    """A name is free again once what had it is deleted."""
    is_live = text("state != 'deleted'")
    name = f"uq_{table}_live_name"
    return Index(name, "project_id", "name", unique=True, sqlite_where=is_live, postgresql_where=is_live)


clusters = Table(
    "clusters",
    METADATA,
    Column("id", String, primary_key=True),
    _project(),
    Column("name", String, nullable=False),
    Column("type", String, nullable=False),
    Column("state", String, nullable=False, index=True),
    Column("created_at", Moment, nullable=False),
    _body(),
    _live_name("clusters"),
    _listed(),
)

endpoints = Table(
    "endpoints",
    METADATA,
    Column("id", String, primary_key=True),
    _project(),
    Column("name", String, nullable=False),
    # Not a foreign key: a cluster's record stays, and so does that of an endpoint on it.
    Column("cluster_id", String, nullable=False, index=True),
    Column("state", String, nullable=False, index=True),
    Column("created_at", Moment, nullable=False),
    _body(),
    _live_name("endpoints"),
    _listed(),
)

version_labels = Table(
    "version_labels",
    METADATA,
    Column("id", String, primary_key=True),
    _project(),
    Column("name", String, nullable=False),
    Column("label", String, nullable=False),
    Column("version", Integer, nullable=False),
    UniqueConstraint("project_id", "name", "label"),
)

installation = Table(
    "installation",
    METADATA,
    Column("id", String, primary_key=True),
    Column("home", String, nullable=False),
    Column("created_at", Moment, nullable=False),
)

kept_answers = Table(
    "kept_answers",
    METADATA,
    Column("id", String, primary_key=True),
    _project(),
    Column("key", String, nullable=False),
    Column("created_at", Moment, nullable=False, index=True),
    _body(),
    UniqueConstraint("project_id", "key"),
)
