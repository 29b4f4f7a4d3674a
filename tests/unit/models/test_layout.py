"""A decoder that is laid out for serving computes what the plain one does, and keeps no plain weight."""

import gc
import weakref

import pytest
import torch
from torch import nn

from fettle.errors import InvalidInput
from fettle.models import layout
from fettle.models.attention import PackedAttention
from fettle.models.decoder import Decoder
from fettle.models.int4 import Int4Linear
from fettle.models.int8 import has_int8_products
from fettle.models.joined import PartLinear
from fettle.models.layout import check_weights, laid_out
from fettle.models.packed import PackedLinear
from fettle.types.decoder import DecoderConfig

CONFIG = DecoderConfig(
    family="qwen2",
    vocab_size=50,
    hidden_size=32,
    intermediate_size=48,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=8,
    max_positions=64,
    qkv_bias=True,
)


def decoder() -> Decoder:
    torch.manual_seed(3)
    made = Decoder(CONFIG).eval().requires_grad_(False)
    made.model.embed_tokens.weight.normal_()
    return made


def logits(of: Decoder) -> torch.Tensor:
    lengths = [5, 1, 9]
    tokens, positions = torch.arange(15) % 50, torch.cat([torch.arange(length) for length in lengths])
    with torch.inference_mode():
        return of(tokens, positions, PackedAttention(lengths))


def test_its_logits_are_those_of_the_plain_decoder():
    torch.testing.assert_close(logits(laid_out(decoder(), "dtype")), logits(decoder()), rtol=0, atol=1e-5)


def test_in_4_bits_layers_are_rounded_but_not_those_of_odd_sizes_and_not_the_head():
    plain, made = logits(decoder()), laid_out(decoder(), "int4")
    layer = made.model.layers[0]
    assert type(layer.self_attn.o_proj) is Int4Linear
    assert type(layer.mlp.down_proj) is type(made.lm_head) is PackedLinear
    assert 0.01 < (logits(made) - plain).norm() / plain.norm() < 0.3


@pytest.mark.parametrize("weights", ["int8", "int4"])
def test_models_that_run_through_transformers_stay_in_their_number_type(weights, monkeypatch):
    monkeypatch.setattr(layout, "has_int8_products", lambda: True)
    with pytest.raises(InvalidInput, match=f"{weights} weights .* gpt2 runs through transformers"):
        check_weights(CONFIG.model_copy(update={"family": "gpt2"}), weights)


def test_8_bits_need_a_processor_that_multiplies_them(monkeypatch):
    monkeypatch.setattr(layout, "has_int8_products", lambda: False)
    with pytest.raises(InvalidInput, match="AVX-512 VNNI"):
        check_weights(CONFIG, "int8")
    check_weights(CONFIG, "int4")


@pytest.mark.skipif(not has_int8_products(), reason="this processor has no products of 8-bit numbers")
def test_in_8_bits_its_logits_are_near_those_of_the_plain_decoder():
    plain, made = logits(decoder()), logits(laid_out(decoder(), "int8"))
    assert ((made - plain).norm() / plain.norm()) < 0.03
    assert not torch.equal(made, plain)


def test_layers_that_share_their_input_are_joined_and_know_their_own_rows():
    plain, made = decoder(), laid_out(decoder(), "dtype")
    kinds = {name: type(m) for name, m in made.named_modules() if isinstance(m, nn.Linear)}
    joined = {name.rpartition(".")[2] for name, kind in kinds.items() if kind is PartLinear}
    assert joined == {"q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"}
    assert set(kinds.values()) == {PartLinear, PackedLinear}
    for name in kinds:
        one, other = made.get_submodule(name), plain.get_submodule(name)
        assert torch.equal(one.weight, other.weight)
        assert (one.bias is None) == (other.bias is None)
        assert one.bias is None or torch.equal(one.bias, other.bias)


def test_a_layer_asked_out_of_turn_answers_for_itself():
    attention = laid_out(decoder(), "dtype").model.layers[0].self_attn
    plain = decoder().model.layers[0].self_attn
    x, other = torch.randn(2, 3, 32)
    with torch.inference_mode():
        for layer, value in (("k_proj", x), ("k_proj", other), ("q_proj", x), ("v_proj", x), ("v_proj", other)):
            expected = getattr(plain, layer)(value)
            torch.testing.assert_close(getattr(attention, layer)(value), expected, rtol=0, atol=1e-5)


def test_the_plain_weights_are_not_kept():
    made = decoder()
    weights = [weakref.ref(m.weight) for m in made.modules() if isinstance(m, nn.Linear)]
    laid_out(made, "dtype")
    gc.collect()
    assert [weight() for weight in weights] == [None] * len(weights)


def test_what_cannot_be_packed_stays_as_it_is():
    made = laid_out(decoder().half(), "dtype")
    assert {type(m) for m in made.modules() if isinstance(m, nn.Linear)} == {nn.Linear}
