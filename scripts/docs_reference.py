"""The pages of docs/reference, each made from the code that it describes."""

from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from docs_families import families
from docs_fields import KINDS, cell, field_table
from docs_methods import measured_methods
from fastapi import APIRouter, FastAPI

from fettle.adapters.classifiers import CLASSIFIERS
from fettle.adapters.kinds import KINDS as ADAPTER_KINDS
from fettle.adapters.methods import METHODS, Method
from fettle.api import health
from fettle.api.app import KEYED
from fettle.cli.main import COMMANDS, load_command
from fettle.errors import FettleError, all_errors
from fettle.evaluation.metrics import METRICS
from fettle.settings import Settings
from fettle.types.generation import SamplingParams
from fettle.types.tuning import Hyperparameters

NOTE = "<!-- Made from the code by scripts/generate_docs.py (`make fix`); do not edit. -->\n"
#: Typer adds these to whatever it is asked for.
NOT_OURS = {"install_completion", "show_completion"}


def reference_pages() -> dict[str, str]:
    """File name -> text of every page, and of their list."""
    pages = {
        "cli.md": ("Command line", cli),
        "tuning.md": ("Tuning: methods and settings", tuning),
        "methods.md": ("Methods, measured", measured_methods),
        "families.md": ("Families of base models", families),
        "metrics.md": ("Metrics", metrics),
        "sampling.md": ("Sampling", sampling),
        "http.md": ("HTTP routes", routes),
        "errors.md": ("Errors", errors),
        "settings.md": ("Settings of an installation", settings),
    }
    made = {name: f"{NOTE}\n# {title}\n\n{make()}" for name, (title, make) in pages.items()}
    listed = "".join(f"- [{title}]({name})\n" for name, (title, _) in pages.items())
    return {"README.md": f"{NOTE}\n# Reference\n\nEvery page is made from the code.\n\n{listed}", **made}


def cli() -> str:
    """Every command with its arguments and options."""
    head = "Exit codes: 0 fine, 1 failed, 2 wrong input, 130 interrupted.\n"
    return head + "".join(text for name in COMMANDS for text in _command(load_command(name), f"fettle {name}"))


def tuning() -> str:
    """Methods, hyperparameters, and the settings of each adapter kind."""
    kinds = "".join(
        f"\n## Settings of the adapter `{name}`\n\n{_plain(kind.config.__doc__)}\n\n{field_table(kind.config)}"
        for name, kind in ADAPTER_KINDS.items()
    )
    return (
        "`fettle tune FILE --method METHOD --set KEY=VALUE`, or `fettle.tune(FILE, method=METHOD, KEY=VALUE)`.\n"
        f"\n## Methods\n\n{_methods(METHODS)}\n## Methods on a sentence encoder\n\n"
        f"On rows of `text` and `label`; a classifier is made.\n\n{_methods(CLASSIFIERS)}"
        f"\n## Hyperparameters\n\n{_plain(Hyperparameters.__doc__)}\n\n{field_table(Hyperparameters)}{kinds}"
    )


def _methods(table: Mapping[str, Method]) -> str:
    rows = (
        f"| `{m.name}` | {cell(m.description)} | {f'`{m.kind}`' if m.kind else 'none'} | {m.learning_rate:g} |\n"
        for m in table.values()
    )
    return "| method | what is trained | adapter | learning rate |\n|---|---|---|---|\n" + "".join(rows)


def metrics() -> str:
    """What `fettle eval` measures."""
    rows = "".join(f"| `{metric.name}` | {cell(metric.description)} |\n" for metric in METRICS.values())
    head = "`fettle eval MODEL FILE --metric NAME`; by default all that fit the rows.\n\n"
    return f"{head}| metric | what |\n|---|---|\n{rows}"


def sampling() -> str:
    """The fields of SamplingParams."""
    head = "`model.generate(PROMPT, KEY=VALUE)`; there the temperature is 0 unless it is given.\n\n"
    return f"{head}{_plain(SamplingParams.__doc__)}\n\n{field_table(SamplingParams)}"


def routes() -> str:
    """Every route, and whether it needs the key."""
    keyed = [row for router in KEYED for row in _routes(router, "yes")]
    rows = [*keyed, *_routes(health.open_router, "no")]
    return "The document for programs is at `/openapi.json`.\n\n| route | key | what |\n|---|---|---|\n" + "".join(rows)


def errors() -> str:
    """Every error with its code, status and exit code."""
    rows = "".join(
        f"| `{code}` | {error.http_status} | {error.exit_code} | {_plain(error.__doc__)} |\n"
        for code, error in sorted(all_errors().items())
        if error is not FettleError
    )
    base = (
        f"| `{FettleError.code}` | {FettleError.http_status} | {FettleError.exit_code} | anything else that failed |\n"
    )
    head = "Every error has a message, and where something can be done about it a hint.\n\n"
    return f"{head}| code | HTTP status | exit code | meaning |\n|---|---|---|---|\n{rows}{base}"


def settings() -> str:
    """Every environment variable."""
    return f"{_plain(Settings.__doc__)}\n\n" + field_table(
        Settings, head="variable", shown=lambda name: f"`{Settings.PREFIX}{name.upper()}`"
    )


def _command(command: Any, name: str) -> Iterator[str]:
    params = [param for param in command.params if param.name not in NOT_OURS]
    arguments = [param for param in params if param.param_type_name == "argument"]
    usage = " ".join(
        [name, *(_usage(one) for one in arguments), *(["[OPTIONS]"] if len(params) > len(arguments) else [])]
    )
    children = getattr(command, "commands", None)
    yield f"\n## {name}\n\n{command.help}\n"
    if not children:
        yield f"\n```sh\n{usage}\n```\n\n| | value | default | meaning |\n|---|---|---|---|\n"
        yield "".join(f"| {_param_name(p)} | {_value(p)} | {_default(p)} | {cell(p.help or '')} |\n" for p in params)
    for child, sub in (children or {}).items():
        yield from _command(sub, f"{name} {child}")


def _usage(argument: Any) -> str:
    shown = argument.metavar or argument.name.upper()
    return shown if argument.required else f"[{shown}]"


def _param_name(param: Any) -> str:
    if param.param_type_name == "argument":
        return f"`{param.metavar or param.name.upper()}`"
    return ", ".join(f"`{option}`" for option in param.opts)


def _value(param: Any) -> str:
    descriptor = param.type_descriptor
    if param.metavar:
        return f"`{param.metavar}`"
    if descriptor.annotation is bool:
        return ""
    low, high = (getattr(descriptor.parameter_info, name) for name in ("min", "max"))
    between = {
        (True, True): f", {low} to {high}",
        (True, False): f", at least {low}",
        (False, True): f", at most {high}",
    }
    return _type(descriptor.annotation) + between.get((low is not None, high is not None), "")


def _type(annotation: Any) -> str:
    if get_origin(annotation) in (Union, UnionType):
        return _type(next(one for one in get_args(annotation) if one is not NoneType))
    if get_origin(annotation) is list:
        return f"{_type(get_args(annotation)[0])}, may be repeated"
    return KINDS[annotation]


def _default(param: Any) -> str:
    if isinstance(param.show_default, str):
        return f"`{param.show_default}`"
    return "" if param.default is None or param.default is False or param.default == [] else f"`{param.default}`"


def _routes(router: APIRouter, key: str) -> Iterator[str]:
    app = FastAPI()
    app.include_router(router)
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            yield f"| `{method.upper()} {path}` | {key} | {_plain(operation['description'])} |\n"


def _plain(docstring: str | None) -> str:
    return cell((docstring or "").strip().split("\n\n")[0]).replace("<", "&lt;")
