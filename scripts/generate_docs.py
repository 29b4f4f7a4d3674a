"""Writes the generated documents; `--check` only says which of them are out of date, and then ends with 1."""

import sys
from pathlib import Path

from docs_code import contracts, layers, make_targets, tree
from docs_reference import reference_pages

ROOT = Path(__file__).parents[1]
#: Hand-written documents with generated parts: file -> name of the part -> its text.
PARTS = {
    "ARCHITECTURE.md": {"tree": tree, "layers": layers, "contracts": contracts},
    "CONTRIBUTING.md": {"commands": make_targets},
}


def main(arguments: list[str]) -> int:
    """Refresh (or check) every generated document; the exit code."""
    stale = {path: text for path, text in documents().items() if not path.exists() or path.read_text() != text}
    is_check = "--check" in arguments
    for path, text in stale.items():
        print(f"{'out of date' if is_check else 'written'}: {path.relative_to(ROOT)}")
        if not is_check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return 1 if is_check and stale else 0


def documents() -> dict[Path, str]:
    """Every document that is generated, in whole or in part, as it should be."""
    whole = {ROOT / "docs" / "reference" / name: text for name, text in reference_pages().items()}
    return whole | {ROOT / name: with_parts((ROOT / name).read_text(), parts) for name, parts in PARTS.items()}


def with_parts(text: str, parts: dict) -> str:
    """A document with the text between `<!-- NAME -->` and `<!-- /NAME -->` made anew."""
    for name, make in parts.items():
        before, begin, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- /{name} -->\n")
        if not (begin and end):
            raise SystemExit(f"the marks of the generated part {name!r} are missing")
        text = f"{before}{begin}{make()}{end}{after}"
    return text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
