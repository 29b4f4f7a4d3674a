"""What all tests share: their order, less garbage, and the kinds of databases on which `database_url` is tested."""

import gc
from collections.abc import Iterator

import pytest

from fettle.testing.postgres import Postgres, running_postgres


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest: at the end, one worker would be left with it."""
    items.sort(key=lambda item: "e2e" not in item.keywords)


def pytest_collection_finish() -> None:
    """What is loaded by now lives to the end: a tenth of the tests' time went into looking through it for garbage."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server for all tests."""
    with running_postgres() as server:
        yield server


# The store's own tests try both every day; whoever stands on the store, on SQLite, and in CI on both.
@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def database_url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """What FETTLE_DATABASE_URL is set to: nothing, for the file in the home folder, or a fresh database of a server."""
    if request.param == "sqlite":
        monkeypatch.delenv("FETTLE_DATABASE_URL", raising=False)
        yield ""
        return
    with request.getfixturevalue("postgres").database() as url:
        monkeypatch.setenv("FETTLE_DATABASE_URL", url)
        yield url
