"""Accuracy and macro F1 against values that were worked out by hand."""

import pytest

from fettle.evaluation.scores import row_parts, scores

EXPECTED, GIVEN = "aaabbc", "aabbaa"


def scored(expected, given):
    rows = [row_parts(answer, label, ["accuracy", "macro_f1"]) for label, answer in zip(expected, given, strict=True)]
    return scores(rows, seed=1)


def test_the_f1_of_each_label_and_their_plain_mean():
    found = scored(EXPECTED, GIVEN)
    # a: 2 right, 1 missed, 2 taken for it; b: 1 right, 1 missed, 1 taken for it; c: missed.
    by_hand = {"macro_f1.a": 4 / 7, "macro_f1.b": 1 / 2, "macro_f1.c": 0.0}
    assert {name: found[name].mean for name in by_hand} == pytest.approx(by_hand)
    assert found["macro_f1"].mean == pytest.approx(sum(by_hand.values()) / 3)
    assert found["accuracy"].mean == pytest.approx(1 / 2)
    assert found["macro_f1"].count == 6


def test_a_label_that_nobody_expected_counts_too():
    assert scored("aa", "ax")["macro_f1"].mean == pytest.approx((2 / 3 + 0) / 2)


def test_all_right_is_one_and_so_is_its_interval():
    found = scored("abcabc", "abcabc")["macro_f1"]
    assert (found.mean, found.low, found.high) == (1, 1, 1)


def test_the_interval_holds_the_mean_and_is_narrower_with_more_rows():
    few, many = (scored(EXPECTED * times, GIVEN * times)["macro_f1"] for times in (5, 80))
    assert few.low < few.mean < few.high
    assert many.high - many.low < (few.high - few.low) / 2
