"""The tokenizer reads what `transformers` reads, and renders and encodes what it does."""

import json
import re
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import TemplateError
from tokenizers import AddedToken, decoders, models, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend

from fettle.data.messages import Turn
from fettle.data.template import Template
from fettle.errors import InvalidInput, UnsupportedModel
from fettle.models.chat_template import knows_tools
from fettle.models.tokenizer import Tokenizer
from fettle.testing.tokenizers import CHAT_TEMPLATE, END, END_OF_TEXT, SPECIAL_TOKENS, tiny_tokenizer

# In the manner of well-known models: each uses other parts of the template language.
TEMPLATES = {
    "pocket": CHAT_TEMPLATE,
    "chatml": """
        {%- if messages[0]['role'] == 'system' %}
            {{- '<|system|>\\n' + messages[0]['content'] + '<|end|>\\n' }}
        {%- else %}
            {{- '<|system|>\\nYou are helpful.<|end|>\\n' }}
        {%- endif %}
        {%- for message in messages %}
            {%- if (message.role == "user") or (message.role == "system" and not loop.first)
                or (message.role == "assistant" and not message.tool_calls) %}
                {{- '<|' + message.role + '|>\\n' + message.content + '<|end|>' + '\\n' }}
            {%- endif %}
        {%- endfor %}
        {%- if add_generation_prompt %}
            {{- '<|assistant|>\\n' }}
        {%- endif %}
    """,
    "llama 3": """
{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|system|>\\n\\nToday: " + date_string + "\\n\\n" + system_message + "<|end|>" }}
{%- for message in messages %}
    {{- '<|' + message['role'] + '|>\\n\\n'+ message['content'] | trim + '<|end|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|assistant|>\\n\\n' }}
{%- endif %}
""",
    "mistral": (
        "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
        "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
        "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}"
        "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
    ),
    "qwen 3": """
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role != "assistant" %}
        {{- '<|' + message.role + '|>\\n' + message.content + '<|end|>' + '\\n' }}
    {%- else %}
        {%- set reasoning_content = '' %}
        {%- set content = message.content %}
        {%- if '</think>' in content %}
            {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index and (loop.last or (not loop.last and reasoning_content)) %}
            {{- '<|assistant|>\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content }}
        {%- else %}
            {{- '<|assistant|>\\n' + content }}
        {%- endif %}
        {{- '<|end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|assistant|>\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
""",
    "blocks on lines of their own": """
    {% for message in messages %}
      {% if message.role == 'system' %}{% continue %}{% endif %}
      {% generation %}
{{ message.role | upper }}: {{ message.content }}
      {% endgeneration %}
      {% if loop.index > 3 %}{% break %}{% endif %}
    {% endfor %}
  {% if add_generation_prompt %}
ASSISTANT:
  {% endif %}
""",
    "json and macros": (
        "{% macro say(m) %}{{ '<|' ~ m.role ~ '|>' }}{{ m | tojson }}{{ m.content | tojson(indent=2) }}{{ '<|end|>' }}"
        "{% endmacro %}{% for m in messages %}{{ say(m) }}{% endfor %}{{ dict(a=1).items() | list }}"
        "{% if tools %}tools{% endif %}{% if documents is none %}none{% endif %}"
    ),
}
CONVERSATIONS = [
    [("user", "Hello <b>you</b> & 'them' \u00e9\u4e16")],
    [("user", "  a\n"), ("assistant", "b"), ("user", "c\n\n")],
    [("user", "a"), ("assistant", "<think>\nwhy\n</think>\n\nb"), ("user", "c"), ("assistant", "<think>x</think>d")],
    [("system", " s "), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")],
]


def as_messages(turns) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in turns]


def theirs(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import PreTrainedTokenizerFast

        return PreTrainedTokenizerFast.from_pretrained(str(folder))


def rendered_or_refusal(reference, messages, generate) -> str | TemplateError:
    try:
        return str(reference.apply_chat_template(messages, tokenize=False, add_generation_prompt=generate))
    except TemplateError as refusal:
        return refusal


def configure(folder, **settings: object):
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    return folder


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Tokenizer:
    return Tokenizer.load(tiny_tokenizer(tmp_path_factory.mktemp("tokenizer")))


@pytest.mark.parametrize("generate", [False, True])
@pytest.mark.parametrize("name", TEMPLATES)
def test_conversations_become_the_text_and_the_tokens_that_transformers_makes(tmp_path, name, generate):
    folder = configure(tiny_tokenizer(tmp_path, chat_template=TEMPLATES[name]), bos_token=END_OF_TEXT)
    ours, reference = Tokenizer.load(folder), theirs(folder)
    compared = 0
    for turns in CONVERSATIONS:
        messages = as_messages(turns)
        expected = rendered_or_refusal(reference, messages, generate)
        if isinstance(expected, TemplateError):
            with pytest.raises(InvalidInput, match=re.escape(str(expected))):
                ours.render(messages, add_generation_prompt=generate)
            continue
        compared += 1
        assert ours.render(messages, add_generation_prompt=generate) == expected
        if generate:
            tokens = reference.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
            assert Template(ours).prompt([Turn(role, content) for role, content in turns]) == tokens
    assert compared >= 3


@pytest.mark.parametrize("text", ["", "the other\n\nand", f"a{END}b <|end", "\u4e16\U0001f600 \x00"])
def test_texts_become_the_tokens_that_transformers_makes(tmp_path, text):
    folder = tiny_tokenizer(tmp_path)
    assert Tokenizer.load(folder).encode(text) == theirs(folder)(text, add_special_tokens=False)["input_ids"]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_encoded_is_decoded(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text), skip_special_tokens=False) == text
    assert "".join(map(tokenizer.token_text, tokenizer.encode(END))) == END


def test_control_tokens_are_left_out_of_texts_unless_asked_for(tokenizer):
    ids = tokenizer.encode(f"a{END}")
    assert tokenizer.decode(ids) == "a"
    assert tokenizer.decode(ids, skip_special_tokens=False) == f"a{END}"


def test_the_named_tokens_are_known(tmp_path):
    folder = configure(tiny_tokenizer(tmp_path), bos_token={"content": END_OF_TEXT, "lstrip": False})
    found = Tokenizer.load(folder)
    assert (found.bos_id, found.eos_id, found.pad_id) == (0, 4, 0)
    assert found.special_tokens == {token: number for number, token in enumerate(SPECIAL_TOKENS)}
    assert found.vocab_size == 269
    assert found.start_ids == ()


def test_every_token_that_the_models_files_say_ends_an_answer_does(tmp_path):
    folder = tiny_tokenizer(tmp_path)
    (folder / "config.json").write_text('{"eos_token_id": 0}')
    (folder / "generation_config.json").write_text('{"eos_token_id": [3, 4]}')
    assert Tokenizer.load(folder).eos_ids == (4, 3, 0)


def test_what_the_tokenizer_puts_before_a_text_is_found(tmp_path):
    folder = tiny_tokenizer(tmp_path, chat_template=None)
    backend = Backend.from_file(str(folder / "tokenizer.json"))
    backend.post_processor = processors.TemplateProcessing(
        single=f"{END_OF_TEXT} $A {END}", special_tokens=[(END_OF_TEXT, 0), (END, 4)]
    )
    backend.enable_truncation(3)
    backend.enable_padding(length=9)
    backend.save(str(folder / "tokenizer.json"))
    found = Tokenizer.load(folder)
    assert found.start_ids == (0,)
    assert Template(found).text_prompt("abcd") == [0, *found.encode("abcd")]
    assert len(found.encode("abcd")) == 4


def test_of_several_templates_the_default_is_taken_and_a_file_of_its_own_before_it(tmp_path):
    named = [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]
    folder = configure(tiny_tokenizer(tmp_path), chat_template=named)
    assert Tokenizer.load(folder).chat_template == "d"
    (folder / "chat_template.jinja").write_text("from the file")
    assert Tokenizer.load(folder).chat_template == "from the file"


def test_without_a_chat_template_nothing_is_rendered(tmp_path):
    found = Tokenizer.load(tiny_tokenizer(tmp_path, chat_template=None))
    assert not found.has_template
    with pytest.raises(UnsupportedModel, match="no chat template"):
        found.render([])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("tokenizer.json", None, "does not exist"),
        ("tokenizer.json", "{", "cannot be read"),
        ("tokenizer_config.json", "{", "cannot be read"),
        ("tokenizer_config.json", "[]", "JSON object"),
        ("chat_template.jinja", "{% for %}", "line 1"),
    ],
)
def test_a_damaged_folder_is_named_with_its_file(tmp_path, name, content, said):
    folder = tiny_tokenizer(tmp_path)
    (folder / name).unlink(missing_ok=True)
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(UnsupportedModel, match=said):
        Tokenizer.load(folder)


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages.__class__.__mro__ }}",
        "{{ ''.__class__ }}",
        "{{ messages.append(1) }}",
        "{% set ns = namespace() %}{% set ns.__class__ = 1 %}",
        "{{ namespace(__init__=1) }}",
        "{{ raise_exception.__globals__ }}{{ raise_exception.__globals__['json'] }}",
        "{{ range(99999999) | list }}",
        "{{ messages[5].role }}",
    ],
)
def test_a_template_cannot_leave_its_sandbox_or_crash(tmp_path, template):
    tokenizer = Tokenizer.load(tiny_tokenizer(tmp_path, chat_template=template))
    try:
        rendered = tokenizer.render(as_messages([("user", "a")]))
    except (InvalidInput, UnsupportedModel):
        return
    assert rendered == ""


SENTENCES = st.text("ab \n", min_size=1, max_size=12)


def sentence_piece(folder):
    """A tokenizer that marks the beginning of words, and of a text, as SentencePiece does."""
    pieces = [
        "<unk>",
        END,
        *(f"<0x{byte:02X}>" for byte in range(256)),
        "\u2581",
        "a",
        "b",
        "\u2581a",
        "ab",
        "\u2581ab",
    ]
    merges = [("\u2581", "a"), ("a", "b"), ("\u2581a", "b")]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    backend = Backend(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    backend.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.add_special_tokens([AddedToken(END, special=True, normalized=False)])
    folder.mkdir(exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": END}))
    return folder


@pytest.fixture(scope="module")
def sentences(tmp_path_factory) -> Tokenizer:
    return Tokenizer.load(sentence_piece(tmp_path_factory.mktemp("pieces")))


def test_only_the_beginning_of_a_text_is_marked_as_one(sentences):
    assert sentences.encode("ab") == [sentences.token_id("\u2581ab")]
    assert sentences.encode_after("ab") == [sentences.token_id("ab")]
    assert sentences.encode_after(" ab") == [sentences.token_id("\u2581ab")]


@settings(max_examples=60)
@given(before=SENTENCES.filter(lambda text: text[0] != " "), after=SENTENCES)  # the first space is the mark itself
def test_parts_of_a_text_decode_to_the_whole(sentences, before, after):
    ids = sentences.encode(before) + sentences.encode_after(after)
    assert sentences.decode(ids) == before + after


def test_cut_conversations_have_the_tokens_of_the_whole_text(tmp_path):
    template = (
        "{% for m in messages %}{{ ('[ab] ' + m.content if m.role == 'user' else m.content + eos_token) }}{% endfor %}"
    )
    tokenizer = Tokenizer.load(configure(sentence_piece(tmp_path / "pieces"), chat_template=template))
    turns = [Turn("user", "ab a"), Turn("assistant", " ab b", is_learned=True), Turn("user", "b ab")]
    whole = tokenizer.render([{"role": turn.role, "content": turn.content} for turn in turns])
    assert Template(tokenizer).prompt(turns) == tokenizer.encode(whole)


def test_tools_are_rendered_as_transformers_renders_them(tmp_path):
    template = "{{ tools | tojson }}{% for m in messages %}{{ m | tojson }}{% endfor %}"
    folder = tiny_tokenizer(tmp_path, chat_template=template)
    tools = [
        {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": {"type": "object"}}}
    ]
    calls = [{"id": "c", "type": "function", "function": {"name": "add", "arguments": {"a": 1}}}]
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "", "tool_calls": calls}]
    expected = theirs(folder).apply_chat_template(messages, tools=tools, tokenize=False)
    assert Tokenizer.load(folder).render(messages, tools=tools) == expected


@pytest.mark.parametrize(
    ("template", "is_known"),
    [
        ("{{ tools }}", True),
        ("{%- if not tools is defined %}{%- set tools = none %}{%- endif %}{% if tools %}a{% endif %}", True),
        ("{% for m in messages %}{{ m.tools }} tools {{ 'tools' }}{% endfor %}", False),
    ],
)
def test_a_template_knows_tools_if_it_looks_at_them(template, is_known):
    assert knows_tools(template) == is_known
