"""From the words of the command line to a tuning spec, and how its events read."""

from pathlib import Path

import pytest

from fettle.cli.options import parse_assignments
from fettle.cli.progress import evaluation_text, step_text
from fettle.cli.tune import default_name, make_spec
from fettle.errors import InvalidInput
from fettle.types.tuning import EvaluationEvent, Metrics, StepEvent

FILE = Path("train.jsonl")


def spec(*assignments: str, name: str | None = None):
    return make_spec(FILE, "pocket", "lora", name, list(assignments))


def test_hyperparameters_and_adapter_settings_are_told_apart_by_their_names():
    made = spec("epochs=5", "learning_rate=2e-3", "rank=16", "dropout=0")
    assert made.hyperparameters.epochs == 5
    assert made.hyperparameters.learning_rate == 2e-3
    assert made.adapter == {"rank": 16, "dropout": 0}


def test_a_dotted_key_reaches_a_nested_setting():
    assert spec("early_stopping.patience=2", "early_stopping.threshold=0").hyperparameters.early_stopping.patience == 2


def test_lists_null_and_texts_are_understood():
    made = spec('targets=["q_proj"]', "last_layer=null", "dtype=float32")
    assert made.adapter == {"targets": ["q_proj"]}
    assert made.hyperparameters.last_layer is None
    assert made.hyperparameters.dtype == "float32"


def test_all_values_out_of_bounds_are_named_at_once():
    with pytest.raises(InvalidInput) as caught:
        spec("epochs=0", "batch_size=many", "dtype=int8", "early_stopping.patience=-1", "early_stopping=3")
    for field in ("epochs", "batch_size", "dtype", "early_stopping"):
        assert field in caught.value.message


def test_assignments_without_equals_or_given_twice_are_named_at_once():
    with pytest.raises(InvalidInput) as caught:
        parse_assignments(["epochs", "seed=1", "=4", "seed=2"])
    assert "'epochs'" in caught.value.message
    assert "'=4'" in caught.value.message
    assert "'seed' is given twice" in caught.value.message


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("train.jsonl.gz", "train"),
        ("my tickets (2).jsonl", "my-tickets-2"),
        ("..jsonl", "model"),
        ("_x_.jsonl", "x"),
        ("ü.jsonl", "model"),
        ("a" * 80 + ".jsonl", "a" * 64),
    ],
)
def test_the_default_name_is_made_of_the_file_name_and_is_a_valid_one(file, name):
    assert default_name(Path("/data") / file) == name
    assert make_spec(Path(file), "pocket", "lora", None, []).name == name


def test_a_name_that_cannot_be_one_is_refused():
    with pytest.raises(InvalidInput, match="'name'"):
        spec(name="no spaces please")


def test_the_bar_tells_loss_accuracy_speed_and_time_left():
    event = StepEvent(
        step=12, total_steps=40, epoch=0.3, loss=1.2345, token_accuracy=0.5, learning_rate=1e-3, gradient_norm=1,
        tokens_per_second=4321.4, seconds_left=125,
    )  # fmt: skip
    assert step_text(event) == "step 12/40  loss 1.234  token accuracy 50.0%  4,321 tokens/s  2:05 left"


def test_a_validation_line_tells_both_sides_and_whether_it_is_the_best():
    train, validation = (Metrics(loss=x, token_accuracy=0.5, num_tokens=9) for x in (0.25, 0.75))
    event = EvaluationEvent(step=40, epoch=1, train=train, validation=validation, is_best=True)
    text = evaluation_text(event)
    assert "epoch 1  step 40" in text
    assert "training loss 0.250" in text
    assert "validation loss 0.750" in text
    assert text.endswith("best so far")
    assert not evaluation_text(event.model_copy(update={"is_best": False})).endswith("best so far")
