"""Rows as questions with an expected answer."""

import json

import pytest

from fettle.errors import InvalidRows
from fettle.evaluation.questions import Question, read_questions
from fettle.types.generation import Message

PAIR = {"prompt": "two and two", "completion": "four", "note": "ignored"}
CHAT = {
    "messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": "bye"},
        {"role": "assistant", "content": "farewell"},
    ]
}


def file_of(tmp_path, *rows: object):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def test_a_prompt_is_one_message_and_its_completion_is_expected(tmp_path):
    assert read_questions(file_of(tmp_path, PAIR)) == [
        Question(1, (Message(role="user", content="two and two"),), "four")
    ]


def test_of_a_conversation_the_last_answer_is_expected(tmp_path):
    (question,) = read_questions(file_of(tmp_path, CHAT))
    assert question.expected == "farewell"
    assert [message.role for message in question.messages] == ["system", "user", "assistant", "user"]


def test_the_limit_takes_rows_from_the_top(tmp_path):
    path = file_of(tmp_path, PAIR, "", CHAT, "not json")
    assert [question.line for question in read_questions(path, limit=2)] == [1, 3]


def test_all_rows_that_cannot_be_used_are_named_at_once(tmp_path):
    path = file_of(tmp_path, PAIR, "not json", {"prompt": "a"}, {"prompt": 1, "completion": []})
    with pytest.raises(InvalidRows) as caught:
        read_questions(path)
    assert "3 of 4 rows" in caught.value.message
    for words in ("line 2", "line 3", "line 4", "completion"):
        assert words in caught.value.message


def test_a_flood_of_faults_is_cut_and_counted(tmp_path):
    with pytest.raises(InvalidRows) as caught:
        read_questions(file_of(tmp_path, *["no"] * 500))
    assert "500 of 500" in caught.value.message
    assert len(caught.value.message.splitlines()) < 30
