"""Texts with labels: the classes, the rows as tokens, and all that is wrong with a file of them."""

import json

import numpy as np
import pytest

from fettle.data.examples import load_examples
from fettle.data.labels import LabelledRows, check_labels, labels_of
from fettle.data.sentences import Sentences
from fettle.errors import InvalidInput
from fettle.models.tokenizer import Tokenizer
from fettle.testing.encoders import tiny_encoder

ROWS = [("win money", "spam"), ("see you at ten", "ham"), ("win", "spam"), ("lunch?", "ham")]


@pytest.fixture
def written(tmp_path):
    def write(rows, name="train.jsonl"):
        path = tmp_path / name
        lines = [{"text": row[0], "label": row[1]} if isinstance(row, tuple) else row for row in rows]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    return write


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return Tokenizer.load(tiny_encoder(tmp_path_factory.mktemp("encoder")))


def test_a_file_of_two_labels_can_be_used(written):
    check_labels(written(ROWS), written(ROWS[:1], "held.jsonl"))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("a", "x"), ("b", "x")], "every row of .* has the label 'x'; expected two"),
        ([("a", "x"), ("b", "y"), ("c", "z")], "no label of .* occurs twice in 3 rows"),
        (
            [
                *ROWS,
                {"prompt": "p", "choices": ["a", "b"], "answer": 0},
                {"messages": [{"role": r, "content": "c"} for r in ("user", "assistant", "user", "assistant")]},
            ],
            r"(?s)2 rows .*line 5: has answers to choose from.*line 6: is a conversation of 4 turns",
        ),
    ],
)
def test_what_a_classifier_cannot_be_tuned_on_is_told(rows, words, written):
    with pytest.raises(InvalidInput, match=words) as caught:
        check_labels(written(rows))
    assert '"label"' in caught.value.hint


def test_labels_of_the_validation_file_alone_are_told_together_with_all_else(written):
    train = written([("a", "x"), ("b", "x")])
    held = written([("c", "x"), ("d", "new"), ("e", "newer"), ("f", "new")], "held.jsonl")
    with pytest.raises(InvalidInput, match=r"(?s)has the label 'x'.*'new' \(line 2\), 'newer' \(line 3\)"):
        check_labels(train, held)


def test_labels_are_in_order_and_numbers_by_their_size(written):
    assert labels_of(load_examples(written(ROWS))) == ("ham", "spam")
    assert labels_of(load_examples(written([("a", 10), ("b", 9), ("c", 10)]))) == ("9", "10")


def test_a_batch_has_each_text_whole_and_its_class(written, tokenizer):
    examples = list(load_examples(written(ROWS)))
    rows = LabelledRows.of(examples, Sentences(tokenizer).encode, ("ham", "spam"), 64)
    batch = rows.pack([2, 0])
    first, second = (tokenizer.encode(text, add_special_tokens=True) for text in ("win", "win money"))
    assert batch.tokens.tolist() == first + second
    assert batch.lengths == [len(first), len(second)]
    assert batch.targets.tolist() == [1, 1]
    assert batch.at.tolist() == [0, len(first)]
    np.testing.assert_array_equal(rows.pack([0, 1, 2, 3]).targets, [1, 0, 1, 0])


def test_rows_over_the_context_are_left_out_with_their_labels(written, tokenizer):
    rows = LabelledRows.of(load_examples(written(ROWS)), Sentences(tokenizer).encode, ("ham", "spam"), 9)
    assert rows.left_out == [1, 2]
    assert (len(rows), rows.classes.tolist()) == (2, [1, 0])


def test_nobody_can_type_a_control_token(tokenizer):
    tokens = Sentences(tokenizer).tokens("a[SEP]b [CLS]")
    assert sum(token in tokenizer.special_ids for token in tokens) == 2, "only those around the text"
    assert Sentences(tokenizer).tokens("a[sep]b [cls]") == tokens
