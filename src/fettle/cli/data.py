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
    report = _checked(file, validation, base)
    print_json(report) if as_json else _tell(report, base)
    if not report.is_good:
        raise typer.Exit(2)


def _checked(file: Path, validation: Path | None, base: str) -> "DataReport":
    from fettle.cli.session import opened
    from fettle.services.data_checks import check_data

    with opened() as platform, console(errors=True).status(f"reading {file.name}"):
        return check_data(file, validation, base, base_models=platform.base_models, settings=platform.settings)


def _tell(report: "DataReport", base: str) -> None:
    from rich.markup import escape

    parts = [report, *([report.validation] if report.validation else [])]
    for part in parts:
        console().print(f"[bold]{escape(Path(part.path).name)}[/]\n")
        print_pairs(_facts(part, base))
        _tell_faults(part)
        for notice in part.notices:
            console().print(f"[yellow]note:[/] {escape(notice)}")
        console().print()
    console().print(_verdict(report))


def _facts(report: "DataReport", base: str) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "rows": report.rows,
        "examples": report.examples,
        "form": ", ".join(f"{name} ({count:,})" for name, count in sorted(report.formats.items())) or "none",
    }
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


def _tell_faults(report: "DataReport") -> None:
    from rich.markup import escape

    from fettle.data.faults import shortened

    if report.bad_rows:
        console().print(f"\n[red]{report.bad_rows:,} of {report.rows:,} rows cannot be used:[/]")
        for line in shortened(report.faults, report.num_faults):
            console().print(f"  {escape(line)}")
    console().print()


def _verdict(report: "DataReport") -> str:
    from rich.markup import escape

    if report.is_good:
        return f"[green]ready to tune:[/]  fettle tune {escape(report.path)} --name NAME"
    return "[red]not ready to tune[/]: mend or remove the rows above; `--json` lists more of them"
