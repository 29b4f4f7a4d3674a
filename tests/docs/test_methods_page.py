"""The page of measured methods tells the newest result of each, and nothing that was not measured."""

import json
import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "docs_methods.py"
RUN = {"method": "tfew", "form": "pairs", "base": "pocket", "trained_parameters": 9216, "bytes": 39_008}


@pytest.fixture(scope="module")
def page():
    return runpy.run_path(str(SCRIPT))["measured_methods"]


def write(folder, time, of, measured, **asked):
    result = {"asked": {"case": "tfew", "set": of} | asked, "measured": RUN | measured}
    (folder / f"{time}.json").write_text(json.dumps(result | {"machine": {"processor": "a processor"}}))


def scored(mean):
    return {"scores": {"exact_match": {"mean": mean, "low": mean - 0.1, "high": mean + 0.1}}}


def cells(text):
    (row,) = [line for line in text.splitlines() if line.startswith("| `tfew`")]
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_the_newest_result_on_each_set_is_told(page, tmp_path):
    budget = {"rows": 1500, "epochs": 2, "tests": 150}
    write(tmp_path, 1, "tickets", scored(0.5), **budget)
    write(
        tmp_path, 2, "speed", {"tokens_per_second": 3000, "peak_memory_bytes": 2**30}, steps=3, batch_size=8, threads=2
    )
    write(tmp_path, 3, "tickets", scored(0.75), **budget)
    text = page(tmp_path)
    told = ["75.0 % (65 to 85)", "", "", "9,216", "39 kB", "3,000", "1.07 GB"]
    assert cells(text)[3:] == told
    assert "- tickets, 1,500 rows, epochs: 2, held-out rows: 150: `tfew`" in text
    assert "3 steps of 8 rows, 2 threads on a processor: `tfew`" in text


def test_a_run_that_failed_is_told_as_such(page, tmp_path):
    write(tmp_path, 1, "snips", {"failed": "training diverged"}, rows=10, epochs=1, tests=5)
    assert cells(page(tmp_path))[3:6] == ["", "failed", "failed"]
