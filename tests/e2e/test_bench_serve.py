"""`fettle bench serve` against `fettle up`, both as users start them, with the base and two custom models."""

import json
import os
import subprocess
import sys

import pytest

from fettle.testing.installation import tiny_installation
from tests.e2e.server import BASE, KEY, serving

pytestmark = pytest.mark.e2e
MODELS = (BASE, "red", "blue")


def bench(client, *arguments):
    command = [
        sys.executable,
        "-m",
        "fettle",
        "bench",
        "serve",
        "--url",
        str(client.base_url),
        "--api-key-env",
        "E2E_KEY",
    ]
    command += [*(part for model in MODELS for part in ("--model", model)), *arguments]
    environment = os.environ | {"E2E_KEY": KEY}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_mixed_models_are_measured_and_every_token_that_the_server_made_is_counted(tmp_path):
    home = tiny_installation(tmp_path / "home")
    lengths = ["--prompt-length", "uniform:5,15", "--output-length", "fixed:12", "--ignore-eos"]
    with serving(home) as (_, client):
        loads = ["--concurrency", "1,6", "--rate", "50", "--requests", "18", "--popularity", "zipf:0.5"]
        done = bench(client, *loads, *lengths, "--slo-ttft", "100", "--json")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        page = client.get("../metrics", cast_to=str)
        wrong = bench(client, "--model", "green", "--warmup", "4", "--requests", "8", *lengths)
    for result in told["results"]:
        found = result["all"]
        assert (found["num_answered"], found["failures"]) == (18, [])
        assert (found["output_tokens"], found["counted_by"]) == (18 * 12, {"usage": 18})
        assert found["itl_seconds"]["num"] > 0
        assert 0 < found["ttft_seconds"]["p50"] < found["e2e_seconds"]["p50"]
        assert sum(model["num_requests"] for model in result["models"].values()) == 18
    # Three loads, and a warm-up of one request for each model.
    answered = [line for line in page.splitlines() if line.startswith("fettle_requests_total{")]
    assert sum(float(line.rpartition(" ")[2]) for line in answered if 'outcome="ok"' in line) == 3 * 18 + 3
    assert wrong.returncode == 0
    assert "http_404" in wrong.stdout
