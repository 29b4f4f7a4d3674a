"""Asking, scoring and writing down."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from fettle.errors import InvalidInput, NotFound, StorageFailed
from fettle.evaluation.questions import Question
from fettle.evaluation.runner import Answer, evaluate
from fettle.types.evaluation import EvaluationReport, ProgressEvent
from fettle.types.generation import Message


def question(line: int, text: str, expected: str) -> Question:
    return Question(line, (Message(role="user", content=text),), expected)


QUESTIONS = [question(1, "one", "1"), question(2, "two", "2"), question(5, "three", '{"n": 3}')]


def parrot(questions: Sequence[Question]) -> Iterator[tuple[int, Answer]]:
    """Knows all answers but the second, and finishes them backwards."""
    for place in reversed(range(len(questions))):
        text = "no idea" if place == 1 else questions[place].expected
        yield place, Answer(text, prompt_tokens=10, completion_tokens=place + 1, is_cut_off=place == 1)


def run(tmp_path, questions=QUESTIONS, **options) -> tuple[EvaluationReport, list[ProgressEvent]]:
    events: list[ProgressEvent] = []
    options = {"seed": 1, "on_progress": events.append, **options}
    return evaluate(questions, parrot, tmp_path / "out", **options), events


def test_answers_are_scored_against_their_own_rows_in_whatever_order_they_come(tmp_path):
    report, _ = run(tmp_path)
    assert report.rows == 3
    assert report.scores["exact_match"].mean == pytest.approx(2 / 3)
    assert report.scores["json_field.n"].count == 1


def test_tokens_and_cut_off_answers_are_counted(tmp_path):
    report, _ = run(tmp_path)
    assert (report.prompt_tokens, report.completion_tokens, report.truncated) == (30, 1 + 2 + 3, 1)
    assert report.tokens_per_second == pytest.approx(6 / report.seconds)


def test_every_prediction_is_written_with_its_line_and_scores(tmp_path):
    report, _ = run(tmp_path, metrics=["exact_match"])
    rows = [json.loads(line) for line in Path(report.predictions_path).read_text(encoding="utf-8").splitlines()]
    assert [row["line"] for row in rows] == [1, 2, 5]
    assert rows[1] == {
        "line": 2,
        "prompt": "two",
        "expected": "2",
        "answer": "no idea",
        "scores": {"exact_match": 0.0},
        "completion_tokens": 2,
        "cut_off": True,
    }


def test_the_report_file_is_the_report(tmp_path):
    report, _ = run(tmp_path)
    assert EvaluationReport.model_validate_json((tmp_path / "out" / "report.json").read_text()) == report


def test_progress_counts_up_to_the_end(tmp_path):
    _, events = run(tmp_path)
    assert [(event.done, event.total) for event in events] == [(1, 3), (2, 3), (3, 3)]


def test_only_the_wanted_metrics_are_computed(tmp_path):
    assert set(run(tmp_path, metrics=["token_f1"])[0].scores) == {"token_f1"}


def test_an_unknown_metric_is_refused_before_anything_is_asked(tmp_path):
    events: list[ProgressEvent] = []
    with pytest.raises(NotFound, match="blue"):
        run(tmp_path, metrics=["blue"], on_progress=events.append)
    assert events == []


def test_no_rows_are_refused(tmp_path):
    with pytest.raises(InvalidInput):
        run(tmp_path, questions=[])


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "out").write_text("a file, not a folder")
    with pytest.raises(StorageFailed, match="out"):
        run(tmp_path)


def test_a_conversation_reads_as_who_said_what():
    messages = (Message(role="system", content="be brief"), Message(role="user", content="hi"))
    assert Question(1, messages, "hello").prompt == "system: be brief\nuser: hi"
