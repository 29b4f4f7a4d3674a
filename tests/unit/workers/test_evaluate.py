"""Rows with choices are answered by the choice that the model finds likeliest."""

import json
from pathlib import Path

import pytest
import torch

from fettle.data.choice_rows import ChoiceRows, pack_choices
from fettle.data.examples import load_examples
from fettle.data.template import Template
from fettle.errors import InvalidInput
from fettle.models.loading import load_decoder
from fettle.models.tokenizer import Tokenizer
from fettle.testing.models import tiny_model
from fettle.tuning.objectives.answers import AnswerScores
from fettle.types.evaluation import EvaluationPlan
from fettle.workers.evaluate import run

CHOICES = ["a cat", "the very big dog", "owl", "?"]


def plan_for(base, rows, tmp_path):
    return EvaluationPlan(
        base_path=str(base),
        rows_path=str(rows),
        output_path=str(tmp_path / "output"),
        dtype="float32",
        metrics=("exact_match",),
        max_tokens=8,
    )


@pytest.fixture
def base(tmp_path):
    return tiny_model(tmp_path / "base")


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    lines = [{"prompt": f"which is {i}?", "choices": CHOICES, "answer": i % 4} for i in range(12)]
    lines.append({"messages": [{"role": "user", "content": "which?"}], "choices": CHOICES[:2], "answer": 1})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_the_answer_is_the_choice_of_the_highest_mean_log_probability(base, rows, tmp_path):
    report = run(plan_for(base, rows, tmp_path))
    examples = list(load_examples(rows))
    encoded = ChoiceRows.of(((e.line, e) for e in examples), Template(Tokenizer.load(base)), 256)
    decoder, expected = load_decoder(base), []
    for number, example in enumerate(examples):
        with torch.no_grad():
            scores = AnswerScores.of(decoder, pack_choices([encoded.row(number)]))
        expected.append(example.answers[int((-scores.nll_A / scores.lengths_A).argmax())])
    predictions = [json.loads(line) for line in Path(report.predictions_path).read_text().splitlines()]
    assert [prediction["answer"] for prediction in predictions] == expected
    right = [e.answer == answer for e, answer in zip(examples, expected, strict=True)]
    assert report.scores["exact_match"].mean == sum(right) / len(right)
    assert 0 < sum(right) < len(right)


def test_rows_to_write_and_rows_to_choose_can_be_mixed(base, rows, tmp_path):
    with rows.open("a") as file:
        file.write(json.dumps({"prompt": "write", "completion": "something"}) + "\n")
    report = run(plan_for(base, rows, tmp_path))
    answers = [json.loads(line)["answer"] for line in Path(report.predictions_path).read_text().splitlines()]
    assert len(answers) == report.rows == 14
    assert set(answers[:-1]) <= set(CHOICES)
    assert 0 < report.completion_tokens <= 8


def test_choices_that_do_not_fit_the_context_are_told_by_line(base, tmp_path):
    path = tmp_path / "long.jsonl"
    path.write_text(json.dumps({"prompt": "p", "choices": ["a", "b" * 300], "answer": 0}) + "\n")
    with pytest.raises(InvalidInput, match="line 1"):
        run(plan_for(base, path, tmp_path))
