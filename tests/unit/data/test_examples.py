"""From rows to examples: what is accepted, and every fault of what is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fettle.data.examples import Example, load_examples, parse, read_examples
from fettle.data.faults import MAX_KEPT, MAX_SHOWN, Faults
from fettle.data.files import Fault
from fettle.data.messages import Turn
from fettle.errors import InvalidRows

NAMES = st.sampled_from(["messages", "prompt", "completion", "role", "content", "weight", "tools", "type", "text"])
VALUES = st.sampled_from(["system", "user", "assistant", "text", "", "a", 0, 1, 2.5, True, None])
NEARLY_RIGHT = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)


def told(row: object) -> list[str]:
    found = parse(1, row)
    assert isinstance(found, list), "the row was accepted"
    return [fault.text for fault in found]


def chat(*turns: tuple[str, object], **more: object) -> dict[str, object]:
    return {"messages": [{"role": role, "content": content} for role, content in turns], **more}


def test_a_pair_is_a_conversation_of_two_turns():
    row = parse(7, {"prompt": "p", "completion": "c", "intent": "Greet"})
    assert row == Example(7, "prompt", (Turn("user", "p"), Turn("assistant", "c", is_learned=True)), ("intent",))


def test_a_text_with_its_label_is_a_prompt_with_its_answer():
    row = parse(7, {"text": "free money!", "label": " spam ", "source": "mail"})
    assert row == Example(
        7, "prompt", (Turn("user", "free money!"), Turn("assistant", "spam", is_learned=True)), ("source",)
    )


def test_a_label_that_is_a_whole_number_is_the_text_of_its_digits():
    row = parse(1, {"text": "t", "label": 0})
    assert isinstance(row, Example)
    assert row.answer == "0"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"text": "t"}, "`label` is missing"),
        ({"label": "spam"}, "`text` is missing"),
        ({"text": " ", "label": "spam"}, "`text` is empty"),
        ({"text": "t", "label": ""}, "`label` is empty"),
        ({"text": "t", "label": 0.5}, "`label` is a JSON number; expected a text, or a whole number"),
        ({"text": "t", "label": True}, "`label` is a JSON boolean; expected a text, or a whole number"),
        ({"text": "t", "label": ["a"]}, "`label` is a JSON array; expected a text, or a whole number"),
    ],
)
def test_what_is_wrong_with_a_labelled_row_is_told(row, words):
    assert words in "\n".join(told(row))


def test_all_faults_of_a_labelled_row_are_told_at_once():
    assert len(told({"text": 3, "label": 1.5})) == 2


@pytest.mark.parametrize("note", ["text", "label"])
def test_a_note_in_a_row_of_another_form_is_no_second_form(note):
    row = parse(1, {"prompt": "p", "completion": "c", note: "x"})
    assert isinstance(row, Example)
    assert (row.answer, row.ignored) == ("c", (note,))


def test_a_conversation_keeps_its_turns_and_learns_those_of_the_assistant():
    row = parse(1, chat(("system", "s"), ("user", "u"), ("assistant", "a"), ("user", "v"), ("assistant", "b"), id=3))
    assert isinstance(row, Example)
    assert [(turn.role, turn.content, turn.is_learned) for turn in row.turns] == [
        ("system", "s", False),
        ("user", "u", False),
        ("assistant", "a", True),
        ("user", "v", False),
        ("assistant", "b", True),
    ]
    assert (row.prompt_format, row.ignored, row.answer, len(row.prompt)) == ("chat", ("id",), "b", 4)


def test_a_turn_of_weight_zero_is_not_learned():
    row = chat(("user", "u"), ("assistant", "a"), ("user", "v"), ("assistant", "b"))
    row["messages"][1]["weight"] = 0
    row["messages"][3]["weight"] = 1
    found = parse(1, row)
    assert isinstance(found, Example)
    assert [turn.is_learned for turn in found.turns] == [False, False, False, True]


def test_parts_of_text_are_one_text():
    row = parse(1, chat(("user", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]), ("assistant", "c")))
    assert isinstance(row, Example)
    assert row.turns[0].content == "ab"


def test_fields_of_a_message_that_are_null_are_as_good_as_absent():
    row = chat(("user", "u"), ("assistant", "a"))
    row["messages"][1] |= {"tool_calls": None, "refusal": None, "weight": None}
    assert isinstance(parse(1, row), Example)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("text", ["JSON string"]),
        (None, ["JSON null"]),
        ([1], ["JSON array"]),
        ({}, ["no field"]),
        ({"sentence": "a", "class": "b"}, ["`sentence`, `class`", "or `text` and `label`"]),
        ({"prompt": "a"}, ["`completion` is missing"]),
        ({"prompt": "a", "completions": "b"}, ["is it `completions`?"]),
        ({"prompt": 1, "completion": ["x"]}, ["`prompt` is a JSON number", "`completion` is a JSON array"]),
        ({"prompt": " ", "completion": ""}, ["`prompt` is empty", "`completion` is empty"]),
        (
            {"prompt": "a", "completion": "b", "choices": ["b", "c"]},
            ["`completion` beside `choices`; keep one of the two"],
        ),
        ({"prompt": "a", "messages": []}, ["keep one of the two"]),
        ({"messages": "hello"}, ["`messages` is a JSON string"]),
        ({"messages": []}, ["`messages` is empty"]),
        (chat(("user", "u")), ["no assistant turn"]),
        (chat(("user", "u"), ("assistant", "a"), ("user", "v")), ["ends with a user turn"]),
        (chat(("assistant", "a")), ["no user turn before"]),
        (chat(("user", "u"), ("system", "s"), ("assistant", "a")), ["system turn that is not the first"]),
        (chat(("pirate", "arr"), ("user", ""), ("assistant", 3)), ["'pirate'", "[1].content` is empty", "[2].content"]),
        (chat(("user", [{"type": "image_url"}]), ("assistant", "a")), ["[0].content[0]` is not a text part"]),
        (chat(("user", []), ("assistant", "a")), ["[0].content` is empty"]),
        ({"messages": [3, {"role": "assistant"}]}, ["[0]` is a JSON number", "[1].content` is missing"]),
        (chat(("user", "u"), ("assistant", "a"), tools=[{}]), ["`tools` is not supported"]),
        (
            {"messages": [{"role": "user", "content": "u", "name": "Jo"}]},
            ["[0].name` is not supported", "no assistant"],
        ),
    ],
)
def test_every_fault_of_a_row_is_told(row, said):
    found = told(row)
    for words in said:
        assert any(words in text for text in found), found


@pytest.mark.parametrize("weight", [2, -1, 0.5, True, "1"])
def test_a_weight_is_zero_or_one(weight):
    row = chat(("user", "u"), ("assistant", "a"))
    row["messages"][1]["weight"] = weight
    assert any("weight" in text for text in told(row))


def test_only_the_assistant_has_a_weight_and_one_must_count():
    row = chat(("user", "u"), ("assistant", "a"))
    row["messages"][0]["weight"] = 1
    assert any("not the assistant's" in text for text in told(row))
    row = chat(("user", "u"), ("assistant", "a"))
    row["messages"][1]["weight"] = 0
    assert any("nothing to learn" in text for text in told(row))


@given(NEARLY_RIGHT | st.dictionaries(NAMES, NEARLY_RIGHT, max_size=3))
def test_any_json_at_all_is_an_example_or_has_faults(row):
    found = parse(1, row)
    if isinstance(found, Example):
        assert found.turns[-1].role == "assistant"
        assert any(turn.is_learned for turn in found.turns)
    else:
        assert found
        assert all(fault.text for fault in found)


def test_a_file_with_bad_rows_is_refused_with_all_of_them(write):
    path = write({"prompt": "a", "completion": "b"}, {"prompt": "a"}, b"{", {"completion": 3})
    with pytest.raises(InvalidRows, match=r"3 of 4 rows in .*rows\.jsonl") as caught:
        list(load_examples(path))
    assert [fault.partition(":")[0] for fault in caught.value.faults] == ["line 2", "line 3", "line 4", "line 4"]


def test_the_first_faults_are_shown_and_the_others_are_counted(write):
    path = write(*[{"prompt": "a"}] * (MAX_SHOWN + 5), {"prompt": "a", "completion": "b"})
    with pytest.raises(InvalidRows) as caught:
        list(load_examples(path))
    assert len(caught.value.faults) == MAX_SHOWN + 1
    assert caught.value.faults[-1] == "... and 5 more"
    assert caught.value.message.startswith("25 of 26 rows")
    assert "--json" in caught.value.hint


def test_faults_beyond_the_thousandth_are_only_counted():
    faults = Faults()
    for line in range(1, 2 * MAX_KEPT):
        faults.add([Fault(line, "bad"), Fault(line, "worse")])
    assert (len(faults.kept), faults.count, faults.num_rows) == (MAX_KEPT, 4 * MAX_KEPT - 2, 2 * MAX_KEPT - 1)


def test_good_and_bad_rows_come_in_their_order(write):
    found = list(read_examples(write({"prompt": "a", "completion": "b"}, b"{", {"prompt": "c", "completion": "d"})))
    assert [isinstance(row, Example) for row in found] == [True, False, True]
    assert [row.line for row in found if isinstance(row, Example)] == [1, 3]
