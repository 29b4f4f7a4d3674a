"""Real `fettle` processes with a home of their own and a tiny random base model."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Fettle = Callable[..., subprocess.CompletedProcess[str]]
SECONDS = 300


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory) -> Path:
    """A model folder made on the spot."""
    from fettle.testing.models import tiny_model

    return tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def home(tmp_path_factory, tiny_folder) -> Path:
    """A home in which the base model `tiny` is known; shared, as nothing in it is changed by what fails."""
    folder = tmp_path_factory.mktemp("fettle-home")
    run_fettle("pull", str(tiny_folder), "--name", "tiny", home=folder).check_returncode()
    return folder


@pytest.fixture
def fettle(home) -> Fettle:
    """Runs `fettle ...` in the shared home."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return run_fettle(*arguments, home=home, **environment)

    return run


def run_fettle(*arguments: str, home: Path, prefix: tuple[str, ...] = (), **environment: str):
    """One `fettle` process, to its end."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("FETTLE_")}
    variables |= {"FETTLE_HOME": str(home), "FETTLE_THREADS": "1", "COLUMNS": "120", **environment}
    command = [*prefix, sys.executable, "-P", "-m", "fettle", *arguments]
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=SECONDS, check=False)
