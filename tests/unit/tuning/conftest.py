"""A tiny base model and rows that it can learn in a second."""

import json
from pathlib import Path

import pytest

from fettle.adapters.methods import METHODS
from fettle.testing.models import tiny_model
from fettle.types.tuning import Hyperparameters, TuningPlan, TuningSpec

FAST = {"epochs": 2, "batch_size": 8, "dtype": "float32", "validation_fraction": 0.2}


@pytest.fixture(scope="session")
def base(tmp_path_factory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def rows(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "train.jsonl"
    lines = [{"prompt": f"say {i % 7}" + "!" * (i % 5), "completion": f"it is {i % 7}"} for i in range(60)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="session")
def preferences(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("preferences") / "train.jsonl"
    lines = [{"prompt": f"say {i % 7}", "chosen": f"it is {i % 7}", "rejected": "no"} for i in range(48)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def plan(base, rows, preferences, tmp_path):
    """Makes a plan, on rows that fit the method, whose output is `tmp_path/<name>/output`."""

    def make(name: str = "run", method: str = "lora", adapter: dict | None = None, **settings) -> TuningPlan:
        folder = tmp_path / name
        return TuningPlan(
            spec=TuningSpec(
                base="tiny",
                method=method,
                name="x",
                adapter=adapter or {},
                hyperparameters=Hyperparameters(**FAST | settings),
            ),
            base_path=str(base),
            train_path=str(preferences if METHODS[method].objective == "preference" else rows),
            work_path=str(folder / "work"),
            output_path=str(folder / "output"),
        )

    return make
