"""`fettle models`: what there is to tune and to serve."""

from pathlib import Path
from typing import Annotated, Any

import typer

from fettle.cli.installation import Installation
from fettle.cli.options import Json
from fettle.cli.output import bytes_text, console, print_json, print_pairs, print_table
from fettle.cli.session import opened
from fettle.errors import InvalidInput
from fettle.types.told import BaseModelTold, CustomModelTold

app = typer.Typer(no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="MODEL", help="NAME (the newest version) or NAME:VERSION.")]


@app.callback()
def models() -> None:
    """List, show, label, delete and export models."""


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """List base models and custom models."""
    with opened() as platform:
        bases, customs = platform.models.bases(), platform.models.customs()
    if as_json:
        print_json({"base_models": bases, "custom_models": customs})
        return
    print_table(
        ["base model", "parameters", "context", "size", "methods", "licence"], [_base_row(base) for base in bases]
    )
    if customs:
        # Loss and token accuracy of the held-out rows.
        columns = ["custom model", "base", "method", "size", "loss", "accuracy", "made"]
        print_table(columns, [_custom_row(model) for model in customs])
    else:
        console().print("No custom models yet: `fettle tune FILE` makes one.")


@app.command()
def show(model: Name, as_json: Json = False) -> None:
    """Show all that is known of a model."""
    with opened() as platform:
        found = find(platform, model)
        if as_json:
            print_json(found)
        elif isinstance(found, CustomModelTold):
            console().print(platform.models.card(found.full_name), markup=False)
        else:
            print_pairs(found.model_dump(mode="json"))


@app.command()
def delete(
    model: Name, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False, as_json: Json = False
) -> None:
    """Delete a version of a custom model."""
    with opened() as platform:
        found = platform.models.get(model)
        if not yes:
            _confirm(found, asks=not as_json)
        deleted = platform.models.delete(found.full_name)
    print_json(deleted) if as_json else console().print(f"{found.full_name} is deleted.")


@app.command()
def export(
    model: Name,
    folder: Annotated[Path, typer.Argument(help="Folder to write; it must not exist yet or be empty.")],
    force: Annotated[bool, typer.Option("--force", help="Write into a folder that holds something, too.")] = False,
    as_json: Json = False,
) -> None:
    """Write a custom model's files into a folder, in the format of `peft` (or `transformers` for whole weights)."""
    with opened() as platform:
        found = platform.models.get(model)
        platform.models.export(found.full_name, folder, force=force)
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    if as_json:
        print_json({"model": found, "folder": str(folder.absolute()), "files": files})
    else:
        print_table([f"{found.full_name} in {folder}", "size"], [(n, bytes_text(size)) for n, size in files.items()])


@app.command()
def label(
    model: Name,
    word: Annotated[str, typer.Argument(metavar="LABEL", help="For example 'production'.")],
    as_json: Json = False,
) -> None:
    """Have MODEL:LABEL mean this version from now on; endpoints that follow the label serve it at once."""
    with opened() as platform:
        moved = platform.models.label(model, word)
    print_json(moved) if as_json else console().print(f"{moved.name}:{moved.label} is {moved.name}:{moved.version}.")


def _confirm(model: CustomModelTold, *, asks: bool) -> None:
    if not asks:
        raise InvalidInput("a program must say --yes to delete a model", param="yes")
    typer.confirm(f"Delete {model.full_name}?", abort=True)


def find(platform: Installation, name: str) -> CustomModelTold | BaseModelTold:
    """The custom or base model of this name.

    Raises:
        NotFound: there is neither; with the nearest name.
    """
    if base := next((base for base in platform.models.bases() if base.name == name), None):
        return base
    platform.engines.find(name)
    return platform.models.get(name)


def _base_row(base: BaseModelTold) -> list[Any]:
    methods = ", ".join(base.methods)
    return [base.name, f"{base.parameters:,}", base.context, bytes_text(base.size_bytes), methods, base.licence]


def _custom_row(model: CustomModelTold) -> list[Any]:
    validation = (model.metrics.get("validation") or {}) if model.metrics else {}
    measured = [validation.get("loss"), validation.get("token_accuracy")]
    return [model.full_name, model.base, model.method, bytes_text(model.size_bytes), *measured, model.created_at]
