"""Calls that an answer must make, read in pieces of any size, in the forms in which models write them."""

import json

import pytest

from fettle.data.forced_calls import ForcedCalls
from fettle.data.tool_forms import FORMS

ARGUMENTS = ('{"city": "Os\\"lo}", "days": [{"n": 1}, {}]}', "{}")


def written(form):
    calls = [f'{{"name": "weather", "{form.arguments}": {text}}}' for text in ARGUMENTS]
    calls = calls if form.between is not None else calls[:1]
    told = (form.between or "").join(form.before + call + form.after for call in calls)
    return form.start + told + form.end, ARGUMENTS[: len(calls)]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.mark)
@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_pieces_of_any_size_put_together_are_the_calls(form, size):
    text, arguments = written(form)
    finder, found = ForcedCalls(["weather", "weather2"]), {}
    for start in range(0, len(text), size):
        for part in finder.add(text[start : start + size]):
            assert bool(part.id) == bool(part.name) == (part.number not in found)
            found[part.number] = found.get(part.number, "") + part.arguments
    assert list(found.values()) == list(arguments)
    assert all(isinstance(json.loads(one), dict) for one in found.values())
    assert finder.rest() == ""


def test_arguments_are_told_before_the_call_is_complete():
    finder = ForcedCalls(["weather"])
    assert finder.add('<tool_call>\n{"name": "weather", "argu') == []
    begun, more = finder.add('ments": {"city": "O')
    assert (begun.name, begun.arguments, more.arguments) == ("weather", "", '{"city": "O')
    assert more.number == begun.number == 0


def test_an_answer_that_calls_nothing_is_text():
    finder = ForcedCalls(["weather"])
    assert finder.add("I would rather ") + finder.add("not.") == []
    assert finder.rest() == "I would rather not."
