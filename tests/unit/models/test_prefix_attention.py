"""A prompt that is computed once for all its answers gives what a copy of it for each would give."""

import pytest
import torch

from fettle.data.choice_rows import Alternatives, pack_choices
from fettle.data.packing import pack
from fettle.data.template import Encoded
from fettle.models.attention import PackedAttention
from fettle.models.loading import load_decoder
from fettle.models.prefix_attention import SharedPrefixAttention
from fettle.testing.models import tiny_model

ROWS = [
    Alternatives([5, 6, 7, 8, 9, 10, 11], [[20, 21], [22], [23, 24, 25, 26, 27]]),
    Alternatives([12], [[30, 31, 32]]),
    Alternatives([5, 6, 7, 8, 9, 10], [[20, 21], [28, 29]]),
]


def repeated(rows):
    """Every answer behind its own copy of the prefix."""
    return pack(
        [
            Encoded(row.prefix + answer, [False] * len(row.prefix) + [True] * len(answer))
            for row in rows
            for answer in row.answers
        ]
    )


def states(decoder, batch, attention):
    tokens, positions, at = (torch.from_numpy(x) for x in (batch.tokens, batch.positions, batch.at))
    return decoder.hidden(tokens, positions, attention)[at]


@pytest.fixture(params=["plain", "few key/value heads", "sliding window"])
def decoder(request, tmp_path):
    changes = {"plain": {}, "few key/value heads": {"num_key_value_heads": 1}, "sliding window": {"sliding_window": 3}}
    family = "mistral" if request.param == "sliding window" else "llama"
    return load_decoder(tiny_model(tmp_path, family=family, **changes[request.param]), dtype=torch.float64)


def test_shared_prefixes_give_the_states_and_gradients_of_repeated_ones(decoder):
    weight = decoder.model.layers[0].self_attn.k_proj.weight.requires_grad_()
    shared, copies = pack_choices(ROWS), repeated(ROWS)
    windows = decoder.config.windows
    found, gradients = [], []
    for batch, attention in (
        (shared, SharedPrefixAttention(shared.prefixes, shared.answers, windows)),
        (copies, PackedAttention(copies.lengths, windows)),
    ):
        out = states(decoder, batch, attention)
        mix = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=out.dtype)
        gradients.append(torch.autograd.grad((out * mix).sum(), weight)[0])
        found.append(out)
    assert len(shared.tokens) < len(copies.tokens)
    assert (shared.targets == copies.targets).all()
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-10)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=1e-10)


def test_rows_of_one_answer_are_plain_documents(decoder):
    rows = [row._replace(answers=row.answers[:1]) for row in ROWS]
    shared, plain = pack_choices(rows), repeated(rows)
    assert (shared.tokens == plain.tokens).all()
    found, expected = (
        states(decoder, shared, SharedPrefixAttention(shared.prefixes, shared.answers, decoder.config.windows)),
        states(decoder, plain, PackedAttention(plain.lengths, decoder.config.windows)),
    )
    assert torch.equal(found, expected)


def test_an_answer_does_not_see_another(decoder):
    changed = [ROWS[0]._replace(answers=[[40, 41], *ROWS[0].answers[1:]]), *ROWS[1:]]
    before, after = (
        states(decoder, batch, SharedPrefixAttention(batch.prefixes, batch.answers, decoder.config.windows))
        for batch in (pack_choices(ROWS), pack_choices(changed))
    )
    assert torch.equal(before[2:], after[2:])
    assert not torch.equal(before[1], after[1])


def test_tokens_behind_the_last_row_change_nothing(decoder):
    batch = pack_choices(ROWS)
    count = len(batch.tokens)
    tokens = torch.cat([torch.from_numpy(batch.tokens), torch.zeros(5, dtype=torch.long)])
    positions = torch.cat([torch.from_numpy(batch.positions), torch.zeros(5, dtype=torch.long)])
    more = SharedPrefixAttention(batch.prefixes, batch.answers, decoder.config.windows, num_tokens=count + 5)
    plain = SharedPrefixAttention(batch.prefixes, batch.answers, decoder.config.windows)
    torch.testing.assert_close(
        decoder.hidden(tokens, positions, more)[:count],
        decoder.hidden(tokens[:count], positions[:count], plain),
        rtol=0,
        atol=1e-12,
    )
