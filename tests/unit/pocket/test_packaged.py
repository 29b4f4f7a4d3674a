"""The packaged base model is what its card says, and loads in `transformers` too."""

from pathlib import Path

import pytest
import torch
import transformers

import fettle.registry
from fettle.models.attention import PackedAttention
from fettle.models.loading import load_decoder
from fettle.models.tokenizer import Tokenizer

POCKET = Path(fettle.registry.__file__).parent / "packaged" / "pocket"
MESSAGES = [{"role": "user", "content": "Repeat after me: a small boat"}]


@pytest.fixture(scope="module")
def decoder():
    return load_decoder(POCKET)


def test_it_is_small_enough_to_be_committed(decoder):
    assert sum(path.stat().st_size for path in POCKET.iterdir()) <= 32 * 2**20
    assert 8_000_000 <= decoder.config.num_parameters <= 16_000_000


def test_transformers_computes_the_same(decoder):
    model = transformers.AutoModelForCausalLM.from_pretrained(POCKET, dtype=torch.float32)
    tokens = torch.tensor(Tokenizer.load(POCKET).encode("It was a dark night, and the wind"))
    with torch.no_grad():
        ours = decoder(tokens, torch.arange(len(tokens)), PackedAttention([len(tokens)]))
        assert (model(input_ids=tokens[None]).logits[0] - ours).abs().max() < 1e-3


def test_transformers_makes_the_same_prompts():
    theirs = transformers.AutoTokenizer.from_pretrained(POCKET)
    ours = Tokenizer.load(POCKET)
    text = theirs.apply_chat_template(MESSAGES, tokenize=False, add_generation_prompt=True)
    assert ours.render(MESSAGES, add_generation_prompt=True) == text
    assert ours.encode(text) == theirs(text, add_special_tokens=False)["input_ids"]
    assert ours.eos_ids == (theirs.eos_token_id,)
