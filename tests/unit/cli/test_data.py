"""`fettle data check`: its table, its document, its exit codes, through the real worker."""

import json

import pytest

from fettle.cli.main import main
from fettle.services.platform import Platform
from fettle.settings import Settings
from fettle.testing.models import tiny_model


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    with Platform(Settings(home=folder)) as platform:
        platform.base_models.pull(tiny_model(folder / "made"), "tiny")
    return folder


@pytest.fixture
def check(home, monkeypatch, capfd):
    """Runs the command and returns its exit code, standard output and standard error."""
    monkeypatch.setenv("FETTLE_HOME", str(home))

    def check(*arguments: object) -> tuple[int, str, str]:
        code = main(["data", "check", *map(str, arguments), "--base", "tiny"])
        return code, *capfd.readouterr()

    return check


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "good.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"p{n}", "completion": "c"}) + "\n" for n in range(70)))
    return path


@pytest.fixture
def bad(tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_text('{"prompt": "p", "completion": ""}\n{\n')
    return path


def test_a_good_file_is_described_and_the_next_step_named(check, good):
    code, out, _ = check(good)
    assert code == 0
    assert "70" in out
    assert f"fettle tune {good} --base tiny" in out


def test_a_bad_file_ends_with_every_fault_and_exit_code_2(check, bad):
    code, out, err = check(bad)
    assert (code, out) == (2, "")
    assert "line 1: `completion` is empty" in err
    assert "line 2: is not valid JSON" in err


def test_for_programs_there_is_one_document_good_or_bad(check, good, bad):
    code, out, _ = check(good, "--validation", bad, "--json")
    report = json.loads(out)
    assert code == 2
    assert (report["rows"], report["validation"]["bad_rows"]) == (70, 2)
    assert report["tokens"]["longest"] > 0


def test_an_absent_file_is_named_before_anything_starts(check, good):
    code, out, err = check(good.with_name("god.jsonl"))
    assert (code, out) == (2, "")
    assert "Did you mean 'good.jsonl'?" in err
