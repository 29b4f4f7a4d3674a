"""Messages to tokens: training shows what serving asks, answers and their ends are learned, nothing else is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fettle.data.examples import Example
from fettle.data.messages import Turn
from fettle.data.template import Template
from fettle.errors import InvalidInput
from fettle.models.tokenizer import Tokenizer
from fettle.testing.tokenizers import CHAT_TEMPLATE, END, END_OF_TEXT, SPECIAL_TOKENS, tiny_tokenizer

TEMPLATES = {
    "as pocket": CHAT_TEMPLATE,
    "with line breaks": (
        "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
    ),
    "as phi 3": (
        "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ '<|endoftext|>' }}{% endif %}"
    ),
    "as llama 2": (
        "{% for m in messages %}{% if m.role == 'assistant' %}{{ ' ' + m.content + ' ' + eos_token }}"
        "{% else %}{{ '[INST] ' + m.content + ' [/INST]' }}{% endif %}{% endfor %}"
    ),
    "trimmed": (
        "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content | trim + '<|end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
    ),
    "without control tokens": (
        "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    ),
    "with a channel": (
        "{% for m in messages %}{{ '<|' + m.role + '|>' }}"
        "{% if m.role == 'assistant' %}{{ '<|system|>final' }}{% endif %}"
        "{{ m.content + '<|end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
    ),
}
FORGETFUL = (
    "{% for m in messages %}{% if m.role == 'user' or loop.last %}{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
SAID = st.text(
    st.sampled_from("ab \n\u00e9\u4e16\U0001f600\U000f0000") | st.characters(exclude_categories=["Cs"]),
    min_size=1,
    max_size=12,
)
TYPED = st.lists(SAID | st.sampled_from([*SPECIAL_TOKENS, "<|", "|>", "<|en"]), min_size=1, max_size=4).map("".join)
CONTENT = TYPED.filter(str.strip)


@st.composite
def conversations(draw) -> Example:
    """Turns by turns, sometimes with a system turn before them and with answers that are not learned."""
    turns = [Turn("system", draw(CONTENT))] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        turns += [Turn("user", draw(CONTENT)), Turn("assistant", draw(CONTENT), is_learned=draw(st.booleans()))]
    turns[-1] = Turn("assistant", turns[-1].content, is_learned=True)
    return Example(1, "chat", tuple(turns))


@pytest.fixture(scope="module", params=TEMPLATES)
def chatting(request, tmp_path_factory) -> Tokenizer:
    return Tokenizer.load(tiny_tokenizer(tmp_path_factory.mktemp("t"), chat_template=TEMPLATES[request.param]))


def learned_spans(encoded) -> list[tuple[int, int]]:
    """Runs of scored tokens, as (start, end)."""
    edges = [0, *encoded.scored, 0]
    starts = [place - 1 for place in range(1, len(edges)) if edges[place] and not edges[place - 1]]
    ends = [place - 1 for place in range(1, len(edges)) if edges[place - 1] and not edges[place]]
    return list(zip(starts, ends, strict=True))


@settings(max_examples=25)
@given(example=conversations())
def test_before_every_answer_training_has_exactly_the_prompt_of_serving(chatting, example):
    template = Template(chatting)
    encoded = template.encode(example)
    places = [place for place, turn in enumerate(example.turns) if turn.is_learned]
    spans = learned_spans(encoded)
    assert len(spans) == len(places)
    for place, (start, _) in zip(places, spans, strict=True):
        assert encoded.token_ids[:start] == template.prompt(example.turns[:place])


@settings(max_examples=25)
@given(example=conversations())
def test_every_learned_answer_is_its_text_and_the_token_that_ends_it(chatting, example):
    template = Template(chatting)
    encoded = template.encode(example)
    answers = [turn.content for turn in example.turns if turn.is_learned]
    for answer, (start, end) in zip(answers, learned_spans(encoded), strict=True):
        text = chatting.decode(encoded.token_ids[start:end], skip_special_tokens=False)
        assert answer.strip() in text
    assert encoded.token_ids[-1] in template.end_ids
    assert encoded.scored[-1]


@settings(max_examples=25)
@given(example=conversations())
def test_nobody_can_type_a_control_token(chatting, example):
    def controls(turns: tuple[Turn, ...]) -> list[int]:
        ids = Template(chatting).encode(Example(1, "chat", turns)).token_ids
        return [token for token in ids if token in chatting.special_ids]

    harmless = tuple(Turn(turn.role, "x", turn.is_learned) for turn in example.turns)
    assert controls(example.turns) == controls(harmless)


@given(content=CONTENT)
def test_what_somebody_typed_is_kept_to_the_letter(tokenizer, content):
    ids = Template(tokenizer).prompt([Turn("user", content)])
    assert tokenizer.decode(ids, skip_special_tokens=False) == f"<|user|>{content}<|end|><|assistant|>"


def test_the_mask_is_what_one_writes_down_by_hand(template, tokenizer):
    turns = (
        Turn("system", "s"),
        Turn("user", "u"),
        Turn("assistant", "a", is_learned=False),
        Turn("user", "v"),
        Turn("assistant", "b", is_learned=True),
    )
    encoded = template.encode(Example(1, "chat", turns))
    written = (
        "<|system|> s <|end|> <|user|> u <|end|> <|assistant|> a <|end|> <|user|> v <|end|> <|assistant|> b <|end|>"
    )
    assert " ".join(map(tokenizer.token_text, encoded.token_ids)) == written
    assert encoded.scored == [False] * 13 + [True] * 2


def test_a_row_of_prompt_and_completion_is_a_conversation_of_one_turn(template):
    turns = (Turn("user", "hi"), Turn("assistant", "yes", is_learned=True))
    assert template.encode(Example(1, "prompt", turns)) == template.encode(Example(1, "chat", turns))
    assert template.row_prompt("hi") == template.prompt(turns[:1])


def test_behind_an_answer_that_ends_without_control_token_the_end_of_text_is_learned(tmp_path):
    folder = tiny_tokenizer(tmp_path, chat_template=TEMPLATES["without control tokens"])
    tokenizer = Tokenizer.load(folder)
    turns = (Turn("user", "u"), Turn("assistant", "a", is_learned=True))
    encoded = Template(tokenizer).encode(Example(1, "chat", turns))
    assert tokenizer.decode(encoded.token_ids, skip_special_tokens=False) == f"user: u\nassistant: a{END}"
    assert encoded.scored[-2:] == [True, True]


def test_an_end_of_turn_that_is_not_the_models_end_of_text_ends_answers_too(tmp_path):
    folder = tiny_tokenizer(tmp_path)
    path = folder / "tokenizer_config.json"
    path.write_text(path.read_text().replace(f'"eos_token": "{END}"', f'"eos_token": "{END_OF_TEXT}"'))
    tokenizer = Tokenizer.load(folder)
    assert tokenizer.eos_ids == (tokenizer.token_id(END_OF_TEXT),)
    assert Template(tokenizer).end_ids == (tokenizer.token_id(END_OF_TEXT), tokenizer.token_id(END))


def test_what_a_template_writes_behind_the_last_answer_costs_nothing(tmp_path):
    tokenizer = Tokenizer.load(tiny_tokenizer(tmp_path, chat_template=TEMPLATES["as phi 3"]))
    turns = (Turn("user", "u"), Turn("assistant", "a", is_learned=True))
    encoded = Template(tokenizer).encode(Example(1, "chat", turns))
    assert tokenizer.token_text(encoded.token_ids[-1]) == END


def test_a_template_that_rewrites_earlier_turns_can_be_served_but_not_trained_on(tmp_path):
    tokenizer = Tokenizer.load(tiny_tokenizer(tmp_path, chat_template=FORGETFUL))
    template = Template(tokenizer)
    turns = (Turn("user", "u"), Turn("assistant", "a", is_learned=True), Turn("user", "v"), Turn("assistant", "b"))
    assert tokenizer.decode(template.prompt(turns[:3]), skip_special_tokens=False) == (
        "<|user|>u<|end|><|user|>v<|end|><|assistant|>"
    )
    with pytest.raises(InvalidInput, match="rewrites earlier turns"):
        template.encode(Example(1, "chat", turns))
    assert template.encode(Example(1, "chat", turns[:2])).scored[-1]


def test_a_template_that_answers_without_its_own_prompt_is_refused_in_training(tmp_path):
    thinking = CHAT_TEMPLATE.replace("'<|assistant|>'", "'<|assistant|>think:'")
    tokenizer = Tokenizer.load(tiny_tokenizer(tmp_path, chat_template=thinking))
    with pytest.raises(InvalidInput, match="rewrites"):
        Template(tokenizer).encode(Example(1, "chat", (Turn("user", "u"), Turn("assistant", "a", is_learned=True))))


def test_a_template_may_refuse_messages_with_its_own_words(tmp_path):
    strict = "{% if messages[0].role == 'system' %}{{ raise_exception('no system here') }}{% endif %}" + CHAT_TEMPLATE
    template = Template(Tokenizer.load(tiny_tokenizer(tmp_path, chat_template=strict)))
    with pytest.raises(InvalidInput, match="no system here"):
        template.prompt([Turn("system", "s"), Turn("user", "u")])


@given(prompt=CONTENT, completion=CONTENT)
def test_without_chat_template_a_row_is_prompt_completion_and_end(plain_tokenizer, prompt, completion):
    template = Template(plain_tokenizer)
    turns = (Turn("user", prompt), Turn("assistant", completion, is_learned=True))
    encoded = template.encode(Example(1, "prompt", turns))
    size = len(template.row_prompt(prompt))
    assert encoded.token_ids[:size] == template.row_prompt(prompt)
    assert encoded.scored == [False] * size + [True] * (len(encoded.token_ids) - size)
    assert encoded.token_ids[-1] == plain_tokenizer.eos_id
    assert plain_tokenizer.decode(encoded.token_ids[:-1], skip_special_tokens=False) == prompt + completion
    assert not plain_tokenizer.special_ids & set(encoded.token_ids[:-1])


def test_without_chat_template_there_is_no_conversation(plain_tokenizer):
    template = Template(plain_tokenizer)
    turns = (Turn("user", "u"), Turn("assistant", "a", is_learned=True))
    with pytest.raises(InvalidInput, match="chat template"):
        template.encode(Example(1, "chat", turns))
    with pytest.raises(InvalidInput, match="no chat template"):
        template.prompt(turns[:1])


def test_a_bare_text_may_hold_control_tokens(template, tokenizer):
    assert template.text_prompt(f"a{END}") == [*tokenizer.encode("a"), tokenizer.eos_id]
