"""Attention over documents that lie in a row, beside attention document by document."""

import pytest
import torch
import torch.nn.functional as F

from fettle.models.attention import PackedAttention

LENGTHS = [5, 9, 1, 8]


def heads(num_tokens, dtype=torch.float32):
    generator = torch.Generator().manual_seed(3)
    shapes = [(num_tokens, 4, 8), (num_tokens, 2, 8), (num_tokens, 2, 8)]
    return [torch.randn(shape, generator=generator).to(dtype).requires_grad_() for shape in shapes]


def alone(q, k, v):
    parts = []
    for one in zip(*(x.split(LENGTHS) for x in (q, k, v)), strict=True):
        shaped = [x.transpose(0, 1)[None] for x in one]
        parts.append(F.scaled_dot_product_attention(*shaped, is_causal=True, enable_gqa=True)[0].transpose(0, 1))
    return torch.cat(parts)


@pytest.mark.parametrize("num_spare", [0, 3])
def test_documents_attend_as_they_do_alone_whatever_tokens_follow_them(num_spare):
    num_tokens = sum(LENGTHS)
    q, k, v = heads(num_tokens + num_spare)
    expected = alone(*(x[:num_tokens] for x in (q, k, v)))

    out = PackedAttention(LENGTHS, num_tokens=num_tokens + num_spare)(0, q, k, v)

    assert len(out) == num_tokens + num_spare
    torch.testing.assert_close(out[:num_tokens], expected)


def test_tokens_after_the_documents_get_no_gradient():
    num_tokens = sum(LENGTHS)
    values = heads(num_tokens + 3)
    PackedAttention(LENGTHS, num_tokens=num_tokens + 3)(0, *values)[:num_tokens].square().sum().backward()
    for value in values:
        assert value.grad[:num_tokens].any()
        assert not value.grad[num_tokens:].any()


@pytest.mark.parametrize("is_autocast", [False, True])
def test_the_gradients_of_bf16_attention_are_those_of_float32(is_autocast):
    wide, narrow = heads(sum(LENGTHS)), heads(sum(LENGTHS), torch.bfloat16)
    alone(*wide).square().sum().backward()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_autocast):
        out = PackedAttention(LENGTHS)(0, *narrow)
    out.float().square().sum().backward()
    assert out.dtype == torch.bfloat16
    for one, other in zip(wide, narrow, strict=True):
        torch.testing.assert_close(one.grad, other.grad.float(), rtol=0.05, atol=0.05)
