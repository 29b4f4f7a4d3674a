"""Rows with several answers to one prompt: what is accepted, and every fault of what is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fettle.data.examples import Example, parse
from fettle.data.messages import Turn

ASKED = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
NAMES = ["prompt", "messages", "choices", "answer", "chosen", "rejected", "input", "preferred_output"]
VALUES = st.sampled_from(["a", "b", "", 0, 1, True, None, ["a", "b"], ASKED, {"messages": ASKED}, [{"role": "user"}]])


def said(content, role="assistant"):
    return [{"role": role, "content": content}]


def example(row):
    found = parse(1, row)
    assert isinstance(found, Example), found
    return found


@pytest.mark.parametrize("answer", [1, "b"])
def test_a_choice_is_named_by_its_place_or_its_text(answer):
    found = example({"prompt": "p", "choices": ["a", "b", "c"], "answer": answer, "idx": 3})
    assert found.turns == (Turn("user", "p"), Turn("assistant", "b", is_learned=True))
    assert (found.wrong, found.prompt_format, found.ignored) == (("a", "c"), "prompt", ("idx",))


def test_a_conversation_may_be_answered_by_choices():
    found = example({"messages": ASKED, "choices": ["a", "b"], "answer": 0})
    assert [turn.content for turn in found.turns] == ["s", "u", "a"]
    assert (found.wrong, found.prompt_format) == (("b",), "chat")


@pytest.mark.parametrize(
    ("row", "form"),
    [
        ({"prompt": "u", "chosen": "a", "rejected": "b"}, "prompt"),
        ({"prompt": said("u", "user"), "chosen": said("a"), "rejected": said("b")}, "chat"),
        (
            {
                "input": {"messages": said("u", "user")},
                "preferred_output": said("a"),
                "non_preferred_output": said("b"),
            },
            "chat",
        ),
    ],
)
def test_a_preference_is_written_in_the_usual_ways(row, form):
    found = example(row)
    assert [turn.content for turn in found.turns] == ["u", "a"]
    assert (found.wrong, found.prompt_format) == (("b",), form)


def test_earlier_answers_of_the_conversation_are_not_learned():
    asked = [*said("u", "user"), *said("earlier"), *said("v", "user")]
    found = example({"messages": asked, "choices": ["a", "b"], "answer": 0})
    assert [turn.is_learned for turn in found.turns] == [False, False, False, True]


def test_fields_that_are_null_are_as_good_as_absent():
    found = example({"prompt": "p", "completion": "c", "choices": None, "chosen": None})
    assert (found.answer, found.wrong) == ("c", ())


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"prompt": "p", "choices": ["a", "b"]}, ["`answer` is missing"]),
        ({"prompt": "p", "choices": ["a", "b"], "answer": 2}, ["`answer` is 2; expected 0 to 1"]),
        ({"prompt": "p", "choices": ["a", "b"], "answer": "c"}, ["'c', which is none of the choices"]),
        ({"prompt": "p", "choices": ["a", "b"], "answer": True}, ["`answer` is a JSON boolean"]),
        ({"prompt": "p", "choices": ["a"], "answer": 0}, ["has 1; expected two or more"]),
        ({"prompt": "p", "choices": ["a", "a"], "answer": 0}, ["'a' 2 times"]),
        (
            {"prompt": 3, "choices": ["", 1], "answer": []},
            ["`prompt` is a", "choices[0]` is empty", "[1]`", "`answer`"],
        ),
        ({"choices": "ab", "answer": 0}, ["`choices` is a JSON string", "`prompt` is missing"]),
        ({"messages": said("a"), "choices": ["a", "b"], "answer": 0}, ["role 'assistant'"]),
        ({"prompt": "p", "messages": ASKED, "choices": ["a", "b"], "answer": 0}, ["keep one"]),
        ({"prompt": "p", "chosen": "a"}, ["`rejected` is missing"]),
        ({"prompt": "p", "chosen": "a", "rejected": "a"}, ["nothing to learn"]),
        ({"prompt": "p", "chosen": said("a") * 2, "rejected": said("b", "user")}, ["has 2 messages", "'user'"]),
        ({"preferred_output": said("a"), "non_preferred_output": said("b")}, ["`input` is missing"]),
        ({"input": {"messages": ASKED, "tools": [1]}, "preferred_output": 3}, ["input.tools", "non_preferred_output"]),
        ({"prompt": "p", "completion": "c", "chosen": "a", "rejected": "b"}, ["keep one of the two forms"]),
    ],
)
def test_every_fault_of_a_row_is_told(row, words):
    found = parse(1, row)
    assert isinstance(found, list), "the row was accepted"
    for word in words:
        assert any(word in fault.text for fault in found), found


@given(st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_any_row_at_all_is_an_example_or_has_faults(row):
    found = parse(1, row)
    if isinstance(found, Example):
        assert found.turns[-1].role == "assistant"
        assert found.answer not in found.wrong
    else:
        assert found
        assert all(fault.text for fault in found)
