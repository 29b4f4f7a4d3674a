"""The `fettle` command itself: instant help, and one message and exit code for every error."""

import errno
import subprocess
import sys

import pytest
import typer

from fettle.cli import main as cli
from fettle.errors import InvalidInput, StorageFailed

HEAVY = {
    "torch",
    "sqlalchemy",
    "fastapi",
    "pydantic",
    "numpy",
    "httpx",
    "transformers",
    "huggingface_hub",
    "alembic",
    "jinja2",
}


def failing(monkeypatch, error: BaseException):
    """Let the command 'doctor' end with this error."""
    app = typer.Typer()

    @app.command()
    def doctor() -> None:
        raise error

    monkeypatch.setattr(cli, "load_command", lambda _: typer.main.get_command(app))
    return cli.main(["doctor"])


def modules_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_help_loads_no_heavy_library():
    loaded = modules_after("from fettle.cli.main import main\nassert main(['--help']) == 0")
    assert not loaded & HEAVY


def test_importing_fettle_loads_nothing_else():
    loaded = modules_after("import fettle")
    assert not loaded & HEAVY
    assert {name for name in loaded if name.startswith("fettle")} == {"fettle"}


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_summary_of_a_command_is_its_own_first_line(name):
    command = cli.load_command(name)
    assert (command.help or "").splitlines()[0] == cli.COMMANDS[name]


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_shows_its_help(name, capsys):
    assert cli.main([name, "--help"]) == 0
    assert "--help" in capsys.readouterr().out


def test_the_version_is_shown(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("fettle 0.")


def test_a_misspelt_command_is_wrong_input_and_names_the_near_one(capsys):
    assert cli.main(["tunne"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "tunne" in shown.err
    assert "'tune'" in shown.err


def test_an_error_on_purpose_shows_message_and_hint_on_stderr_alone(monkeypatch, capsys):
    code = failing(monkeypatch, InvalidInput("rank is 0", hint="Give 1 or more."))
    shown = capsys.readouterr()
    assert (code, shown.out) == (2, "")
    assert shown.err == "error: rank is 0\nGive 1 or more.\n"


def test_a_failure_that_is_not_the_users_fault_ends_with_one(monkeypatch):
    assert failing(monkeypatch, StorageFailed("the disk is full")) == 1


def test_a_full_disk_is_told_in_a_sentence(monkeypatch, capsys):
    code = failing(monkeypatch, OSError(errno.ENOSPC, "No space left on device", "/data/model"))
    assert code == 1
    assert capsys.readouterr().err == "error: cannot write /data/model: No space left on device\n"


def test_interrupting_ends_with_130(monkeypatch, capsys):
    assert failing(monkeypatch, KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "error: interrupted\n"


def test_an_unexpected_error_says_where_its_traceback_is(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(cli.tempfile, "tempdir", str(tmp_path))
    code = failing(monkeypatch, ZeroDivisionError("oh"))
    shown = capsys.readouterr()
    (log,) = tmp_path.iterdir()
    assert code == 1
    assert "this is a bug: ZeroDivisionError('oh')" in shown.err
    assert str(log) in shown.err
    assert "Traceback" not in shown.err
    assert "Traceback" in log.read_text()


def test_what_is_logged_on_the_way_does_not_stand_beside_the_message(tmp_path):
    script = """if True:
        import logging, sys
        from fettle.cli import main as cli

        def broken(name):
            logging.getLogger("fettle.somewhere").error("noise")
            raise cli.FettleError("it failed")

        cli.load_command = broken
        sys.exit(cli.main(["doctor"]))"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "error: it failed\n")
