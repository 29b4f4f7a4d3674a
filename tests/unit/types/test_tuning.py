"""What training may be told, what excludes each other, and what is meant by what is not said."""

import pytest

from fettle.errors import InvalidInput
from fettle.types.tuning import Hyperparameters, TuningSpec


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"learning_rate": 0.1}, {"learning_rate_multiplier": 2}),
        ({"warmup_fraction": 0.1}, {"warmup_steps": 5}),
        ({"evaluations_per_epoch": 2}, {"evaluation_interval": 5}),
        ({"checkpoints_per_epoch": 2}, {"checkpoint_interval": 5}),
        ({"top_fraction": 0.25}, {"first_layer": 1}),
        ({"top_fraction": 0.25}, {"last_layer": 1}),
    ],
)
def test_two_ways_to_say_the_same_thing_are_refused_together_and_taken_alone(first, second):
    Hyperparameters.checked(first)
    Hyperparameters.checked(second)
    with pytest.raises(InvalidInput) as caught:
        Hyperparameters.checked(first | second)
    for name in first | second:
        assert name in caught.value.message


def test_everything_that_is_said_twice_is_named_at_once():
    with pytest.raises(InvalidInput) as caught:
        Hyperparameters.checked({"warmup_fraction": 0, "warmup_steps": 0, "top_fraction": 1, "last_layer": 0})
    assert "warmup_fraction and warmup_steps" in caught.value.message
    assert "top_fraction" in caught.value.message


def test_a_stored_spec_loads_as_it_was_and_so_does_one_from_before_there_were_these_settings():
    spec = TuningSpec(base="b", method="lora", name="n", hyperparameters=Hyperparameters(warmup_steps=3))
    assert TuningSpec.model_validate_json(spec.model_dump_json()) == spec
    old = {"learning_rate": 0.1, "batch_size": 16, "warmup_fraction": 0.05, "evaluations_per_epoch": 1}
    old |= {"checkpoint_interval": 100, "first_layer": 0, "last_layer": None}
    assert Hyperparameters.checked(old).num_warmup_steps(100) == 5


def test_the_multiplier_is_of_the_methods_own_rate():
    assert Hyperparameters().peak_rate(0.004) == 0.004
    assert Hyperparameters(learning_rate_multiplier=0.5).peak_rate(0.004) == 0.002
    assert Hyperparameters(learning_rate=0.1).peak_rate(0.004) == 0.1


@pytest.mark.parametrize(("num_rows", "chosen"), [(1, 8), (4000, 8), (4001, 9), (50_000, 100), (10**6, 256)])
def test_an_automatic_step_takes_a_five_hundredth_of_the_rows_within_bounds(num_rows, chosen):
    assert Hyperparameters(batch_size="auto").rows_per_step(num_rows) == chosen
    assert Hyperparameters(batch_size=5).rows_per_step(num_rows) == 5


@pytest.mark.parametrize("size", [0, 4097, "many", None, 1.5])
def test_a_batch_size_that_is_none_is_one_fault_that_says_what_is(size):
    with pytest.raises(InvalidInput) as caught:
        Hyperparameters.checked({"batch_size": size})
    assert caught.value.message == f"'batch_size' is {size!r}: it should be 1 to 4096, or 'auto'"


@pytest.mark.parametrize(
    ("settings", "num_layers", "layers"),
    [
        ({}, 6, range(6)),
        ({"first_layer": 2}, 6, range(2, 6)),
        ({"first_layer": 1, "last_layer": 3}, 6, range(1, 4)),
        ({"top_fraction": 0.25}, 8, range(6, 8)),
        ({"top_fraction": 0.25}, 6, range(4, 6)),
        ({"top_fraction": 0.01}, 6, range(5, 6)),
        ({"top_fraction": 0.07}, 100, range(93, 100)),
        ({"top_fraction": 1}, 6, range(6)),
    ],
)
def test_layers_are_a_range_or_a_share_from_the_top_rounded_up(settings, num_layers, layers):
    assert Hyperparameters(**settings).layers(num_layers) == layers


def test_a_range_that_leaves_the_model_is_refused():
    for settings in ({"first_layer": 6}, {"last_layer": 6}, {"first_layer": 3, "last_layer": 2}):
        with pytest.raises(InvalidInput, match="no range of this model"):
            Hyperparameters(**settings).layers(6)
