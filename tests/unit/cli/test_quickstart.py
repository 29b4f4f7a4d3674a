"""The quickstart's arithmetic and its table; the whole of it is an end-to-end test."""

import json

import pytest

from fettle.cli.quickstart.examples import write_examples
from fettle.cli.quickstart.measure import count_equal, summed_up


def test_the_switch_cost_compares_the_mixed_batch_with_the_mean_of_the_others():
    speeds = summed_up({"base": [0.001, 0.5], "lora": [0.004, 0.003], "": [0.0022, 0.009]})
    assert speeds.switch_cost == pytest.approx(0.0022 / 0.002 - 1)
    assert speeds.alone == pytest.approx({"base": 1000, "lora": 1 / 0.003})
    assert speeds.mixed == pytest.approx(1 / 0.0022)


def test_answers_are_equal_only_letter_by_letter():
    assert count_equal({"a": ["x", "y "], "b": ["z"]}, {"a": ["x", "y"], "b": ["z"]}) == {"a": 1, "b": 1}


def test_the_held_out_examples_are_not_among_the_others(tmp_path):
    files = write_examples(tmp_path / "new", num_train=400, num_test=50)
    train, test = ([json.loads(line) for line in path.read_text().splitlines()] for path in files)
    assert (len(train), len(test)) == (400, 50)
    assert not {row["prompt"] for row in train} & {row["prompt"] for row in test}


def test_the_example_set_is_the_same_each_time(tmp_path):
    first = write_examples(tmp_path / "a", num_train=100, num_test=20)
    second = write_examples(tmp_path / "b", num_train=100, num_test=20)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
