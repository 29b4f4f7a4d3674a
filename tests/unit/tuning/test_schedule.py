"""The rate rises, and then goes on as its schedule says."""

import math

import pytest

from fettle.tuning.schedule import SCHEDULES, schedule_for, stable_then_decay
from fettle.types.tuning import Hyperparameters

TOTAL = 100


def rates(**settings):
    schedule = schedule_for(Hyperparameters(**settings))
    return [schedule(step, TOTAL) for step in range(TOTAL)]


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_rises_to_the_peak_and_never_rises_again(name):
    shares = rates(schedule=name, warmup_steps=10)
    assert shares[:10] == pytest.approx([step / 10 for step in range(1, 11)])
    assert max(shares) == 1.0
    assert shares[10:] == sorted(shares[10:], reverse=True)


@pytest.mark.parametrize("name", SCHEDULES)
def test_no_schedule_falls_below_its_floor(name):
    assert min(rates(schedule=name, warmup_steps=0, min_rate_fraction=0.3)) >= 0.3
    assert rates(schedule=name, warmup_steps=0, min_rate_fraction=1) == [1.0] * TOTAL


@pytest.mark.parametrize("name", ["linear", "cosine", "stable_then_decay"])
def test_those_that_know_the_end_fall_nearly_to_nothing(name):
    last = rates(schedule=name, warmup_steps=10)[-1]
    assert 0 < last < 0.06


def test_the_line_has_fallen_to_half_in_the_middle():
    assert rates(warmup_steps=20)[60] == pytest.approx(0.5)


def test_the_cosine_is_slower_than_the_line_at_both_ends():
    line, wave = rates(warmup_steps=0), rates(schedule="cosine", warmup_steps=0)
    assert wave[25] == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
    assert wave[10] > line[10]
    assert wave[90] < line[90]


def test_the_inverse_root_is_half_after_four_times_the_warm_up():
    assert rates(schedule="inverse_sqrt", warmup_steps=20)[80] == pytest.approx(0.5)


def test_the_plateau_ends_where_the_last_share_of_the_steps_begins():
    shares = rates(schedule="stable_then_decay", warmup_steps=5, decay_fraction=0.2)
    assert shares[5:81] == [1.0] * 76
    assert shares[90] == pytest.approx(0.5)
    assert shares == [stable_then_decay(5, 0.2)(step, TOTAL) for step in range(TOTAL)]


def test_a_share_of_the_steps_and_as_many_steps_are_the_same_warm_up():
    assert rates(warmup_fraction=0.25) == rates(warmup_steps=25)


def test_without_a_word_the_rate_rises_in_a_twentieth_of_the_steps():
    assert rates() == rates(warmup_fraction=0.05) != rates(warmup_fraction=0)
