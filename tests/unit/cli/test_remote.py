"""The same commands say the same with a server (FETTLE_URL) and without one, and end with the same exit codes."""

import asyncio
import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from fettle.api.app import create_app
from fettle.api.auth import KeyCheck
from fettle.api.server import Server, listening
from fettle.cli import output, session
from fettle.cli.main import main
from fettle.services.platform import Platform, WorkerModules
from fettle.settings import Settings
from fettle.testing.model_files import write_model_files

KEY = "fettle-test"
UNIT = Path(__file__).parents[1]
WORKERS = WorkerModules(
    tune="scripted_tuner", sweep="scripted_sweeper", evaluate="scripted_evaluator", engine="echo_engine"
)
TUNE = ["tune", "{rows}", "--base", "small", "--name", "tickets"]
STORIES = {
    "tuning": [
        TUNE,
        ["jobs", "list"],
        ["jobs", "show", "{job}"],
        ["jobs", "follow", "{job}"],
        ["jobs", "metrics", "{job}"],
        ["jobs", "cancel", "{job}"],
        ["jobs", "show", "job_none"],
        ["models", "list"],
        ["models", "list", "--json"],
        ["models", "show", "tickets"],
        ["models", "show", "small"],
        ["models", "show", "tickest"],
        ["models", "label", "tickets:1", "production"],
        ["models", "export", "tickets", "{out}"],
        ["models", "export", "tickets", "{out}"],
        ["generate", "tickets", "good day"],
        ["generate", "tickets", "good day", "--json"],
        ["generate", "tickets", "good day", "--raw", "--max-tokens", "9", "--json"],
        ["generate", "none", "good day"],
        ["eval", "tickets", "{rows}", "--metric", "exact_match"],
        ["eval", "tickets", "{none}"],
        ["eval", "none", "{rows}"],
        ["models", "delete", "tickets", "--yes", "--json"],
        ["models", "delete", "tickets", "--yes"],
    ],
    "what cannot be tuned": [
        ["tune", "{rows}", "--base", "smal", "--name", "tickets"],
        ["tune", "{bad}", "--base", "small"],
        ["tune", "{none}", "--base", "small"],
        [*TUNE, "--set", "epochs=0"],
        [*TUNE, "--set", "epohcs=1"],
        [*TUNE, "--cluster", "none"],
        ["tune", "{failing}", "--base", "small"],
        ["jobs", "list", "--json"],
        ["tune", "--resume", "job_none"],
        ["jobs", "list"],
    ],
    "sweeps": [
        ["sweep", "{rows}", "--base", "small", "--grid", "learning_rate=0.001,0.002", "--name", "best"],
        ["models", "list"],
        ["sweep", "{rows}", "--base", "smal", "--grid", "rank=4,8"],
        ["sweep", "--resume", "sweep_none"],
        ["sweep", "{failing}", "--base", "small", "--grid", "learning_rate=0.001,0.002"],
    ],
    "data": [
        ["data", "check", "{bad}", "--base", "small", "--json"],
        ["data", "check", "{bad}", "--base", "small"],
        ["data", "check", "{none}", "--base", "small"],
        ["data", "check", "{rows}", "--base", "none"],
    ],
    "clusters and endpoints": [
        ["clusters", "list"],
        ["clusters", "shapes"],
        ["clusters", "create", "mine", "--type", "hosting", "--json"],
        ["clusters", "create", "mine", "--type", "hosting"],
        ["clusters", "create", "m", "--type", "hosting", "--shape", "huge"],
        ["endpoints", "create", "answers", "small", "--cluster", "mine"],
        ["endpoints", "list"],
        ["endpoints", "show", "answers"],
        ["endpoints", "deactivate", "answers", "--json"],
        ["endpoints", "activate", "answers"],
        ["endpoints", "activate", "answers"],
        ["clusters", "delete", "mine", "--yes"],
        ["endpoints", "delete", "answers", "--yes"],
        ["clusters", "resize", "mine", "2"],
        ["clusters", "show", "mine"],
        ["clusters", "delete", "mine", "--yes"],
        ["clusters", "show", "mine"],
    ],
    "access": [
        ["projects", "create", "team-a", "--description", "A's"],
        ["projects", "create", "team-a"],
        ["projects", "list"],
        ["keys", "create", "--project", "team-a", "--role", "viewer", "--days", "3"],
        ["keys", "list", "--project", "team-a"],
        ["keys", "list", "--project", "team-b"],
        ["keys", "change", "{key}", "--days", "0", "--tokens-per-day", "9"],
        ["keys", "change", "{key}"],
        ["keys", "revoke", "{key}"],
        ["keys", "revoke", "{key}"],
        ["audit", "list", "--limit", "2", "--json"],
        ["audit", "list", "--project", "none"],
        ["audit", "export", "--project", "team-a"],
    ],
}


@pytest.fixture
def given(tmp_path: Path) -> dict[str, str]:
    """Files of examples by what they are."""
    rows = {"rows": ["go", "more"], "bad": ["", "b"], "failing": ["error", "fail all"]}
    for name, prompts in rows.items():
        lines = [json.dumps({"prompt": prompt, "completion": "yes"}) for prompt in prompts]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return {name: str(tmp_path / f"{name}.jsonl") for name in (*rows, "none")}


@contextmanager
def serving(home: Path) -> Iterator[str]:
    """The address of a server for `home`, in a thread of this process."""
    with Platform(Settings(home=home, threads=1), WORKERS) as platform, listening("127.0.0.1", 0) as connection:
        is_ready = threading.Event()
        server = Server(create_app(platform, KeyCheck.of(KEY)), is_ready.set)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([connection])))
        thread.start()
        try:
            assert is_ready.wait(60)
            yield f"http://127.0.0.1:{connection.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def said(tmp_path, monkeypatch, capsys, given):
    """Runs a story in a home of its own, by a server or without one; what its commands said and how they ended."""
    folders = [str(UNIT / name / "programs") for name in ("services", "clusters")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(folders))
    monkeypatch.setenv("COLUMNS", "200")
    # An earlier test's terminal was as wide as it was: narrow ones break times, which are then not recognised.
    output.console.cache_clear()
    monkeypatch.setattr(session, "Platform", partial(Platform, workers=WORKERS))

    def run(story: list[list[str]], where: str) -> list[tuple[str, int, str, str]]:
        home = tmp_path / where
        with Platform(Settings(home=home, threads=1)) as platform:
            platform.base_models.pull(write_model_files(tmp_path / where / "files" / "small"))
        monkeypatch.setenv("FETTLE_HOME", str(home))
        names = given | {"out": str(tmp_path / f"out-{where}")}
        if where == "local":
            return [told(command, names) for command in story]
        with serving(home) as url:
            monkeypatch.setenv("FETTLE_URL", url)
            monkeypatch.setenv("FETTLE_API_KEY", KEY)
            return [told(command, names) for command in story]

    def told(command: list[str], names: dict[str, str]) -> tuple[str, int, str, str]:
        code = main([word.format(**names) for word in command])
        out, err = capsys.readouterr()
        names |= {kind: found[-1] for kind in ("job", "key") if (found := re.findall(rf"\b{kind}_\w+", out))}
        return " ".join(command), code, plain(out, names), plain(err, names)

    yield run
    output.console.cache_clear()


def plain(text: str, names: dict[str, str]) -> str:
    """A text without what is new each time: ids, times, speeds, keys, and where this run's files are."""
    text = text.replace(names["out"], "OUT")
    text = re.sub(r"\b(job|model|key|file|cluster|endpoint|label|sweep|eval|project)[_-][0-9a-f]{16}\b", r"\1", text)
    text = re.sub(r"fettle-[0-9a-f]{8}(-[\w-]+)?", "KEY", text)
    text = re.sub(r"/\S*/artifacts/\S+", "ARTIFACT", re.sub(r"\b[0-9a-f]{64}\b", "HASH", text))
    text = re.sub(r"/\S*/(local|there)/", "HOME/", re.sub(r'("train_file": ).*', r"\1FILE", text))
    # The log tells whose key it was, or which user.
    text = re.sub(r'"(who|origin|request_id)": "[^"]*"', r'"\1": ""', text)
    text = re.sub(r"(?m)^(cost|unit-hours) +\S+$", r"\1", text)
    text = re.sub(r'("(?:unit_hours|cost)": )".*"', r"\1HOURS", text)
    return re.sub(r"\d{4}-\d\d-\d\d[T ][\d:.]+Z?", "TIME", text)


@pytest.mark.parametrize("story", STORIES)
def test_commands_say_the_same_with_a_server_and_without(story, said):
    here, there = said(STORIES[story], "local"), said(STORIES[story], "there")
    assert there == here


@pytest.mark.parametrize(
    ("url", "command", "code", "told"),
    [
        ("http://127.0.0.1:1", ["jobs", "list"], 1, "the server at http://127.0.0.1:1 does not answer"),
        ("127.0.0.1:8000", ["jobs", "list"], 2, "begins with http:// or https://"),
        ("http://127.0.0.1:1", ["up"], 2, "`fettle up` works on this machine only"),
        ("http://127.0.0.1:1", ["pull", "folder"], 2, "`fettle pull` works on this machine only"),
        ("http://127.0.0.1:1", ["status"], 2, "`fettle status` works on this machine only"),
        ("http://127.0.0.1:1", ["doctor"], 2, "`fettle doctor` works on this machine only"),
    ],
)
def test_what_a_server_cannot_do_is_told(url, command, code, told, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FETTLE_HOME", str(tmp_path))
    monkeypatch.setenv("FETTLE_URL", url)
    assert main(command) == code
    assert told in capsys.readouterr().err
