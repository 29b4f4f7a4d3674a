"""Adapters on families that only `transformers` has are `peft`'s, both ways."""

import peft
import pytest
import torch
import transformers

from fettle.adapters.bank import AdapterBank
from fettle.adapters.files import load_adapter
from fettle.adapters.inject import inject
from fettle.adapters.merge import merge_into
from fettle.models.attention import PackedAttention
from fettle.models.loading import load_decoder
from fettle.testing.foreign import foreign_adapter, foreign_model
from fettle.types.foreign import FOREIGN

ROW = torch.arange(40, 57)


def their_base(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


@torch.no_grad()
def our_logits(base, adapter_folder):
    decoder, bank = load_decoder(base), AdapterBank()
    inject(decoder, bank)
    with bank.route([(bank.add(load_adapter(adapter_folder)), len(ROW))]):
        return logits_of(decoder)


@torch.no_grad()
def logits_of(decoder):
    return decoder(ROW, torch.arange(len(ROW)), PackedAttention([len(ROW)], decoder.config.windows))


@torch.no_grad()
def their_logits(model):
    return model.eval()(input_ids=ROW[None]).logits[0]


@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set:UserWarning")
@pytest.mark.parametrize("kind", ["lora", "ia3"])
@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "phi3", "mixtral", "opt"])
def test_what_is_written_here_loads_in_peft_with_equal_logits(family, kind, tmp_path):
    base = foreign_model(tmp_path / "base", family)
    folder = foreign_adapter(tmp_path / "adapter", kind, base, seed=3)

    theirs = their_logits(peft.PeftModel.from_pretrained(their_base(base), folder))

    assert (our_logits(base, folder) - theirs).abs().max() < 1e-4
    assert (their_logits(their_base(base)) - theirs).abs().max() > 1e-2


@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set:UserWarning")
@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "phi3"])
def test_what_peft_wrote_loads_here_with_equal_logits(family, tmp_path):
    base = foreign_model(tmp_path / "base", family)
    config = peft.LoraConfig(r=3, target_modules=list(FOREIGN[family].linear), task_type="CAUSAL_LM")
    model = peft.get_peft_model(their_base(base), config)
    torch.manual_seed(4)
    for value in [p for p in model.parameters() if p.requires_grad]:
        value.data += 0.1 * torch.randn_like(value)
    model.save_pretrained(tmp_path / "adapter")

    assert (our_logits(base, tmp_path / "adapter") - their_logits(model)).abs().max() < 1e-4


@pytest.mark.parametrize("family", ["gpt2", "mixtral"])
def test_merging_gives_the_same_model(family, tmp_path):
    base = foreign_model(tmp_path / "base", family)
    folder = foreign_adapter(tmp_path / "adapter", "lora", base, seed=3)
    merged = load_decoder(base)
    merge_into(merged, load_adapter(folder))

    assert (logits_of(merged) - our_logits(base, folder)).abs().max() < 1e-4
