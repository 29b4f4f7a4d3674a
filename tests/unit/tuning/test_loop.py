"""The loop evaluates and saves when it is told to, and tells what goes wrong on the way."""

import random
from dataclasses import asdict

import pytest

from fettle.errors import TrainingFailed
from fettle.testing.training import ScriptedLearner, ToyLearner, toy_run
from fettle.tuning.checkpoint import Checkpoints
from fettle.tuning.progress import Progress
from fettle.types.tuning import EvaluationEvent, MessageEvent, StepEvent

NEVER = {"early_stopping": {"patience": 0}}


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def messages(events, code):
    return [event for event in of(MessageEvent, events) if event.code == code]


@pytest.mark.parametrize(
    ("settings", "evaluated", "saved"),
    [
        ({}, [10, 20], [20]),
        ({"evaluation_interval": 6}, [6, 12, 18, 20], [20]),
        ({"evaluations_per_epoch": 3}, [4, 7, 10, 14, 17, 20], [20]),
        ({"checkpoint_interval": 8}, [10, 20], [8, 16, 20]),
        ({"checkpoints_per_epoch": 2}, [10, 20], [5, 10, 15, 20]),
        ({"evaluation_interval": 100, "checkpoints_per_epoch": 1}, [20], [10, 20]),
        ({"evaluations_per_epoch": 100, "checkpoint_interval": 9}, list(range(1, 21)), [9, 18, 20]),
    ],
)
def test_evaluations_and_checkpoints_come_as_often_as_each_is_told(settings, evaluated, saved, tmp_path):
    events = []
    run = toy_run(ToyLearner(), tmp_path, events.append, num_steps=10, epochs=2, **NEVER, **settings)
    run.run()
    assert [event.step for event in of(EvaluationEvent, events)] == evaluated
    assert run.checkpoints.steps == saved


def test_the_best_parameters_are_of_an_evaluation_though_no_checkpoint_was_written_there(tmp_path):
    events = []
    toy = ScriptedLearner(train=[1.0] * 12, validation=[0.9, 0.3, 0.8, 0.7])
    settings = {"evaluation_interval": 3, "checkpoint_interval": 7}
    run = toy_run(toy, tmp_path, events.append, num_steps=12, **NEVER, **settings)
    progress = run.run()
    assert progress.best_step == 6
    assert run.checkpoints.steps == [7, 12]
    # Each step moves the value by the rate, as the gradient is 1.
    assert toy.value.item() == pytest.approx(-0.1 * 6)
    (told,) = messages(events, "best")
    assert told.text == "the best validation loss was 0.3000, at step 6 of 12; its parameters are kept"


def test_a_loss_that_explodes_stops_the_run_with_the_step_and_what_to_do(tmp_path):
    toy = ScriptedLearner(train=[2.0] * 30 + [8.0] * 100)
    run = toy_run(toy, tmp_path, num_steps=130, has_validation=False)
    with pytest.raises(TrainingFailed) as caught:
        run.run()
    assert caught.value.message == (
        "training diverged at step 50: loss 8.000 in the last 20 steps, after 2.000 at best, gradient norm 1, rate 0.1"
    )
    assert "Lower learning_rate, to 0.03" in caught.value.hint


def test_a_loss_that_explodes_in_the_very_first_steps_is_seen_too(tmp_path):
    toy = ScriptedLearner(train=[2.0] * 5 + [9.0] * 100)
    with pytest.raises(TrainingFailed, match="diverged at step 25"):
        toy_run(toy, tmp_path, num_steps=105, has_validation=False).run()


@pytest.mark.parametrize("seed", range(5))
def test_losses_that_only_vary_by_batch_do_not_stop_a_run(seed, tmp_path):
    noise = random.Random(seed)
    losses = [noise.expovariate(1 / (3.0 if step < 100 else 1.0)) for step in range(400)]
    toy = ScriptedLearner(train=losses)
    assert toy_run(toy, tmp_path, num_steps=400, has_validation=False).run().step == 400


def test_a_plateau_above_the_best_is_no_explosion(tmp_path):
    toy = ScriptedLearner(train=[0.2] * 30 + [0.8] * 100)
    assert toy_run(toy, tmp_path, num_steps=130, has_validation=False).run().step == 130


def test_over_fitting_is_said_once_with_its_numbers(tmp_path):
    events = []
    toy = ScriptedLearner(train=[0.9, 0.7, 0.5, 0.3, 0.1], validation=[0.80, 0.60, 0.65, 0.70, 0.90])
    toy_run(toy, tmp_path, events.append, num_steps=5, evaluation_interval=1, **NEVER).run()
    (warning,) = messages(events, "over_fitting")
    assert warning.level == "warning"
    assert warning.text == (
        "the model over-fits: from step 2 to 4 validation loss rose from 0.6000 to 0.7000 while training loss fell "
        "from 0.7000 to 0.3000; the best parameters so far, of step 2, are kept"
    )


@pytest.mark.parametrize(
    ("train", "validation"),
    [
        ([0.5, 0.6, 0.7, 0.8], [0.5, 0.6, 0.7, 0.8]),
        ([0.8, 0.7, 0.6, 0.5], [0.5, 0.6, 0.4, 0.6]),
        ([0.8, 0.7, 0.6, 0.5], [0.5, 0.501, 0.502, 0.503]),
    ],
    ids=["training gets worse too", "it only varies", "less than the threshold"],
)
def test_what_is_not_over_fitting_is_not_called_so(train, validation, tmp_path):
    events = []
    toy_run(ScriptedLearner(train, validation), tmp_path, events.append, num_steps=4, evaluation_interval=1).run()
    assert not messages(events, "over_fitting")


def test_what_was_seen_of_the_losses_is_in_the_checkpoint(tmp_path):
    toy = ScriptedLearner(train=[0.9, 0.7, 0.5], validation=[0.5, 0.6, 0.7])
    run = toy_run(toy, tmp_path, num_steps=3, evaluation_interval=1)
    run.run()
    saved = Checkpoints(tmp_path).load()["progress"]
    assert Progress.restored(saved) == run.progress
    assert run.progress.steps.last == pytest.approx([0.9, 0.7, 0.5])
    assert run.progress.evaluations.is_told


def test_a_checkpoint_from_before_losses_were_watched_can_be_gone_on_from():
    old = asdict(Progress(step=3, best_loss=0.5, best_step=2))
    for name in ("steps", "evaluations", "max_tokens_per_batch"):
        del old[name]
    assert Progress.restored(old) == Progress(step=3, best_loss=0.5, best_step=2)


def test_a_step_tells_how_much_memory_the_process_has_held(tmp_path):
    events = []
    toy_run(ToyLearner(), tmp_path, events.append).run()
    peaks = [event.memory_bytes for event in of(StepEvent, events)]
    # An interpreter with torch takes more than 50 MB, and the machine has less than a petabyte.
    assert 50e6 < peaks[0] < 1e15
    assert peaks == sorted(peaks)
