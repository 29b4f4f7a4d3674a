"""What few rows teach the packaged base model, in the published order: `benchmarks/fewshot` on three of its seeds."""

import runpy
from argparse import Namespace
from pathlib import Path
from statistics import median

import pytest

from fettle.data.samples import ACTIONS

pytestmark = pytest.mark.slow
BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "fewshot" / "bench.py"
ASKED = Namespace(rows=64, tests=100, epochs=12, threads=1)


def test_vectors_and_their_losses_choose_better_than_a_tuned_prompt():
    bench = runpy.run_path(str(BENCHMARK))
    found = {
        way: median(bench["run"](way, seed, ASKED)["accuracy"] for seed in bench["SEEDS"][:3])
        for way in ("T-Few", "prompt tuning")
    }
    assert found["T-Few"] > found["prompt tuning"] + 0.05 > 1 / len(ACTIONS)
