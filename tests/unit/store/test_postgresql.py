import math
import socket
import sys
from collections.abc import Iterator

import pytest
from sqlalchemy import make_url, text

from fettle.errors import InvalidInput, StorageFailed
from fettle.store import postgresql
from fettle.store.database import Database
from fettle.store.events import EventLog
from fettle.store.repository import Artifact, Repository
from fettle.testing.postgres import Postgres
from fettle.types.ids import now

PASSWORD = "the right one"


@pytest.fixture
def url(postgres: Postgres) -> Iterator[str]:
    with postgres.database() as fresh:
        yield fresh


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = Database.open(url)
    yield opened
    opened.close()


@pytest.fixture
def guarded(postgres: Postgres, url: str) -> Iterator[str]:
    """The user `guarded`, who needs the password; may connect to the database and nothing else."""
    rules = postgres.folder / "pg_hba.conf"
    before = rules.read_text()
    postgres.execute(f"CREATE ROLE guarded LOGIN PASSWORD '{PASSWORD}'")
    rules.write_text(f"local all guarded scram-sha-256\n{before}")
    postgres.execute("SELECT pg_reload_conf()")
    yield str(make_url(url).database)
    rules.write_text(before)
    postgres.execute("SELECT pg_reload_conf()")
    postgres.execute("DROP ROLE guarded")


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def test_a_server_that_does_not_run_is_told() -> None:
    with pytest.raises(StorageFailed, match=r"(?s)me@127\.0\.0\.1.*refused.*Start the server") as told:
        Database.open(f"postgresql://me:secret@127.0.0.1:{free_port()}/fettle")
    assert "secret" not in str(told.value)


def test_a_host_that_does_not_exist_is_told() -> None:
    with pytest.raises(StorageFailed, match=r"Correct the host"):
        Database.open("postgresql://no-such-host.invalid/fettle")


def test_a_wrong_password_is_told_and_not_shown(postgres: Postgres, guarded: str) -> None:
    with pytest.raises(StorageFailed, match=r"(?s)password authentication failed.*FETTLE_DATABASE_URL") as told:
        Database.open(postgres.url(guarded, username="guarded", password="the wrong one"))
    assert "wrong one" not in str(told.value)


def test_a_user_who_may_make_no_tables_is_told(postgres: Postgres, guarded: str) -> None:
    with postgres.database(is_empty=True) as url:
        name = str(make_url(url).database)
        with pytest.raises(StorageFailed, match=r"(?s)permission denied.*owner"):
            Database.open(postgres.url(name, username="guarded", password=PASSWORD))


def test_a_database_that_does_not_exist_is_told(postgres: Postgres) -> None:
    with pytest.raises(StorageFailed, match=r"(?s)does not exist.*createdb"):
        Database.open(postgres.url("nothing"))


def test_a_missing_driver_is_told_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(InvalidInput, match=r"(?s)psycopg.*pip install 'fettle-ai\[postgres\]'"):
        Database.open("postgresql://me@127.0.0.1/fettle")


def test_a_writer_who_waits_too_long_for_its_turn_is_told(monkeypatch: pytest.MonkeyPatch, database: Database) -> None:
    monkeypatch.setattr(postgresql, "TURN_TIMEOUT_SECONDS", 0.05)
    impatient = Database(database.url)
    with database.write(), pytest.raises(StorageFailed, match=r"(?s)lock timeout.*hangs"), impatient.write():
        raise AssertionError("two writers at once")
    with impatient.write() as connection:
        connection.execute(text("SELECT 1"))
    impatient.close()


def test_connections_that_the_server_ended_are_made_anew(postgres: Postgres, database: Database) -> None:
    name = make_url(database.url).database
    with database.read() as connection:
        before = connection.execute(text("SELECT pg_backend_pid()")).scalar()
    postgres.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    with database.read() as connection:
        assert connection.execute(text("SELECT pg_backend_pid()")).scalar() != before


def test_a_connection_that_ends_in_a_transaction_is_told_and_nothing_of_it_is_kept(
    postgres: Postgres, database: Database
) -> None:
    name = make_url(database.url).database

    def lose_the_connection() -> None:
        with database.write() as writer:
            writer.execute(text("INSERT INTO base_models VALUES ('a', '{}')"))
            postgres.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
            writer.execute(text("SELECT 1"))

    with pytest.raises(StorageFailed, match="nothing was half-written"):
        lose_the_connection()
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM base_models")).scalar() == 0


def test_sizes_above_two_gigabytes_are_kept(database: Database) -> None:
    repository, size = Repository(database), 10**12
    repository.insert(Artifact(hash="h", size_bytes=size, created_at=now()))
    assert repository.get(Artifact, "h").size_bytes == size


def test_numbers_that_are_none_are_kept_as_texts(database: Database) -> None:
    log = EventLog(database)
    log.append("job", "step", loss=math.nan, best=math.inf)
    assert log.of("job")[0].body == {"loss": "NaN", "best": "Infinity"}


@pytest.mark.parametrize("value", ["a\0b", "\0", "\\\0"])
def test_the_character_nul_is_refused_and_not_cut_off(database: Database, value: str) -> None:
    log = EventLog(database)
    with pytest.raises(InvalidInput, match="NUL"):
        log.append("job", "said", text=value)
    with pytest.raises(InvalidInput, match="NUL"):
        log.of(value)
    log.append("job", "said", text=r"\u0000 as six characters, and \\u0000")
    assert log.of("job")[0].body == {"text": r"\u0000 as six characters, and \\u0000"}
