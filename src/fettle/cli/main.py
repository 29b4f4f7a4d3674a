"""The `fettle` command: finds the subcommand, and turns every error into one message and an exit code."""

import atexit
import errno
import gc
import logging
import os
import signal
import sys
import tempfile
import traceback
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from fettle.errors import FettleError

# Name -> what it does, in the order of a model's life. `fettle.cli.<name>` is imported when it is called, so that
# `fettle --help` is instant; a test holds these lines and the commands' own first lines together.
COMMANDS = {
    "quickstart": "Tune, measure and serve example models: the whole way.",
    "data": "Check files of examples before they are used.",
    "tune": "Tune a base model on a file of examples.",
    "sweep": "Tune with every combination of settings, compare, and keep the best.",
    "jobs": "List, follow and end tuning jobs, and show what they measured.",
    "models": "List, show, label, delete and export models.",
    "generate": "Answer one prompt.",
    "chat": "Talk with a model.",
    "classify": "Say of which class texts are.",
    "eval": "Measure a model on a file of examples.",
    "pull": "Bring another base model, from a folder or a hub.",
    "keys": "Make, list, change and revoke API keys.",
    "projects": "Make, list and end projects, whose keys see nothing of each other.",
    "audit": "List and export the log of all changes.",
    "clusters": "Reserve units of this machine for tuning or serving.",
    "endpoints": "Serve models under names of their own.",
    "up": "Serve all models over an OpenAI-compatible HTTP API.",
    "status": "Show what runs, waits and is kept here.",
    "bench": "Measure a server under load.",
    "backup": "Write all of this installation to one file, while it runs.",
    "restore": "Make the home folder, which must be empty, and its database of a backup.",
    "doctor": "Check this installation.",
}
MODULES = {"eval": "evaluate"}
INTERRUPTED = 130
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}


def load_command(name: str) -> Any:
    """The command's own parser, from its module's `app`."""
    command = typer.main.get_command(import_module(f"fettle.cli.{MODULES.get(name, name)}").app)
    command.name = name
    return command


class LazyGroup(TyperGroup):
    """A group that lists its commands by COMMANDS and imports only the one that is called."""

    def __init__(self, **attributes: Any) -> None:
        """A group of the commands in COMMANDS, each with its summary only."""
        super().__init__(**attributes)
        for name, summary in COMMANDS.items():
            self.add_command(typer.core.TyperCommand(name, help=summary))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The called command, now really loaded, and its arguments."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, load_command(str(name)), rest


app = typer.Typer(cls=LazyGroup, add_completion=False, no_args_is_help=True, rich_markup_mode="rich")


def _version() -> str:
    from importlib.metadata import version

    return version("fettle-ai")


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"fettle {_version()}")
        raise typer.Exit


@app.callback()
def fettle_(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Bring a base model and a JSONL file; get a custom model that is tuned, measured, versioned and served."""


def run() -> NoReturn:
    """The entry point of the `fettle` command."""
    # A command is short: looking through all that was loaded for garbage, also at the end, only makes it longer.
    gc.set_threshold(50_000)
    atexit.register(gc.disable)
    # Being told to end is like Ctrl-C: what was started is ended too, checkpoints are kept.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))


def main(arguments: list[str]) -> int:
    """Run one command; returns the exit code: 0 fine, 1 failed, 2 wrong input, 130 interrupted."""
    # Nothing but the one message goes to stderr; `fettle up`, which has a log, says so itself.
    logging.getLogger("fettle").addHandler(logging.NullHandler())
    try:
        code = int(typer.main.get_command(app).main(arguments, prog_name="fettle", standalone_mode=False) or 0)
        return _say("interrupted", "", INTERRUPTED) if code == INTERRUPTED else code
    except FettleError as error:
        return _say(error.message, error.hint, error.exit_code)
    except typer.TyperException as error:
        return _say(error.format_message(), _usage_hint(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return _say("interrupted", "", INTERRUPTED)
    except BrokenPipeError:
        # The reader (`| head`) has gone: nothing is left to say, and Python shall not try to at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _say(_told(error), "", 1) if error.errno in DISK_ERRORS else _bug()
    except Exception:  # noqa: BLE001 - the last place: what nobody expected becomes a report
        return _bug()


def _say(message: str, hint: str, exit_code: int) -> int:
    print("\n".join(part for part in (f"error: {message}", hint) if part), file=sys.stderr)
    return exit_code


def _usage_hint(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f"`{context.command_path} --help` shows what is expected." if context else ""


def _told(error: OSError) -> str:
    where = f" {error.filename}" if error.filename else ""
    return f"cannot write{where}: {error.strerror}"


def _bug() -> int:
    return _say(
        f"this is a bug: {sys.exc_info()[1]!r}", f"Please report it with the traceback in {_write_traceback()}", 1
    )


def _write_traceback() -> Path:
    with tempfile.NamedTemporaryFile("w", prefix="fettle-bug-", suffix=".log", delete=False) as file:
        file.write(f"fettle {_version()}, Python {sys.version}, {' '.join(sys.argv)}\n\n")
        traceback.print_exc(file=file)
    return Path(file.name)
