"""What few rows teach the packaged base model, in the published order (arXiv 2205.05638, section 3; its seeds too)."""

import json
from statistics import median

import pytest

from fettle.data.samples import ACTIONS, support_tickets
from fettle.registry.base_models import packaged
from fettle.tuning.tune import tune
from fettle.types.evaluation import EvaluationPlan
from fettle.types.tuning import TuningPlan, TuningSpec
from fettle.workers.evaluate import run as evaluate

pytestmark = pytest.mark.slow
NUM_TRAIN, NUM_TEST, EPOCHS = 64, 100, 12


def test_vectors_and_their_losses_choose_better_than_a_tuned_prompt(tmp_path):
    found = {
        method: [accuracy(method, seed, tmp_path / f"{method}-{seed}") for seed in (42, 1024, 0)]
        for method in ("tfew", "prompt")
    }
    assert median(found["tfew"]) > median(found["prompt"]) + 0.05 > 1 / len(ACTIONS)


def accuracy(method, seed, folder):
    """The share of held-out requests of which the right action is the likeliest, after tuning on others."""
    folder.mkdir()
    requests = [
        (row["prompt"], json.loads(row["completion"])["action"]) for row in support_tickets(NUM_TRAIN + NUM_TEST, seed)
    ]
    choices = [{"prompt": prompt, "choices": ACTIONS, "answer": action} for prompt, action in requests]
    # What has no losses over wrong answers learns to write the right one.
    pairs = [{"prompt": prompt, "completion": action} for prompt, action in requests]
    train = written(folder / "train.jsonl", (choices if method == "tfew" else pairs)[:NUM_TRAIN])
    test = written(folder / "test.jsonl", choices[NUM_TRAIN:])
    base = next(entry.path for entry in packaged() if entry.name == "pocket")
    settings = {"epochs": EPOCHS, "seed": seed, "validation_fraction": 0}
    plan = TuningPlan(
        spec=TuningSpec.from_settings(settings, base="pocket", method=method, name="x"),
        base_path=base,
        train_path=train,
        work_path=str(folder / "work"),
        output_path=str(folder / "output"),
        threads=1,
    )
    tune(plan, lambda event: None)
    asked = EvaluationPlan(
        base_path=base,
        adapter_path=plan.output_path,
        rows_path=test,
        output_path=str(folder / "evaluation"),
        threads=1,
    )
    return evaluate(asked).scores["exact_match"].mean


def written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)
