"""Rules of the house that no tool checks for us."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "fettle"
MAX_LINES = 400
SOURCES = sorted(
    path
    for folder in ("src", "tests", "benchmarks", "pocket")
    for path in (ROOT / folder).rglob("*.py")
    # Environments that benchmarks set up for their peers are hidden folders.
    if path.is_file() and not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)


def layers() -> set[str]:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (found,) = (contract["layers"] for contract in contracts if contract["id"] == "layers")
    return {name.strip() for layer in found for name in layer.split("|")}


def test_no_file_is_longer_than_four_hundred_lines():
    long = {str(path.relative_to(ROOT)): n for path in SOURCES if (n := len(path.read_text().splitlines())) > MAX_LINES}
    assert not long


def test_every_part_of_the_package_is_in_the_layers():
    parts = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert parts - {"__init__", "__main__"} <= layers()


def test_every_layer_is_a_part_of_the_package():
    assert all((PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file() for name in layers())


def test_every_folder_with_code_is_a_package():
    # alembic reads its migrations as files, not as modules
    folders = {path.parent for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_no_room_is_empty():
    empty = [
        str(path.parent.relative_to(PACKAGE))
        for path in PACKAGE.rglob("__init__.py")
        if not any(other != path for other in path.parent.rglob("*.py")) and not _defines_something(path)
    ]
    assert not empty


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_waits_by_sleeping_in_tests_and_nothing_is_left_to_do(path):
    if path == Path(__file__):
        return
    text = path.read_text()
    marks = ("TODO", "FIXME", "XXX", "NotImplementedError")
    assert not [mark for mark in marks if mark in text]
    if path.is_relative_to(ROOT / "tests"):
        assert "time.sleep(" not in text
        assert "unittest.mock" not in text


def test_only_settings_reads_the_environment():
    reading = ("getenv(", "environ.get(", "environ[")
    readers = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if any(call in path.read_text() for call in reading)
    }
    assert readers == {"settings.py"}


def _defines_something(path: Path) -> bool:
    return any(not isinstance(node, ast.Expr) for node in ast.parse(path.read_text()).body)
