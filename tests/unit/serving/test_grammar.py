"""A random model that is held to a grammar says what the grammar allows, and nothing else is changed by it."""

import json
import re

import jsonschema
import pytest

from fettle.data.tool_calls import CallFinder
from fettle.data.tool_forms import FORMS, call_grammar
from fettle.errors import FettleError, InvalidInput, UnsupportedModel
from fettle.models.tokenizer import Tokenizer
from fettle.serving.grammar import Grammars
from fettle.testing.models import tiny_model
from fettle.testing.tokenizers import END, tiny_tokenizer
from fettle.types.generation import Grammar, Tool
from tests.unit.serving.conftest import answer, ask, run, text, tokens

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "size": {"enum": ["small", "large", 3, None]},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "minItems": 1, "maxItems": 3},
        "even": {"type": "boolean"},
        "count": {"type": "integer", "minimum": -5, "maximum": 120},
    },
    "required": ["name", "tags", "count"],
    "additionalProperties": False,
    "$defs": {"tag": {"type": "string", "pattern": "^[a-c]{1,4}$"}},
}
PROMPT = [7, 8, 9]
SEEDS = range(12)
CHOICES = ["yes", "yes, very much", "no", 'the "third" way\n', "née"]


def json_of(schema):
    return Grammar(kind="json", text=json.dumps(schema))


def regex(pattern):
    return Grammar(kind="regex", text=pattern)


def choice(*texts):
    return Grammar(kind="choice", text=json.dumps(texts))


def held(engine, grammar, **sampling):
    wanted = {"temperature": 1.0, "max_tokens": 200, "ignore_eos": False, "grammar": grammar} | sampling
    return answer(engine, ask(PROMPT, **wanted))


def test_a_random_model_gives_json_that_fits_its_schema(engine):
    found = {text(held(engine, json_of(SCHEMA), seed=seed)) for seed in SEEDS}
    assert len(found) == len(SEEDS)
    for one in found:
        jsonschema.validate(json.loads(one), SCHEMA)


@pytest.mark.parametrize(
    "sampling",
    [
        {"temperature": 0},
        {"temperature": 2.0, "top_p": 0.9},
        {"top_k": 3, "logprobs": 4},
        {"min_p": 0.2, "repetition_penalty": 1.5},
        {"presence_penalty": 2, "frequency_penalty": -1, "min_tokens": 30},
        {"ignore_eos": True},
        {"logit_bias": {4: 100.0}},
    ],
    ids=str,
)
def test_a_grammar_is_kept_however_tokens_are_chosen(engine, sampling):
    for seed in range(4):
        chunks = held(engine, json_of(SCHEMA), seed=seed, **sampling)
        jsonschema.validate(json.loads(text(chunks)), SCHEMA)
        assert chunks[-1].finish_reason == "stop"


def test_an_answer_matches_its_regular_expression_as_a_whole(engine):
    pattern = r"[a-f]{2,5}(-\d{3})*\.(com|org)"
    for seed in SEEDS:
        assert re.fullmatch(pattern, text(held(engine, regex(pattern), seed=seed)))


def test_an_answer_is_one_of_its_choices_and_each_can_come(engine):
    found = {text(held(engine, choice(*CHOICES), seed=seed, temperature=2.0)) for seed in range(30)}
    assert found <= set(CHOICES)
    assert len(found) > 2


@pytest.mark.parametrize("notation", ['start: "a" (X | "-")+ "z"\nX: /[0-9]/', 'root ::= "a" ([0-9] | "-")+ "z"'])
def test_a_grammar_may_be_in_lark_or_in_gbnf(engine, notation):
    for seed in range(6):
        one = text(held(engine, Grammar(kind="grammar", text=notation), seed=seed))
        assert re.fullmatch(r"a[0-9-]+z", one)


def test_an_answer_ends_only_where_its_grammar_may_end(engine):
    """The end token is made as likely as can be: it comes as soon as it may, and no sooner."""
    end = {"logit_bias": {4: 100.0}}
    assert [text(held(engine, regex("(ab){3,}"), seed=seed, **end)) for seed in range(4)] == ["ababab"] * 4
    never = held(engine, regex("(ab){3,}"), seed=1, logit_bias={4: -100.0}, max_tokens=40)
    assert (text(never)[:8], never[-1].finish_reason) == ("abababab", "length")


def test_an_answer_that_can_only_end_ends_without_another_token(engine):
    chunks = held(engine, choice("no"), seed=1)
    assert [chunk.text for chunk in chunks] == ["n", "o"]
    assert chunks[-1].finish_reason == "stop"


def test_an_answer_that_must_be_empty_is_empty(engine):
    for sampling in ({}, {"ignore_eos": True}, {"min_tokens": 5}):
        chunks = held(engine, choice(""), **sampling)
        assert (text(chunks), chunks[-1].finish_reason) == ("", "stop")


def test_an_answer_that_is_cut_says_so(engine):
    chunks = held(engine, json_of(SCHEMA), seed=2, max_tokens=5)
    assert (len(tokens(chunks)), chunks[-1].finish_reason) == (5, "length")


def test_a_stop_text_ends_a_held_answer_too(engine):
    chunks = held(engine, regex("a{3}b{3}c{3}"), stop=("bc",))
    assert (text(chunks), chunks[-1].finish_reason) == ("aaabb", "stop")


def test_a_token_of_text_that_a_request_stops_at_ends_it_where_the_grammar_has_it(engine, base):
    stop = Tokenizer.load(base).encode("b")
    chunks = held(engine, regex("a{3}b{3}"), stop_token_ids=tuple(stop))
    assert (text(chunks), chunks[-1].finish_reason) == ("aaa", "stop")


def mixed():
    """Free and held requests in turns, some seeded and some greedy."""
    grammars = [json_of(SCHEMA), None, regex("[ab]{20}"), choice(*CHOICES), None, json_of(SCHEMA), regex("x*y")]
    return [
        ask(PROMPT, temperature=1.0 if place % 3 else 0, seed=place, grammar=grammar, max_tokens=25, ignore_eos=False)
        for place, grammar in enumerate(grammars)
    ]


def test_held_and_free_requests_in_one_batch_answer_as_each_alone(engine_with):
    together, alone = engine_with(), engine_with()
    for place, request in enumerate(mixed()):
        together.add(str(place), request)
    found = run(together)

    for place, request in enumerate(mixed()):
        assert tokens(found[str(place), 0]) == tokens(answer(alone, request))


def test_a_held_answer_survives_giving_way(engine_with):
    roomy, tight = engine_with(), engine_with(num_blocks=18)
    found = []
    for engine in (roomy, tight):
        for place, request in enumerate(mixed()):
            engine.add(str(place), request)
        found.append({key: tokens(chunks) for key, chunks in run(engine).items()})
    assert tight.stats()["preemptions"] > 0
    assert found[0] == found[1]


def test_each_choice_has_its_own_place_in_the_grammar(engine):
    request = ask(PROMPT, temperature=1.0, seed=5, grammar=json_of(SCHEMA), max_tokens=200, ignore_eos=False)
    (choices,) = engine.generate([request.model_copy(update={"num_choices": 4})])
    assert len({one.text for one in choices}) == 4
    for one in choices:
        jsonschema.validate(json.loads(one.text), SCHEMA)


def test_log_probabilities_are_among_what_the_grammar_allows(engine, plain):
    chunks = held(engine, choice("a", "b"), logprobs=3, temperature=0)
    (one,) = [told for chunk in chunks for told in chunk.logprobs]
    ids = [engine._tokenizer.encode(letter)[0] for letter in "ab"]
    expected = plain(None).logits(PROMPT)[-1][ids].log_softmax(-1)
    assert [token for token, _, _ in one.top[:2]] == [
        ids[place] for place in expected.argsort(descending=True).tolist()
    ]
    assert [value for _, _, value in one.top[:2]] == pytest.approx(sorted(expected.tolist(), reverse=True), abs=1e-4)
    assert one.top[2][2] == -9999


@pytest.mark.parametrize(
    ("grammar", "words"),
    [
        (json_of({"type": "objec"}), "JSON schema cannot be followed: Invalid type: objec"),
        (json_of({"type": "array", "uniqueItems": True, "contains": {}}), "uses 'contains', 'uniqueItems'"),
        (json_of({"properties": {"a": {"$ref": "#/$defs/b"}}}), "'/[$]defs/b' does not exist"),
        (json_of({"type": "integer", "minimum": 3, "maximum": 1}), "minimum .* greater than maximum"),
        (regex("(a"), "(?s)regular expression cannot be followed.*unclosed group"),
        (regex("a(?=b)"), "(?s)look-ahead"),
        (Grammar(kind="grammar", text='start: "a" b'), 'unknown name: "b"'),
        (Grammar(kind="grammar", text='root ::= "a" b'), "Rule 'b' not found"),
        (json_of({"allOf": [{"$ref": "#/$defs/a"}] * 501}), "too large: 501 references; the limit is 500"),
        (Grammar(kind="grammar", text="\n" * 20_000), "too large: 20000 lines; .* 20000 characters; the limit"),
    ],
    ids=lambda value: value.text[:40] if isinstance(value, Grammar) else "",
)
def test_a_grammar_with_a_fault_is_refused_before_anything_runs(engine, grammar, words):
    with pytest.raises(InvalidInput, match=words):
        engine.add("bad", ask(PROMPT, grammar=grammar))
    assert not engine.has_work


def test_a_grammar_that_grows_too_large_ends_only_its_own_request(engine):
    engine.add("good", ask(PROMPT, grammar=regex("[ab]{12}")))
    engine.add("bad", ask(PROMPT, grammar=regex("[ab]{12}")))
    # A token that does not fit puts it into the state in which a grammar that is too large ends up.
    state = engine._open["bad", 0].grammar
    with pytest.raises(FettleError, match="cannot be followed"):
        state.add(engine._tokenizer.encode("z")[0])

    found = run(engine)

    assert [chunk.finish_reason for chunk in found["bad", 0]] == ["abort"]
    assert "grammar cannot be followed" in found["bad", 0][0].error
    assert re.fullmatch("[ab]{12}", text(found["good", 0]))


def test_blanks_in_json_do_not_go_on_for_ever(engine):
    blank = dict.fromkeys(engine._tokenizer.encode(" \n\t"), 100.0)
    for seed in range(4):
        chunks = held(
            engine, json_of({"type": "array", "items": {"const": 1}, "maxItems": 2}), seed=seed, logit_bias=blank
        )
        assert json.loads(text(chunks)) in ([], [1], [1, 1])


TOOLS = [
    Tool(
        name="look",
        parameters=json.dumps(
            {
                "properties": {"at": {"$ref": "#/$defs/at"}},
                "required": ["at"],
                "additionalProperties": False,
                "$defs": {"at": {"enum": ["a", "é", 3]}},
            }
        ),
    ),
    Tool(name="stop"),
]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.mark)
@pytest.mark.parametrize("most", [1, None])
def test_a_random_model_that_must_call_tools_calls_them_as_they_are_declared(engine, form, most):
    called = []
    for seed in range(6):
        finder = CallFinder(["look", "stop"])
        chunks = held(engine, call_grammar(form, TOOLS[seed % 2 :], most=most), seed=seed, logit_bias={4: 9.0})
        (before, calls), (after, late) = finder.add(text(chunks)), finder.rest()
        assert (before, after, chunks[-1].finish_reason) == ("", "", "stop")
        assert len(calls + late) >= 1 if most is None else len(calls + late) == 1
        called += calls + late
    assert {call.name for call in called} == {"look", "stop"}
    for call in called:
        schema = next(tool.spelled["parameters"] for tool in TOOLS if tool.name == call.name)
        jsonschema.validate(json.loads(call.arguments), schema)


def test_vocabularies_that_are_padded_beyond_the_tokenizer_are_held_too(tmp_path, engine_with):
    engine = engine_with(tiny_model(tmp_path, vocab_size=320))
    for seed in range(6):
        assert re.fullmatch("[^a]{9}", text(held(engine, regex("[^a]{9}"), seed=seed)))


def test_a_grammar_is_compiled_once_and_only_the_last_ones_are_kept(tmp_path):
    tokenizer = Tokenizer.load(tiny_tokenizer(tmp_path))
    grammars = Grammars(lambda: tokenizer.source, tokenizer.vocab_size, [tokenizer.token_id(END)])
    for number in [*range(100), 99]:
        grammars.begin(choice(str(number)), [])
    told = grammars._compiled.cache_info()
    assert (told.hits, told.misses) == (1, 100)
    assert told.currsize < 100


def test_a_tokenizer_that_cannot_be_held_to_a_grammar_is_told():
    with pytest.raises(UnsupportedModel, match="follow no grammar"):
        Grammars(lambda: "{}", 10, [1]).begin(choice("a"), [])
