"""A base in few bits takes little memory, computes nearly the same, and can be tuned."""

import sys
from pathlib import Path

import pytest
import torch

from fettle.adapters.files import load_adapter
from fettle.data.packing import pack
from fettle.data.template import Encoded
from fettle.errors import InvalidInput
from fettle.models.loading import load_decoder
from fettle.models.quantized import QUANTIZATIONS, quantize
from fettle.testing.models import tiny_model
from fettle.tuning.forward import hidden
from fettle.tuning.methods import trainee_for
from fettle.tuning.tune import tune
from fettle.types.tuning import EvaluationEvent

#: bitsandbytes counts in blocks of 64 weights.
SIZES = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 2, "num_key_value_heads": 2}
BITS = {"nf4": 4, "int8": 8}
BATCH = pack([Encoded([5, 6, 7, 8, 9], [False, True, True, True, True])])


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("wide"), **SIZES)


def stored_bits(decoder):
    """Bits per weight of the layers' matrices."""
    weights = [value for value in decoder.model.layers.parameters() if value.ndim == 2]
    count = 2 * (4 * 64 * 64 + 3 * 64 * 128)
    return 8 * sum(value.numel() * value.element_size() for value in weights) / count


@pytest.mark.parametrize("how", QUANTIZATIONS)
def test_the_layers_take_few_bits_and_compute_nearly_the_same(how, wide):
    plain, small = load_decoder(wide), load_decoder(wide)
    quantize(small, how)
    assert stored_bits(plain) == 32
    assert stored_bits(small) == BITS[how]
    expected, found = hidden(plain, BATCH)[:5], hidden(small, BATCH)[:5].float()
    assert not torch.equal(expected, found)
    assert torch.nn.functional.cosine_similarity(expected, found).min() > (0.9 if how == "nf4" else 0.995)


@pytest.mark.parametrize("how", QUANTIZATIONS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_adapter_on_it_learns_and_serves_on_the_base_as_it_is(how, dtype, plan, wide):
    events = []
    made = plan(method="qlora", epochs=4, quantization=how, dtype=dtype).model_copy(update={"base_path": str(wide)})
    tune(made, events.append)
    evaluations = [event.validation.loss for event in events if isinstance(event, EvaluationEvent)]
    assert evaluations[-1] < evaluations[0]
    assert load_adapter(Path(made.output_path)).kind == "lora"


def test_whole_weights_cannot_be_tuned_in_few_bits(plan, base):
    with pytest.raises(InvalidInput, match="cannot be held as nf4"):
        trainee_for(plan(method="full", quantization="nf4").spec, base, torch.float32)


def test_without_its_package_it_is_said_what_to_install(plan, base, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(InvalidInput, match="needs the package bitsandbytes") as caught:
        trainee_for(plan(method="qlora").spec, base, torch.float32)
    assert "fettle-ai[qlora]" in caught.value.hint
