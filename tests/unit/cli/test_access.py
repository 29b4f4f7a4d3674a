"""Keys and projects are made at the command line, and the audit log tells who did it."""

import getpass
import json

import pytest

from fettle.cli.main import main
from fettle.errors import Unauthorized
from fettle.services.platform import Platform
from fettle.settings import Settings


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FETTLE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def said(capsys):
    def run(*arguments):
        assert main([*arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def test_a_key_made_here_opens_its_project_until_it_is_revoked(said, home):
    said("projects", "create", "team-a", "--description", "A's")
    options = ["--project", "team-a", "--role", "operator", "--scope", "jobs:write", "--days", "3"]
    made = said("keys", "create", "--name", "bob", *options, "--tokens-per-day", "9", "--requests-per-minute", "2")
    with Platform(Settings(home=home)) as platform:
        principal = platform.keys.authenticate(made["api_key"])
    assert (principal.project_id, principal.key_id, principal.tokens_per_day) == ("team-a", made["key"]["id"], 9)
    assert principal.permissions == {"jobs:write"}
    (listed,) = said("keys", "list", "--project", "team-a")["keys"]
    assert (listed["name"], listed["state"], listed["requests_per_minute"]) == ("bob", "active", 2)
    assert "digest" not in listed
    assert said("keys", "list", "--project", "default") == {"keys": []}
    assert said("keys", "revoke", listed["prefix"])["state"] == "revoked"


def test_a_keys_limits_are_changed_and_taken_away(said):
    made = said("keys", "create", "--tokens-per-day", "9", "--requests-per-minute", "2")["key"]
    changed = said("keys", "change", made["prefix"], "--tokens-per-day", "5", "--days", "1", "--name", "bob")
    assert (changed["tokens_per_day"], changed["requests_per_minute"], changed["name"]) == (5, 2, "bob")
    assert changed["expires_at"] is not None
    free = said("keys", "change", made["id"], "--tokens-per-day", "0", "--requests-per-minute", "0", "--days", "0")
    assert (free["tokens_per_day"], free["requests_per_minute"], free["expires_at"]) == (None, None, None)
    assert free["name"] == "bob"


def test_a_project_ends_with_its_keys(said, home):
    said("projects", "create", "team-a")
    key = said("keys", "create", "--project", "team-a")["api_key"]
    assert said("projects", "delete", "team-a")["state"] == "deleted"
    assert [one["id"] for one in said("projects", "list")["projects"]] == ["default"]
    assert [one["state"] for one in said("keys", "list")["keys"]] == ["revoked"]
    with Platform(Settings(home=home)) as platform, pytest.raises(Unauthorized):
        platform.keys.authenticate(key)


def test_tables_show_what_is_there(capsys):
    assert main(["keys", "list"]) == 0
    assert "`fettle keys create`" in capsys.readouterr().out
    for command in (["projects", "create", "team-a"], ["keys", "create", "--project", "team-a"], ["projects", "list"]):
        assert main(command) == 0
    shown = capsys.readouterr().out
    assert "shown this once" in shown
    assert "default" in shown
    assert main(["keys", "list"]) == 0
    assert "team-a" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["projects", "create", "Team A"], "'Team A' cannot be the name of a project"),
        (["projects", "create", "default"], "already"),
        (["keys", "create", "--project", "defualt"], "Did you mean 'default'?"),
        (["keys", "create", "--role", "king", "--scope", "fly"], "'scopes.0' is 'fly'"),
        (["keys", "create", "--role", "viewer", "--scope", "jobs:write"], "has no permission 'jobs:write'"),
        (["keys", "create", "--tokens-per-day", "0"], "'tokens_per_day' is 0"),
        (["keys", "revoke", "key_none"], "fettle keys list"),
        (["keys", "change", "key_none", "--days", "1"], "fettle keys list"),
        (["keys", "change", "key_none"], "nothing is to be changed"),
        (["projects", "delete", "default"], "always there"),
        (["projects", "delete", "none"], "unknown project 'none'"),
        (["keys", "list", "--project", "none"], "unknown project 'none'"),
        (["audit", "list", "--project", "none"], "unknown project 'none'"),
    ],
)
def test_bad_input_is_told_with_what_to_do(arguments, told, capsys):
    assert main(arguments) == 2
    assert told in capsys.readouterr().err


def test_a_wrong_key_is_not_repeated_to_whoever_looks_on(capsys):
    assert main(["keys", "revoke", "fettle-12345678-secret"]) == 2
    assert "secret" not in capsys.readouterr().err


def test_the_log_is_listed_and_exported_whole_and_never_over_a_file(said, capsys, tmp_path):
    for name in ("a", "b"):
        said("projects", "create", name)
    said("keys", "create", "--project", "a")
    everything = said("audit", "list")["events"]
    # What opening an installation makes is the system's doing.
    listed = [one for one in everything if one["who"] != "system"]
    assert [(one["action"], one["kind"], one["project_id"]) for one in listed] == [
        ("created", "project", "default"),
        ("created", "project", "default"),
        ("created", "API key", "a"),
    ]
    assert {one["who"] for one in listed} == {f"user:{getpass.getuser()}"}
    assert len(said("audit", "list", "--limit", "1")["events"]) == 1
    assert main(["audit", "list"]) == 0
    capsys.readouterr()
    assert main(["audit", "export", "--project", "a"]) == 0
    assert [json.loads(line)["kind"] for line in capsys.readouterr().out.splitlines()] == ["API key"]
    path = tmp_path / "log.jsonl"
    assert main(["audit", "export", str(path)]) == 0
    assert [json.loads(line) for line in path.read_text().splitlines()] == everything
    assert main(["audit", "export", str(path)]) == 2
    assert "Name a new file" in capsys.readouterr().err
