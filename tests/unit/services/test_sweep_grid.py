"""A grid becomes specs, and what is wrong with it is told at once."""

import pytest

from fettle.errors import InvalidInput
from fettle.services.sweep_grid import grid_specs

ABOUT = {"base": "small", "method": "lora", "name": "tickets"}


def faults(settings, grid, seeds=1):
    with pytest.raises(InvalidInput) as caught:
        grid_specs(settings, grid, seeds=seeds, **ABOUT)
    return caught.value.message.splitlines()


def test_every_combination_of_values_comes_with_every_seed():
    made = grid_specs({"epochs": 2}, {"learning_rate": [1e-3, 4e-3], "rank": [8, 32]}, seeds=2, **ABOUT)
    assert [(s.hyperparameters.learning_rate, s.adapter["rank"], s.hyperparameters.seed) for s in made] == [
        (rate, rank, seed) for rate in (1e-3, 4e-3) for rank in (8, 32) for seed in (17, 18)
    ]
    assert {spec.hyperparameters.epochs for spec in made} == {2}


def test_seeds_follow_on_the_one_that_is_set_and_begin_again_after_the_last():
    made = grid_specs({"seed": 2**32 - 1}, {}, seeds=2, **ABOUT)
    assert [spec.hyperparameters.seed for spec in made] == [2**32 - 1, 0]


def test_a_dotted_key_reaches_a_nested_setting():
    made = grid_specs({"early_stopping.threshold": 0.5}, {"early_stopping.patience": [1, 2]}, seeds=1, **ABOUT)
    found = [spec.hyperparameters.early_stopping for spec in made]
    assert [(stopping.patience, stopping.threshold) for stopping in found] == [(1, 0.5), (2, 0.5)]


def test_all_faults_of_a_grid_are_named():
    assert faults({"rank": 8}, {"rank": [1], "epochs": [], "dropout": [0, 0], "seed": [1]}, seeds=2) == [
        "'rank' is in the grid and fixed too",
        "'epochs' has no values",
        "'dropout' has a value twice",
        "'seed' is in the grid, and several seeds are asked for: give one of the two",
    ]
    assert faults({}, {"rank": list(range(1, 300))}) == ["the grid has 299 runs: it should be at most 256"]
    assert faults({}, {}, seeds=0) == ["seeds is 0: it should be at least 1"]


def test_every_value_out_of_bounds_is_named_once():
    told = faults({}, {"learning_rate": [-1, 1e-3], "epochs": [0, 1]})
    assert len(told) == 2
    assert any("learning_rate" in line for line in told)
    assert any("epochs" in line for line in told)
