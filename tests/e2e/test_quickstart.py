"""The quickstart, small and on a random model: everything runs and what it says was measured."""

import json

import pytest

from tests.e2e.conftest import run_fettle

# Slow, for `make run` does the same with the packaged base model.
pytestmark = [pytest.mark.e2e, pytest.mark.slow]
ROWS, TEST_ROWS = 100, 10


@pytest.fixture(scope="module")
def outcome(home):
    done = run_fettle(
        "quickstart", "--base", "tiny", "--rows", str(ROWS), "--test-rows", str(TEST_ROWS), "--json", home=home
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_all_three_models_are_measured(outcome):
    assert [model["model"] for model in outcome["models"]] == ["tiny", "tickets-lora", "tickets-tfew"]
    for model in outcome["models"]:
        assert model["exact_match"]["count"] == TEST_ROWS
        assert model["tokens_per_second"] > 0


def test_tfew_trains_less_than_lora_and_lora_less_than_all(outcome):
    _, lora, tfew = outcome["models"]
    assert 0 < tfew["trained_parameters"] < lora["trained_parameters"] < lora["total_parameters"]
    assert 0 < tfew["size_bytes"] < lora["size_bytes"]


def test_the_answers_over_http_are_those_of_the_evaluation(outcome):
    assert [model["equal_over_http"] for model in outcome["models"]] == [TEST_ROWS] * 3


def test_the_switch_cost_is_that_of_the_speeds(outcome):
    speeds = outcome["speeds"]
    mean = sum(1 / speed for speed in speeds["alone"].values()) / 3
    assert speeds["switch_cost"] == pytest.approx(1 / speeds["mixed"] / mean - 1)


def test_examples_show_what_each_model_said(outcome):
    for example in outcome["examples"]:
        assert json.loads(example["expected"])["category"]
        assert set(example["answers"]) == {model["model"] for model in outcome["models"]}


def test_the_server_has_ended(outcome, home):
    log = (home / "logs" / "quickstart-server.log").read_text()
    assert "Traceback" not in log
