"""Rows belong to projects, and every change of them is written down for good."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from fettle.errors import NotFound
from fettle.store import migrate
from fettle.store.audit import AuditLog
from fettle.store.database import Database
from fettle.store.repository import STORED, Repository
from fettle.types.access import Actor, acting_as
from fettle.types.ids import new_id, now
from fettle.types.resources import CustomModel, StoredFile, Upload

ROWS = {
    "tuning_jobs": "INSERT INTO tuning_jobs VALUES ('j', 'succeeded', 'd', '2026-01-01', '{}')",
    "custom_models": "INSERT INTO custom_models (id, name, version, state, base, job_id, artifact, created_at, body) "
    "VALUES ('m', 'red', 1, 'active', 'b', 'j', 'a', '2026-01-01', '{}')",
    "files": "INSERT INTO files VALUES ('f', 'batch', 'a', '2026-01-01', '{}')",
    "uploads": "INSERT INTO uploads VALUES ('u', 'pending', '2026-01-01', '{}')",
    "batches": "INSERT INTO batches VALUES ('b', 'failed', '2026-01-01', '{}')",
}
JOB = "INSERT INTO tuning_jobs (id, state, dataset_hash, created_at, body) "
JOB += "VALUES ('j', 'failed', 'd', '2026-01-01', '{}')"
SECOND_RED = ROWS["custom_models"].replace("'m'", "'n'")


def file_named(name: str) -> StoredFile:
    return StoredFile(id=new_id("file"), filename=name, purpose="batch", artifact="a", size_bytes=1, created_at=now())


def test_rows_that_were_there_before_projects_become_those_of_the_default_one(empty_url: str) -> None:
    database = Database(empty_url)
    with database.write() as connection:
        migrate.run(connection, "0003")
        for statement in ROWS.values():
            connection.execute(text(statement))
        migrate.run(connection, migrate.NEWEST)
    with database.read() as connection:
        owners = {table: connection.execute(text(f"SELECT project_id FROM {table}")).scalars().all() for table in ROWS}
        projects = connection.execute(text("SELECT id FROM projects")).scalars().all()
    assert owners == {table: ["default"] for table in ROWS}
    assert projects == ["default"]
    database.close()


def test_versions_are_numbered_within_a_project(empty_url: str) -> None:
    database = Database(empty_url)
    with database.write() as connection:
        migrate.run(connection, migrate.NEWEST)
        connection.execute(text(JOB))
        connection.execute(text(ROWS["custom_models"]))
        other = "INSERT INTO custom_models (project_id, " + SECOND_RED.removeprefix("INSERT INTO custom_models (")
        connection.execute(text(other.replace("('n'", "('other', 'n'")))
    with pytest.raises(DBAPIError, match=r"(?i)unique"), database.write() as connection:
        connection.execute(text(SECOND_RED.replace("'n'", "'o'")))
    database.close()


def test_a_project_finds_changes_and_deletes_its_own_rows_only(repository: Repository) -> None:
    mine, others = repository.of("a"), repository.of("b")
    file = mine.insert(file_named("mine"))
    assert file.project_id == "a"
    assert others.find(StoredFile) == others.page(StoredFile, limit=9) == []
    with pytest.raises(NotFound, match="none yet"):
        others.get(StoredFile, file.id)
    with pytest.raises(NotFound):
        others.page(StoredFile, after=file.id, limit=9)
    with pytest.raises(NotFound), others.write() as records:
        records.update(file, filename="stolen")
    with others.write() as records:
        records.delete(StoredFile, file.id)
        assert records.everywhere.get(StoredFile, file.id) == file
    assert mine.find(StoredFile) == repository.find(StoredFile) == [file]


def test_the_highest_version_is_the_projects_own(repository: Repository) -> None:
    with repository.write() as records:
        records.connection.execute(text(JOB))
        records.connection.execute(text(ROWS["custom_models"]))
    with repository.of("default").read() as mine:
        assert mine.highest(CustomModel, "version") == 1
    with repository.of("b").read() as others:
        assert others.highest(CustomModel, "version") == 0


def test_what_a_client_makes_has_a_project() -> None:
    shared = {"base model", "artifact", "project"}
    assert {stored.what for stored in STORED.values() if "project_id" not in stored.table.c} <= shared


def test_every_change_is_written_down_with_who_made_it_and_from_where(repository: Repository) -> None:
    log, bob = AuditLog(repository.database), Actor(who="key_bob", origin="10.0.0.7", request_id="req_1")
    with acting_as(bob):
        file = repository.of("a").insert(file_named("mine"))
        repository.of("a").update(file, filename="renamed")
    with repository.write() as records:
        records.delete(StoredFile, file.id)
    told = log.page(limit=9, project_id="a")
    assert [(one.action, one.kind, one.subject) for one in told] == [
        ("created", "file", file.id),
        ("changed", "file", file.id),
        ("deleted", "file", file.id),
    ]
    assert [(one.who, one.origin, one.request_id) for one in told] == [("key_bob", "10.0.0.7", "req_1")] * 2 + [
        ("system", "", "")
    ]
    # Names of fields, never their values.
    assert told[1].detail == {"fields": ["filename"]}
    assert log.page(limit=9, project_id="b") == []
    assert [one.id for one in log.newest(limit=2)] == [one.id for one in log.page(limit=9, after=told[0].id)]


def test_a_change_that_is_taken_back_is_not_written_down(repository: Repository) -> None:
    def fail_after_a_change() -> None:
        with repository.write() as records:
            records.insert(file_named("lost"))
            raise KeyError

    with pytest.raises(KeyError):
        fail_after_a_change()
    assert AuditLog(repository.database).page(limit=9) == []


def test_the_system_tells_of_states_and_not_of_every_step(repository: Repository) -> None:
    moment = now()
    made = Upload(id="upload_1", filename="a", purpose="batch", size_bytes=1, created_at=moment, expires_at=moment)
    upload = repository.insert(made)
    repository.update(upload, filename="b")
    repository.move(Upload, upload.id, "cancelled")
    told = AuditLog(repository.database).page(limit=9)
    assert [(one.action, one.detail.get("state")) for one in told] == [("created", None), ("changed", "cancelled")]


@pytest.mark.parametrize("statement", ["UPDATE audit SET who = 'nobody'", "DELETE FROM audit"])
def test_the_database_lets_the_log_only_grow(repository: Repository, statement: str) -> None:
    repository.insert(file_named("mine"))
    with pytest.raises(DBAPIError, match="only grows"), repository.database.write() as connection:
        connection.execute(text(statement))
    assert len(AuditLog(repository.database).page(limit=9)) == 1
