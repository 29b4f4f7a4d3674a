"""`fettle data`: files of examples."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fettle.cli.options import Json
from fettle.cli.output import console, print_json, print_pairs

if TYPE_CHECKING:
    from fettle.types.data import DataReport

app = typer.Typer(no_args_is_help=True)


@app.callback()
def data() -> None:
    """Check files of examples before they are used."""


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="JSONL file of examples (.gz and .zst too).")],
    validation: Annotated[Path | None, typer.Option(help="File of held-out examples that belongs to it.")] = None,
    base: Annotated[str, typer.Option(help="Base model whose tokens are counted.")] = "pocket",
    as_json: Json = False,
) -> None:
    """Say what is in a file of examples and what is wrong with it.

    Every bad row is named at once. The exit code is 0 when the file can be tuned on, else 2.
    """
    from fettle.data.check import raise_if_bad

    report = _checked(file, validation, base)
    if as_json:
        print_json(report)
        raise typer.Exit(0 if report.is_good else 2)
    raise_if_bad(report)
    _tell(report, base)


def _checked(file: Path, validation: Path | None, base: str) -> "DataReport":
    from fettle.cli.session import opened

    with opened() as platform, console(errors=True).status(f"reading {file.name}"):
        return platform.check_data(file, validation, base)


def _tell(report: "DataReport", base: str) -> None:
    from rich.markup import escape

    for part in [report, *([report.validation] if report.validation else [])]:
        console().print(f"[bold]{escape(Path(part.path).name)}[/]\n")
        print_pairs(_facts(part, base))
        for notice in part.notices:
            console().print(f"[yellow]note:[/] {escape(notice)}")
        console().print()
    more = f" --validation {report.validation.path}" if report.validation else ""
    console().print(f"[green]ready to tune:[/]  fettle tune {escape(report.path + more)} --base {escape(base)}")


def _facts(report: "DataReport", base: str) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "rows": report.rows,
        "examples": report.examples,
        "form": ", ".join(f"{name} ({count:,})" for name, count in sorted(report.formats.items())) or "none",
    }
    if report.with_choices:
        facts["with choices or preferences"] = report.with_choices
    if tokens := report.tokens:
        facts |= {
            f"tokens of {base}": tokens.total,
            "learned tokens": tokens.learned,
            "tokens per row": (
                f"{tokens.shortest:,} to {tokens.longest:,}; mean {tokens.mean:,.0f}, median {tokens.median:,}, "
                f"95 % up to {tokens.p95:,}; context {report.context:,}"
            ),
        }
    return facts | {"content hash": report.content_hash[:16]}
