"""Generated parts of the hand-written documents: the tree, the layers, the contracts, the make targets."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "fettle"
WIDTH = 30


def tree() -> str:
    """Every package and module with the first line of its docstring, in the order of the layers."""
    parts = [PACKAGE / name for layer in reversed(_contract("layers")["layers"]) for name in layer.split(" | ")]
    lines = [line for part in parts for line in _entry(part if part.is_dir() else part.with_suffix(".py"), 1)]
    return "```\n" + "\n".join([f"{'fettle/':<{WIDTH}}{summary(PACKAGE / '__init__.py')}", *lines]) + "\n```\n"


def layers() -> str:
    """The import layers, the highest first."""
    return "```\n" + "\n".join(_contract("layers")["layers"]) + "\n```\n"


def contracts() -> str:
    """What else import-linter holds."""
    lines = []
    for contract in _contracts():
        if contract["type"] == "forbidden":
            sources, forbidden = (_listed(contract[f"{kind}_modules"]) for kind in ("source", "forbidden"))
            lines.append(f"- **{contract['name']}**: {sources} never import, not even through others, {forbidden}.\n")
    return "".join(lines)


def make_targets() -> str:
    """The targets of the Makefile, as a table."""
    found = re.findall(r"^([a-z0-9-]+):.*##\s*(.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return "| command | what it does |\n|---|---|\n" + "".join(f"| `make {name}` | {does} |\n" for name, does in found)


def summary(path: Path) -> str:
    """The first line of a module's docstring."""
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    if not docstring:
        raise SystemExit(f"{path} has no docstring")
    return docstring.splitlines()[0]


def _entry(path: Path, depth: int) -> Iterator[str]:
    indent = "  " * depth
    if path.is_file():
        yield f"{indent + path.name:<{WIDTH}}{summary(path)}"
        return
    yield f"{indent + path.name + '/':<{WIDTH}}{summary(path / '__init__.py')}"
    for child in sorted(path.iterdir()):
        is_package = (child / "__init__.py").exists()
        if is_package or (child.suffix == ".py" and child.name != "__init__.py"):
            yield from _entry(child, depth + 1)


def _contracts() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    return found


def _contract(name: str) -> dict[str, Any]:
    return next(contract for contract in _contracts() if contract["id"] == name)


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name.removeprefix('fettle.')}`" for name in names)
