"""Jobs are listed, and what one measured comes as CSV."""

import json

import pytest

from fettle.cli.main import main
from fettle.services.platform import Platform
from fettle.settings import Settings
from fettle.store.database import Database
from fettle.store.events import EventLog
from fettle.testing.model_files import write_model_files
from fettle.types.tuning import TuningSpec


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FETTLE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def job(home, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "a", "completion": "b"}\n{"prompt": "c", "completion": "d"}\n')
    with Platform(Settings(home=home)) as platform:
        base = platform.base_models.pull(write_model_files(tmp_path / "small")).name
        return platform.tuning_jobs.create(TuningSpec(base=base, method="lora", name="tickets"), rows)


def test_jobs_are_listed_with_their_state(job, capsys):
    assert main(["jobs", "list"]) == 0
    shown = capsys.readouterr().out
    assert job.id in shown
    assert "tickets" in shown
    assert "queued" in shown
    assert main(["jobs", "list", "--json"]) == 0
    assert [one["id"] for one in json.loads(capsys.readouterr().out)["jobs"]] == [job.id]


def test_without_jobs_it_is_said_how_to_make_one(home, capsys):
    assert main(["jobs", "list"]) == 0
    assert "fettle tune FILE" in capsys.readouterr().out


def test_what_a_job_measured_is_printed_as_csv_and_nothing_else(job, home, capsys):
    database = Database.open(home / "fettle.db")
    EventLog(database).append(job.id, "step", step=1, loss=0.5, token_accuracy=0.25)
    database.close()
    assert main(["jobs", "metrics", job.id]) == 0
    header, row, end = capsys.readouterr().out.split("\n")
    assert header.startswith("step,train_loss,train_accuracy")
    assert row == "1,0.5,0.25,,"
    assert not end


def test_a_job_that_does_not_exist_is_wrong_input(home, capsys):
    assert main(["jobs", "metrics", "job-none"]) == 2
    assert "job-none" in capsys.readouterr().err
