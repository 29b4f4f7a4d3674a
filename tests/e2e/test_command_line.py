"""A model's whole life on the command line, in real processes, with JSON for programs."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Fettle, run_fettle

pytestmark = pytest.mark.e2e
ROWS = [{"prompt": f"what is {n} and {n}?", "completion": json.dumps({"sum": 2 * n})} for n in range(80)]


def document(done: subprocess.CompletedProcess[str]):
    """The one JSON document on stdout of a command that went well."""
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "sums.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in ROWS))
    return path


@pytest.fixture(scope="module")
def tuned(home, rows):
    """A LoRA of `tiny` named `sums`."""
    return document(
        run_fettle("tune", str(rows), "--base", "tiny", "--name", "sums", "--set", "epochs=2", "--json", home=home)
    )


def test_tuning_tells_the_job_and_the_model_that_it_made(tuned):
    assert tuned["job"]["state"] == "succeeded"
    assert tuned["job"]["spec"]["hyperparameters"]["epochs"] == 2
    assert tuned["model"]["name"] == "sums"
    assert tuned["model"]["state"] == "active"
    assert 0 < tuned["model"]["metrics"]["validation"]["loss"] < 20


def test_a_tuned_model_is_listed_and_shown(fettle: Fettle, tuned):
    assert tuned["model"]["id"] in {
        model["id"] for model in document(fettle("models", "list", "--json"))["custom_models"]
    }
    assert document(fettle("models", "show", "sums:1", "--json"))["job_id"] == tuned["job"]["id"]
    assert document(fettle("models", "show", "tiny", "--json"))["context"] == 256
    assert "sums:1" in fettle("models", "show", "sums").stdout


def test_answers_are_the_same_each_time_and_in_each_form_and_differ_from_the_base(fettle: Fettle, tuned):
    ask = ["what is 7 and 7?", "--max-tokens", "12"]
    first, base = (document(fettle("generate", model, *ask, "--json")) for model in ("sums:1", "tiny"))
    assert fettle("generate", "sums", *ask).stdout == first["text"] + "\n"
    assert first["text"] != base["text"]
    assert 1 <= first["completion_tokens"] <= 12


def test_an_evaluation_scores_every_row(fettle: Fettle, tuned, rows):
    report = document(fettle("eval", "sums", str(rows), "--limit", "12", "--max-tokens", "16", "--json"))
    assert report["rows"] == 12
    assert {"exact_match", "json_equal", "json_field.sum"} <= report["scores"].keys()
    predictions = [json.loads(line) for line in Path(report["predictions_path"]).read_text().splitlines()]
    assert [row["expected"] for row in predictions] == [row["completion"] for row in ROWS[:12]]
    assert report["completion_tokens"] == sum(row["completion_tokens"] for row in predictions)


def test_the_evaluation_gives_the_answers_that_generate_gives(fettle: Fettle, tuned, rows):
    report = document(fettle("eval", "sums", str(rows), "--limit", "3", "--max-tokens", "12", "--json"))
    row = json.loads(Path(report["predictions_path"]).read_text().splitlines()[-1])
    answer = document(fettle("generate", "sums", row["prompt"], "--max-tokens", "12", "--json"))
    assert row["answer"] == answer["text"]


def test_a_conversation_is_read_from_standard_input(home, tuned):
    variables = os.environ | {"FETTLE_HOME": str(home), "FETTLE_THREADS": "1"}
    command = [sys.executable, "-P", "-m", "fettle", "chat", "sums", "--max-tokens", "8", "--seed", "1", "--json"]
    done = subprocess.run(
        command, env=variables, input="hello\n/new\nagain\n/exit\nnever\n", capture_output=True, text=True, check=True
    )
    messages = json.loads(done.stdout)["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant"]
    assert messages[0]["content"] == "again"


def test_an_exported_model_is_a_peft_folder(fettle: Fettle, tuned, tmp_path):
    exported = document(fettle("models", "export", "sums", str(tmp_path / "out"), "--json"))
    assert {"adapter_config.json", "adapter_model.safetensors"} <= exported["files"].keys()
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text())["peft_type"] == "LORA"
    assert fettle("models", "export", "sums", str(tmp_path / "out")).returncode == 2
    assert fettle("models", "export", "sums", str(tmp_path / "out"), "--force").returncode == 0


def test_a_deleted_version_is_gone(fettle: Fettle, rows):
    made = document(fettle("tune", str(rows), "--base", "tiny", "--name", "gone", "--set", "epochs=1", "--json"))
    assert fettle("models", "delete", "gone", "--json").returncode == 2  # a program must say --yes
    assert document(fettle("models", "delete", "gone", "--yes", "--json"))["id"] == made["model"]["id"]
    assert fettle("generate", "gone", "hello").returncode == 2


def test_the_doctor_finds_nothing_wrong(fettle: Fettle, tuned):
    report = document(fettle("doctor", "--json"))
    assert report["ok"]
    assert {"torch", "home", "base_models", "artifacts"} <= {finding["check"] for finding in report["findings"]}


def test_the_doctor_names_a_base_model_that_lost_its_weights(tiny_folder, tmp_path):
    document(run_fettle("pull", str(tiny_folder), "--name", "torn", "--json", home=tmp_path))
    (tmp_path / "models" / "torn" / "model.safetensors").unlink()
    done = run_fettle("doctor", "--json", home=tmp_path)
    assert done.returncode == 1
    broken = [finding for finding in json.loads(done.stdout)["findings"] if finding["state"] == "error"]
    assert [finding["check"] for finding in broken] == ["base_models"]
    assert "torn" in broken[0]["found"]


def test_an_interrupted_job_keeps_its_checkpoint_and_says_how_to_go_on(home, rows):
    """By SIGTERM, which is made an interruption like Ctrl-C's."""
    command = [sys.executable, "-P", "-m", "fettle", "tune", str(rows), "--base", "tiny", "--name", "stopped", "--set"]
    variables = os.environ | {"FETTLE_HOME": str(home), "FETTLE_THREADS": "1", "COLUMNS": "200"}
    with subprocess.Popen([*command, "epochs=20"], env=variables, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        first_line = process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
    assert "epoch 1" in first_line
    assert process.returncode == 130
    assert "Traceback" not in rest
    job = rest.split("--resume ")[1].split()[0]
    resumed = document(run_fettle("tune", "--resume", job, "--json", home=home))
    assert resumed["job"]["id"] == job
    assert resumed["model"]["name"] == "stopped"
