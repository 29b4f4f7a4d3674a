"""Classifiers behind the link, and evaluated on a file."""

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest

from fettle.errors import InvalidInput
from fettle.models.tokenizer import Tokenizer
from fettle.serving.encoder_engine import EncoderEngine
from fettle.testing.encoders import tiny_classifier, tiny_encoder
from fettle.types.encoding import EncodeRequest
from fettle.types.evaluation import EvaluationPlan
from fettle.types.generation import GenerateRequest
from fettle.workers.encoder_engine import EncoderWorker, TextTokens
from fettle.workers.evaluate import run as evaluated
from tests.unit.workers.link import serving

LABELS = ("ham", "spam", "toast")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_encoder(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def spam(base, tmp_path_factory):
    return tiny_classifier(tmp_path_factory.mktemp("spam"), base, LABELS, seed=3, rank=4)


def classifying(base):
    return serving(lambda link: EncoderWorker(EncoderEngine.load(base), TextTokens(Tokenizer.load(base)), link))


def asked(*inputs, task="classify"):
    return EncodeRequest(model="spam", inputs=inputs, task=task)


def test_concurrent_requests_get_their_own_answers_and_bad_ones_are_refused(base, spam):
    async def test():
        async with classifying(base) as client:
            await client.add_adapter("x", spam)
            tokens = Tokenizer.load(base).encode("free", add_special_tokens=True)
            classes, vectors, same, *refused = await asyncio.gather(
                client.encode(asked("free", "lunch at ten"), "x"),
                client.encode(asked("free", task="embed")),
                client.encode(asked(tuple(tokens)), "x"),
                client.encode(asked("free", "", " "), "x"),
                client.encode(asked((5, 10_000)), "x"),
                client.encode(asked("free")),
                anext(client.generate(GenerateRequest(model="spam", text="free"), "x")),
                return_exceptions=True,
            )
            assert (await client.stats())["texts"] == 4
        assert classes.labels == LABELS
        assert len(classes.values) == 2
        assert np.frombuffer(classes.values[0], "<f4").sum() == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose(
            np.frombuffer(same.values[0], "<f4"), np.frombuffer(classes.values[0], "<f4"), atol=1e-5
        )
        assert len(vectors.values[0]) == 32 * 4
        words = ["input 1 is empty.*\ninput 2 is empty", "has the token 10000", "no classes", "writes no text"]
        for error, told in zip(refused, words, strict=True):
            assert isinstance(error, InvalidInput)
            with pytest.raises(InvalidInput, match=f"(?s){told}"):
                raise error

    asyncio.run(test())


def plan_for(base, spam, rows, tmp_path, **changes):
    return EvaluationPlan(
        base_path=str(base),
        adapter_path=str(spam),
        rows_path=str(rows),
        output_path=str(tmp_path / "output"),
        **changes,
    )


def test_a_classifier_is_scored_by_accuracy_and_macro_f1(base, spam, tmp_path):
    rows = tmp_path / "rows.jsonl"
    lines = [{"text": f"word {i} {'abc'[i % 3] * 4}", "label": LABELS[i % 3]} for i in range(30)]
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
    report = evaluated(plan_for(base, spam, rows, tmp_path))
    predictions = [json.loads(line) for line in Path(report.predictions_path).read_text().splitlines()]
    pairs = [(line["expected"], line["answer"]) for line in predictions]
    assert [expected for expected, _ in pairs] == [line["label"] for line in lines]
    assert report.scores["accuracy"].mean == pytest.approx(sum(a == b for a, b in pairs) / 30)
    assert report.confusion == {
        expected: {given: pairs.count((expected, given)) for given in LABELS if (expected, given) in pairs}
        for expected in LABELS
    }
    assert "macro_f1" in report.scores
    assert "rouge_l" not in report.scores


def test_rows_that_cannot_be_classified_are_told_by_line(base, spam, tmp_path):
    rows = tmp_path / "rows.jsonl"
    lines = [{"text": "a" * 99, "label": "ham"}, {"prompt": "p", "choices": ["a", "b"], "answer": 0}]
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(InvalidInput, match=r"(?s)line 1: input 0 has 101 tokens.*line 2: is no text with one label"):
        evaluated(plan_for(base, spam, rows, tmp_path))
