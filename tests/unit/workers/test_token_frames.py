"""What workers say of their models' tokens, over the link."""

import asyncio

import pytest

from fettle.errors import InvalidInput
from fettle.models.tokenizer import Tokenizer
from fettle.serving.encoder_engine import EncoderEngine
from fettle.testing.counting import CountingEngine
from fettle.testing.encoders import tiny_encoder
from fettle.testing.tokenizers import tiny_tokenizer
from fettle.types.generation import GenerateRequest, Message, Tool
from fettle.types.tokens import DetokenizeRequest, TokenizeRequest
from fettle.workers.encoder_engine import EncoderWorker, TextTokens
from fettle.workers.engine import EngineWorker
from fettle.workers.prompts import FACTS_FILE, Prompts
from tests.unit.workers.link import serving

TURNS = (Message(role="user", content="the rain <|end|>"),)


def ask(make, *requests, adapter=None):
    """The answers of a worker, refusals among them."""

    async def test():
        async with serving(make) as client:
            asked = [
                client.tokenize(one, adapter) if isinstance(one, TokenizeRequest) else client.detokenize(one)
                for one in requests
            ]
            return await asyncio.gather(*asked, return_exceptions=True)

    return asyncio.run(test())


def prompt(**fields):
    return TokenizeRequest(model="m", **fields)


def tokens(*ids):
    return DetokenizeRequest(model="m", token_ids=ids)


@pytest.fixture
def prompts(tmp_path):
    prompts = Prompts.load(tiny_tokenizer(tmp_path / "base"))
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / FACTS_FILE).write_text('{"prompt_format": "prompt"}')
    prompts.add_adapter("rows", folder)
    return prompts


@pytest.fixture
def decoder(prompts):
    return lambda link: EngineWorker(CountingEngine(), prompts, link)


@pytest.mark.parametrize("adapter", [None, "rows"])
@pytest.mark.parametrize(
    "fields", [{"text": "the rain"}, {"messages": TURNS}, {"messages": TURNS, "tools": (Tool(name="look"),)}]
)
def test_a_prompt_has_the_tokens_that_an_answer_to_it_has(decoder, prompts, adapter, fields):
    (found,) = ask(decoder, prompt(**fields), adapter=adapter)
    assert found.token_ids == prompts.tokenized(GenerateRequest(model="m", **fields), adapter).token_ids
    assert found.max_length == CountingEngine().max_length


def test_what_was_made_tokens_is_the_same_text_again(decoder):
    (bare, chat) = ask(decoder, prompt(text="the rain", is_bare=True), prompt(messages=TURNS))
    text, whole = ask(decoder, tokens(*bare.token_ids), tokens(*chat.token_ids))
    assert text == "".join(bare.texts) == "the rain"
    assert "the rain <|end|>" in whole
    assert whole != "the rain <|end|>"


def test_nothing_is_put_around_a_bare_text(decoder, prompts):
    whole, bare = ask(decoder, prompt(text="the rain"), prompt(text="the rain", is_bare=True), adapter="rows")
    assert len(bare.token_ids) < len(whole.token_ids)


def test_tokens_that_the_model_does_not_know_are_refused(decoder, prompts):
    fine, refused = ask(decoder, tokens(5), tokens(5, prompts.vocab_size, -1))
    assert isinstance(fine, str)
    assert isinstance(refused, InvalidInput)
    assert (
        str(refused) == f"the model has no tokens -1, {prompts.vocab_size}; its ids are 0 to {prompts.vocab_size - 1}"
    )


def test_a_sentence_encoder_reads_texts_only(tmp_path):
    folder = tiny_encoder(tmp_path / "base")
    tokenizer, engine = Tokenizer.load(folder), EncoderEngine.load(folder)

    def make(link):
        return EncoderWorker(engine, TextTokens(tokenizer), link)

    whole, bare, chat = ask(make, prompt(text="free"), prompt(text="free", is_bare=True), prompt(messages=TURNS))
    assert list(whole.token_ids) == tokenizer.encode("free", add_special_tokens=True)
    assert list(bare.token_ids) == tokenizer.encode("free")
    assert whole.max_length == engine.context
    assert isinstance(chat, InvalidInput)
    # The tiny tokenizer does not join the pieces of a word.
    (text,) = ask(make, tokens(*bare.token_ids))
    assert text.replace(" ##", "") == "free"
