"""Text comes out whole, whatever the tokens' borders are."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fettle.models.tokenizer import Tokenizer
from fettle.serving.detokenize import Detokenizer, StopFinder
from fettle.testing.tokenizers import tiny_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Tokenizer:
    return Tokenizer.load(tiny_tokenizer(tmp_path_factory.mktemp("tokenizer")))


def pieces_of(tokenizer, ids):
    detokenizer = Detokenizer(tokenizer)
    return [*(detokenizer.add(token) for token in ids), detokenizer.rest()]


@given(st.text(max_size=60).filter(lambda text: "<|" not in text))  # the text of a control token is that token
@example("naïve 日本 🙂🙃 the end")
def test_any_text_comes_out_again_and_no_character_in_parts(tokenizer, text):
    pieces = pieces_of(tokenizer, tokenizer.encode(text))
    assert "".join(pieces) == text
    if "\ufffd" not in text:
        assert not any("\ufffd" in piece for piece in pieces)


@given(st.lists(st.integers(0, 268), max_size=120))
@example([230] * 70)
def test_any_tokens_give_the_text_of_them_all(tokenizer, ids):
    assert "".join(pieces_of(tokenizer, ids)) == tokenizer.decode(ids)


def test_a_character_is_told_with_its_last_byte(tokenizer):
    ids = tokenizer.encode("🙂a")
    assert pieces_of(tokenizer, ids) == ["", "", "", "🙂", "a", ""]


def test_bytes_that_are_no_text_are_not_held_for_ever(tokenizer):
    stray = tokenizer.encode("é")[1]
    pieces = pieces_of(tokenizer, [stray] * 100)
    assert "".join(pieces[:-1]).count("\ufffd") > 80


def test_control_tokens_are_not_text(tokenizer):
    ids = [*tokenizer.encode("hi"), 4, 3, *tokenizer.encode(" the")]
    assert "".join(pieces_of(tokenizer, ids)) == "hi the"


class SpacedWords:
    """A tokenizer that, as some do, leaves out the space before the first word."""

    WORDS = ("▁a", "▁bc", "d", "▁", "e▁")

    def decode(self, ids):
        return "".join(self.WORDS[token] for token in ids).replace("▁", " ").removeprefix(" ")


@given(st.lists(st.integers(0, 2), max_size=20))
def test_spaces_that_depend_on_the_token_before_are_kept(ids):
    words = SpacedWords()
    assert "".join(pieces_of(words, ids)) == words.decode(ids)


def told(finder, pieces):
    shown = []
    for piece in pieces:
        shown.append(finder.add(piece))
        if finder.is_found:
            return shown
    return [*shown, finder.rest()]


def cut(text, stops):
    """The text before the stop string that is complete first."""
    for end in range(len(text) + 1):
        starts = [end - len(stop) for stop in stops if text[:end].endswith(stop)]
        if starts:
            return text[: min(starts)]
    return text


@given(
    pieces=st.lists(st.text("abc", max_size=4), max_size=12),
    stops=st.lists(st.text("abc", min_size=1, max_size=5), min_size=1, max_size=3),
)
@example(pieces=["a", "b", "c"], stops=["abc"])
@example(pieces=["ab", "ab", "c"], stops=["abc"])
@example(pieces=["abcX"], stops=["abcX", "b"])
def test_a_stop_string_cuts_the_text_wherever_its_pieces_begin(pieces, stops):
    finder = StopFinder(stops)
    shown = "".join(told(finder, pieces))
    text = "".join(pieces)
    assert shown == cut(text, stops)
    assert finder.is_found == any(stop in text for stop in stops)


@given(
    pieces=st.lists(st.text("abc", max_size=4), max_size=12),
    stops=st.lists(st.text("abc", min_size=1, max_size=5), min_size=1, max_size=3),
)
def test_text_is_held_only_as_long_as_a_stop_string_may_come(pieces, stops):
    finder, given_text, shown = StopFinder(stops), "", ""
    for piece in pieces:
        given_text, shown = given_text + piece, shown + finder.add(piece)
        if finder.is_found:
            return
        held = given_text[len(shown) :]
        assert not held or any(stop.startswith(held) for stop in stops)
