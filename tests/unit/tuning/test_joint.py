"""Runs that go on in step are, each of them, what they would be alone."""

import json
from pathlib import Path

import pytest
import torch

from fettle.adapters.files import load_adapter
from fettle.errors import FettleError, InvalidInput
from fettle.tuning import joint
from fettle.tuning.forward import ROUND
from fettle.tuning.sweep import tune_jointly
from fettle.tuning.tune import tune
from fettle.types.tuning import EvaluationEvent, MessageEvent, StepEvent


class CutOffError(Exception):
    """The process is gone."""


def alone(plan):
    events = []
    return tune(plan, events.append), events


def in_step(plans, emit=lambda number, event: None):
    """Results or errors, and events, by run."""
    results, events = {}, [[] for _ in plans]

    def tell(number, event):
        events[number].append(event)
        emit(number, event)

    tune_jointly(plans, tell, results.__setitem__)
    return [results[number] for number in range(len(plans))], events


def steps(events):
    """What every step told, but for its time; of steps that were done again, the last."""
    found = {event.step: event for event in events if isinstance(event, StepEvent)}
    return {
        step: (event.loss, event.token_accuracy, event.learning_rate, event.gradient_norm)
        for step, event in found.items()
    }


def evaluations(events):
    found = [event for event in events if isinstance(event, EvaluationEvent)]
    return [(event.step, event.is_best, event.validation.num_tokens) for event in found]


def tensors(plan):
    return load_adapter(Path(plan.output_path)).named_parameters()


def assert_same_run(plan, events, expected_plan, expected_events):
    then, now = steps(expected_events), steps(events)
    assert now.keys() == then.keys()
    for step, told in then.items():
        assert now[step] == pytest.approx(told, rel=1e-3, abs=1e-5), f"step {step}"
    assert evaluations(events) == evaluations(expected_events)
    for name, value in tensors(expected_plan).items():
        torch.testing.assert_close(tensors(plan)[name], value, rtol=1e-3, atol=2e-4, msg=lambda m, n=name: f"{n}: {m}")


@pytest.fixture
def mixed(plan, tmp_path):
    """Plans of four runs that differ in all that runs may differ in, by name."""
    other = tmp_path / "other.jsonl"
    rows = [{"prompt": f"count {i % 5}", "completion": "one " * (i % 5 + 1)} for i in range(41)]
    other.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def make(name: str):
        return [
            plan(f"{name}-dropout", adapter={"rank": 4, "dropout": 0.2}, learning_rate=1e-3),
            plan(f"{name}-stops", adapter={"rank": 8, "dora": True}, seed=3, **STOPS),
            plan(f"{name}-kind", method="adapter", epochs=3, batch_size=5, schedule="cosine", weight_decay=0.1),
            plan(f"{name}-data", adapter={"dropout": 0.0, "target_modules": ["q_proj"]}, first_layer=1).model_copy(
                update={"train_path": str(other)}
            ),
        ]

    return make


#: A fall of ten nats never comes twice.
STOPS = {"epochs": 4, "learning_rate": 2e-3, "early_stopping": {"patience": 1, "threshold": 10.0}}


def test_every_run_is_what_it_would_be_alone(mixed):
    expected, plans = mixed("alone"), mixed("joint")
    solo = [alone(plan) for plan in expected]
    results, events = in_step(plans)
    for number, (result, told) in enumerate(solo):
        assert_same_run(plans[number], events[number], expected[number], told)
        assert results[number].steps == result.steps
        assert results[number].trained_parameters == result.trained_parameters
        assert results[number].total_parameters == result.total_parameters
    assert [result.stopped_early for result in results] == [False, True, False, False]
    assert len({result.steps for result in results}) > 2


@pytest.mark.parametrize(
    "about",
    [
        {"adapter": {"rank": 4, "dropout": 0.2}},
        {"adapter": {"rank": 4, "dora": True}},
        {"method": "adapter"},
    ],
    ids=["lora", "dora", "bottleneck"],
)
def test_runs_of_one_form_that_are_computed_at_once_are_what_they_would_be_alone(about, plan):
    rates = (5e-4, 1e-3, 2e-3)
    expected, plans = [
        [plan(f"{name}{rate}", learning_rate=rate, epochs=1, **about) for rate in rates] for name in ("alone", "joint")
    ]
    solo = [alone(one)[1] for one in expected]
    _, events = in_step(plans)
    for number in range(3):
        assert_same_run(plans[number], events[number], expected[number], solo[number])


def test_work_that_has_a_batch_of_its_own_gives_the_same_bits(plan):
    settings = {"max_tokens_per_batch": ROUND, "epochs": 1}
    expected, plans = [[plan(f"{name}{i}", seed=i, **settings) for i in range(2)] for name in ("alone", "joint")]
    for one in expected:
        alone(one)
    in_step(plans)
    for then, now in zip(expected, plans, strict=True):
        files = [Path(p.output_path) / "adapter_model.safetensors" for p in (then, now)]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_batches_are_computed_at_once_up_to_the_budget_of_tokens(plan, monkeypatch):
    sizes = watched(monkeypatch)
    in_step([plan(f"run{i}", seed=i, epochs=1, max_tokens_per_batch=600) for i in range(4)])
    assert 256 <= max(sizes) <= 600


def test_what_does_not_fit_memory_together_is_computed_by_fewer_with_the_same_result(plan, monkeypatch):
    expected, plans = [[plan(f"{name}{i}", seed=i, epochs=1) for i in range(3)] for name in ("roomy", "tight")]
    _, then = in_step(expected)
    sizes = watched(monkeypatch, room=300)
    _, now = in_step(plans)
    assert sizes[0] > 300
    for number in range(3):
        assert_same_run(plans[number], now[number], expected[number], then[number])


def test_a_run_that_cannot_go_on_leaves_and_the_others_are_not_touched(plan):
    good, bad = plan("good", epochs=1), plan("bad", adapter={"target_modules": ["nowhere"]})
    (error, result), events = in_step([bad, good])
    assert isinstance(error, InvalidInput)
    assert "nowhere" in error.message
    assert not events[0]
    assert result.steps == max(steps(events[1]))


def test_a_run_without_held_out_rows_is_refused_since_nothing_compares_it(plan):
    (error,), _ = in_step([plan(validation_fraction=0.0)])
    assert isinstance(error, FettleError)
    assert "none of the rows" in error.message


def test_runs_that_are_cut_off_go_on_from_their_own_checkpoints(plan):
    def make(name):
        return [plan(f"{name}{i}", seed=i, epochs=2, checkpoint_interval=2 + i) for i in range(2)]

    def cut(number, event):
        if number == 1 and isinstance(event, StepEvent) and event.step == 5:
            raise CutOffError

    expected, plans = make("whole"), make("cut")
    _, then = in_step(expected)
    with pytest.raises(CutOffError):
        in_step(plans, cut)
    results, now = in_step(plans)
    assert min(steps(now[0])) == 5
    assert min(steps(now[1])) == 4
    for number in range(2):
        assert results[number].steps == max(steps(then[number]))
        for name, value in tensors(expected[number]).items():
            torch.testing.assert_close(tensors(plans[number])[name], value, rtol=1e-3, atol=2e-4)


def test_runs_that_leave_the_lower_layers_alone_begin_above_them(plan, tmp_path):
    def make(name):
        return [plan(f"{name}{i}", seed=i, epochs=1, first_layer=1) for i in range(2)]

    expected, plans = make("alone"), keeping(make("joint"), tmp_path)
    then = [alone(one)[1] for one in expected]
    _, now = in_step(plans)
    for number in range(2):
        assert told_of_trunk(now[number]) == ["layer 0 and the embeddings are not trained"]
        assert_same_run(plans[number], now[number], expected[number], then[number])


def test_runs_of_which_one_trains_all_layers_begin_at_the_embeddings(plan, tmp_path):
    results, events = in_step(keeping([plan("upper", epochs=1, first_layer=1), plan("all", epochs=1)], tmp_path))
    assert [told_of_trunk(told) for told in events] == [[], []]
    assert all(result.steps for result in results)


def keeping(plans, tmp_path):
    """The plans, whose jobs share a folder for what lower layers make of rows."""
    return [one.model_copy(update={"cache_path": str(tmp_path / "cache")}) for one in plans]


def told_of_trunk(events):
    texts = [event.text for event in events if isinstance(event, MessageEvent) and event.code == "trunk_cache"]
    return [text.partition(" and were")[0] for text in texts]


def watched(monkeypatch, room=10**9):
    """Tokens of every batch that several runs share; those over `room` run out of memory."""
    sizes, real = [], joint.token_scores

    def scored(decoder, batch):
        sizes.append(len(batch.tokens))
        if len(batch.tokens) > room:
            raise MemoryError
        return real(decoder, batch)

    monkeypatch.setattr(joint, "token_scores", scored)
    return sizes
