"""Metrics against values that were worked out by hand."""

import json

import pytest

from fettle.errors import NotFound
from fettle.evaluation.metrics import METRICS, Part
from fettle.evaluation.metrics.rouge_l import common_length
from fettle.evaluation.scores import row_parts


def parts(metric: str, answer: str, expected: str) -> dict[str, Part]:
    return row_parts(answer, expected, [metric])


def value(metric: str, answer: str, expected: str) -> float:
    (part,) = parts(metric, answer, expected).values()
    return part.got / part.of


def test_exact_match_forgives_white_space_around_and_nothing_else():
    assert value("exact_match", " yes\n", "yes") == 1
    assert value("exact_match", "Yes", "yes") == 0
    assert value("exact_match", "y es", "yes") == 0


def test_json_equal_does_not_care_about_key_order_and_spacing():
    assert value("json_equal", '{"b": [1, 2], "a": {"y": 1, "x": 2}}', '{"a":{"x":2,"y":1},"b":[1,2]}') == 1


def test_json_equal_does_care_about_list_order():
    assert value("json_equal", "[2, 1]", "[1, 2]") == 0


@pytest.mark.parametrize(
    "answer", ['{"a": true}', '{"a": "1"}', '{"a": 1, "b": null}', '{"a": 1} and more', "", "{'a': 1}"]
)
def test_json_equal_is_zero_for_what_only_looks_alike(answer):
    assert value("json_equal", answer, '{"a": 1}') == 0


def test_one_and_one_point_zero_are_the_same_json_number():
    assert value("json_equal", '{"a": 1.0}', '{"a": 1}') == 1


def test_deeply_nested_answers_are_wrong_and_harmless():
    assert value("json_equal", "[" * 100_000, "[]") == 0


def test_json_metrics_leave_rows_alone_whose_expected_text_is_not_json():
    assert parts("json_equal", "blue", "blue") == {}
    assert parts("json_field", "blue", "blue") == {}


def test_json_field_scores_each_key_of_the_expected_object():
    found = parts("json_field", '{"intent": "Play", "room": "hall"}', '{"intent": "Play", "room": "attic"}')
    assert found == {"json_field.intent": Part(1), "json_field.room": Part(0)}


def test_json_field_takes_f1_over_the_pairs_of_a_nested_object():
    wanted = {"intent": "Play", "slots": {"artist": "Nina", "year": 1965, "album": "Blues"}}
    given = {"intent": "Play", "slots": {"artist": "Nina", "year": 1966}}
    # One pair of two given and three wanted is right: 2 * 1 / (2 + 3).
    assert parts("json_field", json.dumps(given), json.dumps(wanted))["json_field.slots"] == Part(2, 5)


def test_json_field_counts_an_answer_that_is_not_json_against_every_key():
    found = parts("json_field", "no idea", '{"intent": null, "slots": {"a": 1}}')
    assert found == {"json_field.intent": Part(0), "json_field.slots": Part(0, 1)}


def test_token_f1_is_the_overlap_of_words():
    # given: {quick, brown, fox}; wanted: {brown, fox, jumps, high}: 2 * 2 / (3 + 4)
    assert value("token_f1", "The quick brown fox!", "a brown fox jumps high") == pytest.approx(4 / 7)


def test_token_f1_counts_a_repeated_word_as_often_as_both_have_it():
    assert value("token_f1", "no no no", "no") == pytest.approx(2 * 1 / (3 + 1))


def test_rouge_l_is_the_longest_common_subsequence():
    # The example of Lin (2004), section 3: common are "police", "the", "gunman": 3 of 4 and 4.
    assert value("rouge_l", "police kill the gunman", "police killed the gunman") == pytest.approx(3 / 4)
    # The reversed order keeps only "the gunman": 2 of 4 and 4.
    assert value("rouge_l", "the gunman kill police", "police killed the gunman") == pytest.approx(2 / 4)


def test_common_length_agrees_with_trying_every_subsequence():
    def by_trying(left: str, right: str) -> int:
        if not left or not right:
            return 0
        if left[0] == right[0]:
            return 1 + by_trying(left[1:], right[1:])
        return max(by_trying(left[1:], right), by_trying(left, right[1:]))

    for left, right in [("abcbdab", "bdcaba"), ("", "abc"), ("xyz", "xyz"), ("aab", "aba"), ("kitten", "sitting")]:
        assert common_length(left, right) == by_trying(left, right)


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_gives_one_for_the_expected_text_itself(metric):
    text = '{"intent": "Play", "slots": {"artist": "Nina"}}'
    assert all(part.got / part.of == pytest.approx(1) for part in parts(metric, text, text).values())


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_stays_between_zero_and_one(metric):
    for answer in ("", "{}", '{"intent": 3}', "Nina Play", "[1]", "\x00"):
        for part in parts(metric, answer, '{"intent": "Play", "slots": {"artist": "Nina"}}').values():
            assert 0 <= part.got <= part.of


def test_every_score_is_named_after_its_metric():
    text = '{"a": 1, "b": {"c": 2}}'
    for metric in METRICS:
        assert all(name.split(".")[0] == metric for name in parts(metric, text, text))


def test_an_unknown_metric_names_the_nearest_known_one():
    with pytest.raises(NotFound, match="exact_mach") as caught:
        parts("exact_mach", "a", "a")
    assert "exact_match" in caught.value.hint
