"""Virtual tokens that are computed once for a batch are what a copy of them before each of its documents would be."""

import pytest
import torch

from fettle.data.choice_rows import pack_choices
from fettle.models.attention import PackedAttention
from fettle.models.loading import load_decoder
from fettle.models.virtual_tokens import made_of
from fettle.testing.models import tiny_model
from fettle.tuning.forward import hidden
from tests.unit.models.test_prefix_attention import ROWS, repeated

COUNT = 4


@pytest.fixture(scope="module", params=["plain", "few key/value heads", "sliding window"])
def decoder(request, tmp_path_factory):
    changes = {"plain": {}, "few key/value heads": {"num_key_value_heads": 1}, "sliding window": {"sliding_window": 6}}
    family = "mistral" if request.param == "sliding window" else "llama"
    folder = tiny_model(tmp_path_factory.mktemp("model"), family=family, **changes[request.param])
    return load_decoder(folder, dtype=torch.float64)


@pytest.fixture
def embeddings(decoder):
    generator = torch.Generator().manual_seed(3)
    shape = COUNT, decoder.config.hidden_size
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


def behind_copies(decoder, embeddings, batch):
    """The states of a packed batch's scored places, each document computed alone behind the embeddings."""
    states = []
    for document in torch.from_numpy(batch.tokens).split(batch.lengths):
        stream = torch.cat([embeddings, decoder.model.embed_tokens(document)])
        attention = PackedAttention([len(stream)], decoder.config.windows)
        states.append(decoder.above(0, stream, torch.arange(len(stream)), attention)[COUNT:])
    return torch.cat(states)[torch.from_numpy(batch.at)]


def with_gradients(states, embeddings):
    mix = torch.randn(states.shape, generator=torch.Generator().manual_seed(1), dtype=states.dtype)
    return states, torch.autograd.grad((states * mix).sum(), embeddings)[0]


@pytest.mark.parametrize("layout", ["packed", "answers behind one prompt"])
def test_one_set_for_a_batch_gives_the_states_and_gradients_of_copies(layout, decoder, embeddings):
    copies = repeated(ROWS)
    batch = copies if layout == "packed" else pack_choices(ROWS)
    states = hidden(decoder, batch, made_of(decoder, embeddings))[torch.from_numpy(batch.at)]

    found, gradients = with_gradients(states, embeddings)
    expected, expected_gradients = with_gradients(behind_copies(decoder, embeddings, copies), embeddings)

    assert len(torch.unique(torch.tensor(copies.lengths))) > 1
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(gradients, expected_gradients, rtol=0, atol=1e-10)


def test_virtual_tokens_of_real_ones_are_a_prompt_before_every_document(decoder):
    prompt = [40, 41, 42]
    virtual = made_of(decoder, decoder.model.embed_tokens(torch.tensor(prompt)))
    with_prompt = repeated([row._replace(prefix=prompt + row.prefix) for row in ROWS])
    batch = repeated(ROWS)
    torch.testing.assert_close(
        hidden(decoder, batch, virtual)[torch.from_numpy(batch.at)],
        hidden(decoder, with_prompt)[torch.from_numpy(with_prompt.at)],
        rtol=0,
        atol=1e-10,
    )
