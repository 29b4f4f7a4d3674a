"""Clusters and endpoints at the command line: made, shown, refused, deleted."""

import json

import pytest

from fettle.cli.main import main
from fettle.services.platform import Platform
from fettle.settings import Settings
from fettle.testing.model_files import write_model_files


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FETTLE_HOME", str(tmp_path / "home"))
    with Platform(Settings(home=tmp_path / "home")) as platform:
        platform.base_models.pull(write_model_files(tmp_path / "small"))


@pytest.fixture
def told(capsys):
    """What a command prints; as JSON where it is that."""

    def run(*arguments, code=0):
        assert main(list(arguments)) == code
        out, error = capsys.readouterr()
        return error if code else json.loads(out) if "--json" in arguments else out

    return run


def test_a_cluster_is_made_shown_resized_and_deleted(told):
    assert "mine has 1 unit of cpu-tiny" in told("clusters", "create", "mine", "--type", "hosting")
    assert told("clusters", "resize", "mine", "2", "--json")["units"] == 2
    assert "0 of 100" in told("clusters", "show", "mine")
    names = [one["name"] for one in told("clusters", "list", "--json")["clusters"]]
    assert names == ["default-fine-tuning", "default-hosting", "mine"]
    assert "--yes" in told("clusters", "delete", "mine", "--json", code=2)
    assert "mine is deleted" in told("clusters", "delete", "mine", "--yes")
    assert "mine" not in told("clusters", "list")
    assert "cpu-tiny" in told("clusters", "shapes", "--base", "small")


def test_wrong_clusters_are_refused_with_all_faults(told):
    error = told("clusters", "create", "mine", "--type", "serving", "--units", "0", code=2)
    assert "'serving'" in error
    assert "'units' is 0" in error
    assert "What would fit" in told("clusters", "create", "mine", "--type", "hosting", "--units", "1024", code=2)
    assert "default-hosting" in told("clusters", "show", "default-hostin", code=2)


def test_an_endpoint_is_made_switched_and_deleted(told):
    assert "answers serves small on default-hosting" in told("endpoints", "create", "answers", "small")
    assert "answers is inactive" in told("endpoints", "deactivate", "answers")
    assert "activate answers" in told("generate", "answers", "hello", code=2)
    assert told("endpoints", "activate", "answers", "--json")["state"] == "active"
    assert "in use: 1 endpoints" in told("clusters", "delete", "default-hosting", "--yes", code=2)
    assert "default-hosting" in told("endpoints", "list")
    assert "answers is deleted" in told("endpoints", "delete", "answers", "--yes")
    assert "endpoints create" in told("endpoints", "list")


def test_a_label_of_no_model_is_refused(told):
    assert "'tickets'" in told("models", "label", "tickets", "production", code=2)
