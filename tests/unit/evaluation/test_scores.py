"""Scores over rows and their confidence intervals."""

import numpy as np
import pytest

from fettle.evaluation.metrics import Part
from fettle.evaluation.scores import scores


def test_a_mean_is_over_the_rows_that_have_the_score():
    found = scores([{"a": Part(1)}, {"a": Part(0), "b": Part(1)}, {"a": Part(0)}, {"a": Part(1)}], seed=1)
    assert found["a"].mean == pytest.approx(0.5)
    assert found["a"].count == 4
    assert found["b"].mean == 1
    assert found["b"].count == 1


def test_counts_are_averaged_over_all_rows_together():
    found = scores([{"f1": Part(2, 2)}, {"f1": Part(0, 8)}], seed=1)
    assert found["f1"].mean == pytest.approx(2 / 10)


def test_a_score_that_nothing_counts_for_is_left_out():
    assert scores([{"slots": Part(0, 0)}], seed=1) == {}
    assert scores([], seed=1) == {}


def test_the_interval_of_a_share_is_about_that_of_the_normal_distribution():
    rows = [{"a": Part(float(number < 300))} for number in range(400)]
    found = scores(rows, seed=1)["a"]
    half = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert found.low == pytest.approx(0.75 - half, abs=0.01)
    assert found.high == pytest.approx(0.75 + half, abs=0.01)


def test_more_rows_make_the_interval_narrower():
    few = scores([{"a": Part(float(n % 2))} for n in range(20)], seed=1)["a"]
    many = scores([{"a": Part(float(n % 2))} for n in range(2000)], seed=1)["a"]
    assert many.high - many.low < (few.high - few.low) / 5


def test_the_same_seed_gives_the_same_interval():
    rows = [{"a": Part(float(n % 3 == 0))} for n in range(50)]
    assert scores(rows, seed=4) == scores(rows, seed=4)
    assert scores(rows, seed=4) != scores(rows, seed=5)
