"""`fettle doctor`: what is fine, what is not, and what to do about it."""

from typing import Annotated

import typer
from rich.markup import escape

from fettle.cli.checks import CHECKS, Finding, examine, mend
from fettle.cli.options import Json
from fettle.cli.output import console, print_json
from fettle.cli.session import check_here
from fettle.settings import load_settings

app = typer.Typer()
_MARKS = {"ok": "[green]ok[/]     ", "warning": "[yellow]warning[/]", "error": "[red]error[/]  "}


@app.command()
def doctor(
    mends: Annotated[
        bool, typer.Option("--mend", help="Remove what killed processes left, and send artifacts that their URL lacks.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check this installation."""
    check_here("doctor")
    settings = load_settings()
    checks = (mend, *CHECKS) if mends else CHECKS
    findings = [finding for check in checks for finding in examine(check, settings)]
    is_fine = all(finding.state != "error" for finding in findings)
    if as_json:
        print_json({"ok": is_fine, "findings": findings})
    else:
        for finding in findings:
            _tell(finding)
    raise typer.Exit(0 if is_fine else 1)


def _tell(finding: Finding) -> None:
    console().print(f"{_MARKS[finding.state]}  {finding.check:<12} {escape(finding.found)}")
    if finding.hint:
        console().print(f"{'':<23}[dim]{escape(finding.hint)}[/]")
