import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from pocket.mixture import Part, answer_mask, build
from pocket.prose import Passages, documents, novel_files, read_novel
from pocket.tasks import THEMES, extraction, judgement
from pocket.tasks.domains import RECORDS, REQUESTS
from pocket.tasks.requests import random_request
from pocket.tasks.slots import SLOTS
from pocket.tokenizer import CHAT_TEMPLATE, SPECIAL_TOKENS, VOCABULARY_SIZE, render, spaced_pairs

TOKENIZER_FOLDER = Path(__file__).parents[3] / "pocket" / "tokenizer"
TICKET_KEYS = {"category", "priority", "product", "order_id", "action"}


def made_up_novel(seed: int, num_paragraphs: int = 60) -> list[str]:
    """Paragraphs of random words that look like prose."""
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdeilmnorst", k=rng.randint(3, 9))) for _ in range(300)]
    sentences = (" ".join(rng.choices(words, k=rng.randint(7, 14))).capitalize() + "." for _ in range(9999))
    return [" ".join(next(sentences) for _ in range(4)) for _ in range(num_paragraphs)]


@pytest.fixture(scope="module")
def source() -> Passages:
    return Passages([made_up_novel(1)], random.Random(1))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(TOKENIZER_FOLDER / "tokenizer.json"))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Nine novels, of which one is held out."""
    for number in range(9):
        (tmp_path / f"novel{number}.txt").write_text("CHAPTER I\n\n" + "\n\n".join(made_up_novel(number)))
    return tmp_path


def rows_of(theme: str, source: Passages, seed: int = 5, count: int = 300):
    rng = random.Random(seed)
    return [THEMES[theme].row(rng, source) for _ in range(count)]


def leaves(value: object) -> list[str]:
    """All strings of a JSON value."""
    if isinstance(value, dict):
        return [leaf for part in value.values() for leaf in leaves(part)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("theme", THEMES)
def test_every_theme_makes_whole_conversations(theme, source):
    for row in rows_of(theme, source):
        roles = [turn["role"] for turn in row if turn["role"] != "system"]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        assert "system" not in [turn["role"] for turn in row[1:]]
        assert all(turn["content"].strip() for turn in row)
        assert not any(token in turn["content"] for token in SPECIAL_TOKENS for turn in row)


@pytest.mark.parametrize("theme", THEMES)
def test_a_theme_is_a_function_of_its_seed(theme, source):
    assert rows_of(theme, source, seed=9) == rows_of(theme, source, seed=9)
    assert rows_of(theme, source, seed=9) != rows_of(theme, source, seed=10)


@pytest.mark.parametrize("intent", [*REQUESTS, *RECORDS], ids=lambda intent: intent.name)
def test_slots_are_spans_of_what_was_said(intent, source):
    rng = random.Random(3)
    for _ in range(50):
        request = random_request(rng, source, intent)
        assert request.slots
        assert all(value in request.text for value in request.slots.values())
        assert not any(mark in request.text for mark in ("(|", "|)", "[]"))


def test_templates_name_only_known_slots():
    templates = " ".join(template for intent in [*REQUESTS, *RECORDS] for template in intent.templates)
    named = {part.split("]")[0] for part in templates.split("[")[1:]}
    assert named <= set(SLOTS)


@pytest.mark.parametrize("theme", [extraction, judgement], ids=["extraction", "judgement"])
def test_objects_parse_and_hold_what_the_prompt_says(theme, source):
    rng = random.Random(8)
    for _ in range(500):
        *prompt, answer = theme.row(rng, source)
        if not answer["content"].startswith("{"):
            assert answer["content"] in prompt[-1]["content"]
            continue
        found = json.loads(answer["content"])
        assert json.dumps(found, ensure_ascii=False) == answer["content"]
        said = "\n".join(turn["content"] for turn in prompt)
        label = found.get("intent")
        assert all(leaf in said or leaf == label or not leaf for leaf in leaves(found))


def test_the_quickstart_ticket_is_not_among_the_tasks(source):
    for theme in THEMES:
        for row in rows_of(theme, source):
            assert not all(f'"{key}"' in row[-1]["content"] for key in TICKET_KEYS)


def test_prose_is_clean_and_split_by_novel(corpus):
    training, held_out = novel_files(corpus, held_out=False), novel_files(corpus, held_out=True)
    assert (len(training), len(held_out)) == (8, 1)
    novels = [read_novel(file) for file in training]
    assert not any(paragraph.startswith("CHAPTER") for novel in novels for paragraph in novel)
    windows = documents(novels, random.Random(2))
    assert all(next(windows) for _ in range(50))


def test_the_vocabulary_is_full_and_begins_with_the_special_tokens(tokenizer):
    assert tokenizer.get_vocab_size() == VOCABULARY_SIZE
    assert [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS] == [0, 1, 2, 3, 4]


@given(st.text())
def test_any_text_survives_the_tokenizer(text):
    tokenizer = Tokenizer.from_file(str(TOKENIZER_FOLDER / "tokenizer.json")) if not _CACHE else _CACHE[0]
    _CACHE[:] = [tokenizer]
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


_CACHE: list[Tokenizer] = []


def test_a_word_splits_alike_behind_a_space_and_without(tokenizer):
    spaced = dict(spaced_pairs(tokenizer))
    for word in ("Korvath", "umbrella", "Zhuthskingst", "café"):
        first, *rest = tokenizer.encode(word).ids
        after_space = tokenizer.encode(f"a {word}").ids[1:]
        assert after_space in ([spaced.get(first), *rest], [tokenizer.token_to_id("Ġ"), first, *rest])


def test_the_chat_template_renders_as_the_mixture_does():
    transformers = pytest.importorskip("transformers")
    loaded = transformers.AutoTokenizer.from_pretrained(TOKENIZER_FOLDER)
    row = [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}, {"role": "assistant", "content": "c"}]
    assert loaded.chat_template == CHAT_TEMPLATE
    assert loaded.apply_chat_template(row, tokenize=False) == render(row)
    asked = loaded.apply_chat_template(row[:2], tokenize=False, add_generation_prompt=True)
    assert asked == "<|system|>a<|end|><|user|>b<|end|><|assistant|>"


def test_answers_and_their_end_are_scored():
    user, assistant, end = 2, 3, 4
    ids = [user, 10, 11, end, assistant, 20, 21, end, user, 12, end, assistant, 22, end]
    assert answer_mask(ids, assistant, end).tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 1, 1]


def test_a_part_is_the_same_twice_and_fits_the_context(corpus):
    part = Part(corpus, TOKENIZER_FOLDER, seed=4, num_prose=20_000, num_tasks=30_000)
    once, again = build(part), build(part)
    assert np.array_equal(np.concatenate(once.tokens), np.concatenate(again.tokens))
    assert all(len(ids) == len(mask) <= 1024 for ids, mask in zip(once.tokens, once.scored, strict=True))
    prose = [mask for ids, mask in zip(once.tokens, once.scored, strict=True) if ids[-1] == 0]
    assert len(prose) == once.rows["prose"]
    assert all(mask.all() for mask in prose)
    whole = sum(bool(mask.all()) for mask in once.scored) - len(prose)
    assert 0.15 < whole / (len(once.scored) - len(prose)) < 0.35
