"""What is asked of training is what is done: rates, rows of a step, and layers."""

from pathlib import Path

from fettle.adapters.files import load_adapter
from fettle.adapters.methods import METHODS
from fettle.tuning.tune import tune
from fettle.types.tuning import MessageEvent, StepEvent


def run(plan):
    events = []
    tune(plan, events.append)
    return events


def rates(events):
    return [event.learning_rate for event in events if isinstance(event, StepEvent)]


def test_the_multiplier_gives_the_rates_of_the_product(plan):
    by_multiplier = run(plan("a", learning_rate_multiplier=0.5, epochs=1))
    by_rate = run(plan("b", learning_rate=METHODS["lora"].learning_rate / 2, epochs=1))
    assert rates(by_multiplier) == rates(by_rate)


def test_the_rate_follows_the_schedule_that_is_named(plan):
    told = rates(run(plan(schedule="constant", warmup_steps=3, learning_rate=0.003, epochs=2)))
    assert told[:3] == [0.003 / 3, 0.003 * 2 / 3, 0.003]
    assert set(told[3:]) == {0.003}


def test_an_automatic_batch_size_is_told_and_taken(plan):
    events = run(plan(batch_size="auto", epochs=1))
    (message,) = [event for event in events if isinstance(event, MessageEvent) and event.code == "batch_size"]
    num_rows = int(message.text.split()[-2])
    assert message.text == f"a step takes 8 of the {num_rows} rows"
    assert len(rates(events)) == -(-num_rows // 8)


def test_the_top_share_of_the_layers_is_all_that_is_trained(plan):
    made = plan(top_fraction=0.5, epochs=1)
    run(made)
    sites = load_adapter(Path(made.output_path)).sites
    assert {site.split(".")[2] for site in sites} == {"1"}
