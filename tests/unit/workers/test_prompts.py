import json

import pytest

from fettle.data.tool_forms import FORMS, TAGGED, call_grammar
from fettle.errors import InvalidInput, UnsupportedModel
from fettle.models.tokenizer import Tokenizer
from fettle.testing.tokenizers import tiny_tokenizer
from fettle.types.generation import GenerateRequest, Message, SamplingParams, Tool, ToolCall
from fettle.workers.prompts import FACTS_FILE, Prompts


def tuned_on(folder, form):
    folder.mkdir(exist_ok=True)
    (folder / FACTS_FILE).write_text(json.dumps({"prompt_format": form}))
    return folder


@pytest.fixture
def tokenizer(tmp_path):
    return Tokenizer.load(tiny_tokenizer(tmp_path / "base"))


@pytest.fixture
def prompts(tmp_path, tokenizer):
    prompts = Prompts.load(tmp_path / "base")
    prompts.add_adapter("rows", tuned_on(tmp_path / "rows", "prompt"))
    prompts.add_adapter("chats", tuned_on(tmp_path / "chats", "chat"))
    return prompts


def tokens(prompts, adapter=None, **prompt):
    return prompts.tokenized(GenerateRequest(model="m", **prompt), adapter).token_ids


def test_a_text_is_continued_by_a_model_that_was_not_tuned_on_prompts(prompts, tokenizer):
    for adapter in (None, "chats"):
        assert tokenizer.decode(tokens(prompts, adapter, text="the rain")) == "the rain"


def test_a_model_tuned_on_prompts_gets_a_text_as_its_rows_had_it(prompts):
    turn = tokens(prompts, messages=(Message(role="user", content="the rain"),))
    assert tokens(prompts, "rows", text="the rain") == turn
    assert tokens(prompts, text="the rain") != turn


def test_token_ids_are_taken_as_they_are(prompts):
    assert tokens(prompts, "rows", token_ids=(7, 8, 9)) == (7, 8, 9)


def test_what_was_prepared_has_only_tokens_for_a_prompt(prompts):
    request = prompts.tokenized(GenerateRequest(model="m", messages=(Message(role="user", content="x"),)), None)
    assert request.token_ids
    assert request.messages is request.text is None


def test_what_ends_an_answer_in_the_template_ends_it_in_serving_too(tmp_path):
    """Many bases end a turn with another token than the one their files call the last."""
    other = "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + '<|endoftext|>' }}{% endfor %}"
    folder = tiny_tokenizer(
        tmp_path / "other", chat_template=other + "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    tokenizer = Tokenizer.load(folder)
    asked = GenerateRequest(model="m", messages=(Message(role="user", content="x"),))
    made = Prompts.load(folder).tokenized(asked, None)
    assert set(tokenizer.encode("<|endoftext|>")) <= set(made.sampling.stop_token_ids)
    ignoring = asked.model_copy(update={"sampling": SamplingParams(ignore_eos=True)})
    assert Prompts.load(folder).tokenized(ignoring, None).sampling.stop_token_ids == ()


@pytest.mark.parametrize("prompt", [{"text": ""}, {"token_ids": ()}, {"token_ids": (1, 99999)}, {"token_ids": (-1,)}])
def test_an_empty_prompt_and_unknown_tokens_are_refused(prompts, prompt):
    with pytest.raises(InvalidInput, match="token"):
        tokens(prompts, **prompt)


def test_without_a_chat_template_one_message_is_possible_for_a_model_tuned_on_prompts(tmp_path):
    folder = tiny_tokenizer(tmp_path / "plain", chat_template=None)
    prompts = Prompts.load(folder)
    hello = Message(role="user", content="hello")
    prompts.add_adapter("rows", tuned_on(tmp_path / "rows", "prompt"))
    assert tokens(prompts, "rows", messages=(hello,)) == tokens(prompts, "rows", text="hello")
    with pytest.raises(InvalidInput, match="chat template"):
        tokens(prompts, messages=(hello,))
    with pytest.raises(InvalidInput, match="chat template"):
        tokens(prompts, "rows", messages=(hello, hello))


def test_a_forgotten_adapter_has_no_form_left(prompts, tokenizer):
    prompts.remove_adapter("rows")
    assert tokenizer.decode(tokens(prompts, "rows", text="the rain")) == "the rain"


@pytest.mark.parametrize("text", ["", "{}", '{"prompt_format": "poem"}', "[]"])
def test_a_damaged_facts_file_is_told(prompts, tmp_path, text):
    (tmp_path / "rows" / FACTS_FILE).write_text(text)
    with pytest.raises(UnsupportedModel, match=FACTS_FILE):
        prompts.add_adapter("rows", tmp_path / "rows")


KNOWING = (
    "{% if tools %}<|system|>{% for tool in tools %}{{ tool | tojson }}{% endfor %}[TOOL_CALLS]<|end|>{% endif %}"
    "{% for m in messages %}<|{{ 'user' if m.role == 'tool' else m.role }}|>{{ m.content }}"
    "{% for call in m.tool_calls or [] %}{{ call.function | tojson }}{% endfor %}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
TOOLS = (Tool(name="add", description="Adds <|end|>."), Tool(name="look"))
CALLED = (
    Message(role="user", content="1 + 1"),
    Message(role="assistant", content="", tool_calls=(ToolCall(id="c", name="add", arguments='{"a": "<|end|>"}'),)),
    Message(role="tool", content="2", tool_call_id="c"),
)


def written(folder, prompts, **asked):
    made = tokens(prompts, messages=CALLED, **asked)
    return Tokenizer.load(folder).decode(made, skip_special_tokens=False), made


def test_tools_and_calls_reach_a_chat_template_that_knows_them(tmp_path):
    folder = tiny_tokenizer(tmp_path / "knowing", chat_template=KNOWING)
    text, made = written(folder, Prompts.load(folder), tools=TOOLS)
    assert text.startswith('<|system|>{"type": "function", "function": {"name": "add", "description": "Adds <|end|>."')
    assert text.endswith(
        '<|assistant|>{"name": "add", "arguments": {"a": "<|end|>"}}<|end|><|user|>2<|end|><|assistant|>'
    )
    # What somebody typed is letters: only the template's own marks are control tokens.
    assert made.count(Tokenizer.load(folder).eos_id) == 4


def test_a_chat_template_that_knows_no_tools_gets_them_in_plain_words(prompts, tmp_path, tokenizer):
    text, made = written(tmp_path / "base", prompts, tools=TOOLS)
    assert text.startswith("<|system|>You may call these tools")
    assert '<tool_call>\n{"name": "add", "arguments": {"a": "<|end|>"}}\n</tool_call><|end|><|user|>' in text
    assert "<tool_response>\n2\n</tool_response><|end|><|assistant|>" in text
    assert made.count(tokenizer.eos_id) == 4


def test_a_model_tuned_on_prompts_gets_tools_as_a_conversation(prompts):
    hello = (Message(role="user", content="hello"),)
    assert tokens(prompts, "rows", messages=hello, tools=TOOLS) == tokens(prompts, messages=hello, tools=TOOLS)


@pytest.mark.parametrize("template", [KNOWING, None])
def test_an_answer_that_must_call_is_held_to_the_form_that_the_model_knows(tmp_path, prompts, template):
    if template:
        prompts = Prompts.load(tiny_tokenizer(tmp_path / "knowing", chat_template=template))
    asked = {"model": "m", "messages": CALLED, "tools": TOOLS}
    one = prompts.tokenized(GenerateRequest(**asked, must_call=("look",), parallel_tool_calls=False), None)
    assert one.sampling.grammar == call_grammar(FORMS[1] if template else TAGGED, TOOLS[1:], most=1)
    free = prompts.tokenized(GenerateRequest(**asked), None)
    assert free.sampling.grammar is None
