import random
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from pocket.tasks import gazetteer, vocabulary

TOKENIZER = Tokenizer.from_file(str(Path(__file__).parents[3] / "pocket" / "tokenizer" / "tokenizer.json"))


def test_words_ask_for_every_plain_token():
    rng = random.Random(1)
    words = [vocabulary.word(rng) for _ in range(60_000)]
    encodings = TOKENIZER.encode_batch([" " + word for word in words] + ['"' + word for word in words])
    seen = {token for encoding in encodings for token in encoding.tokens}
    plain = {token for token in TOKENIZER.get_vocab() if token.isascii() and token.isalnum()}
    spaced = {
        token
        for token in TOKENIZER.get_vocab()
        if token.startswith("Ġ") and token[1:].isascii() and token[1:].isalnum()
    }
    assert len(plain - seen) <= 0.02 * len(plain)
    assert len(spaced - seen) <= 0.01 * len(spaced)


def test_phrases_have_the_words_that_were_asked_for():
    rng = random.Random(2)
    assert {len(vocabulary.phrase(rng, 2, 4).split(" ")) for _ in range(200)} == {2, 3, 4}


@pytest.mark.parametrize("draw", [gazetteer.given_name, gazetteer.family_name, gazetteer.city, gazetteer.country])
def test_names_are_many_and_depend_on_the_seed_alone(draw):
    names = [draw(random.Random(seed)) for seed in range(400)]
    assert names == [draw(random.Random(seed)) for seed in range(400)]
    assert len(set(names)) > 150
    assert all(name.strip() == name and name for name in names)


def test_states_come_by_name_and_by_code():
    rng = random.Random(3)
    states = {gazetteer.state(rng) for _ in range(2000)}
    assert {"Ohio", "OH", "Wyoming", "WY"} <= states
    assert len(states) == 2 * 51
