"""Adapter files are PEFT's: what is written here loads there, and the other way round, with equal logits."""

import json

import peft
import pytest
import torch
import transformers

from fettle.adapters.adapter import fresh
from fettle.adapters.bank import AdapterBank
from fettle.adapters.files import FORMATS, load_adapter, save_adapter
from fettle.adapters.inject import choose, inject
from fettle.adapters.kinds import KINDS
from fettle.errors import InvalidInput, UnsupportedModel
from fettle.models.attention import PackedAttention
from fettle.models.loading import load_decoder

ROW = torch.arange(11) * 7 % 90
LORA = {"r": 4, "lora_alpha": 6, "target_modules": ["q_proj", "o_proj", "up_proj"], "task_type": "CAUSAL_LM"}
THEIRS = {
    "lora": peft.LoraConfig(**LORA),
    "lora, rank-stabilised, one layer": peft.LoraConfig(**LORA, use_rslora=True, layers_to_transform=[1]),
    "dora": peft.LoraConfig(**LORA, use_dora=True),
    "dora, rank-stabilised, one layer": peft.LoraConfig(
        **LORA, use_dora=True, use_rslora=True, layers_to_transform=[1]
    ),
    "ia3": peft.IA3Config(
        target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"], task_type="CAUSAL_LM"
    ),
}

OURS = {kind: (kind, {}) for kind in KINDS} | {
    "dora": ("lora", {"dora": True}),
    "bottleneck-gelu": ("bottleneck", {"activation": "gelu", "size": 5}),
}
KNOWN_TO_PEFT = [name for name, (kind, _) in OURS.items() if FORMATS[kind].peft_type in set(peft.PeftType)]


@pytest.fixture
def base(tmp_path):
    torch.manual_seed(0)
    sizes = {"vocab_size": 90, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    config = transformers.LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2)
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def their_base(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


@torch.no_grad()
def our_logits(base, adapter_folder):
    decoder, bank = load_decoder(base), AdapterBank()
    inject(decoder, bank)
    with bank.route([(bank.add(load_adapter(adapter_folder)), len(ROW))]):
        return decoder(ROW, torch.arange(len(ROW)), PackedAttention([len(ROW)]))


@torch.no_grad()
def their_logits(model):
    return model.eval()(input_ids=ROW[None]).logits[0]


def shaken(parameters):
    torch.manual_seed(4)
    for value in parameters:
        value.data += 0.3 * torch.randn_like(value)


@pytest.mark.parametrize("name", THEIRS)
def test_what_peft_wrote_loads_here_with_equal_logits(name, base, tmp_path):
    model = peft.get_peft_model(their_base(base), THEIRS[name])
    shaken(p for p in model.parameters() if p.requires_grad)
    model.save_pretrained(tmp_path / "adapter")

    logits = our_logits(base, tmp_path / "adapter")

    assert (logits - their_logits(model)).abs().max() < 1e-4
    assert (logits - their_logits(their_base(base))).abs().max() > 1e-2


@pytest.mark.parametrize("layers", [(0, 1), (1,)])
@pytest.mark.parametrize("name", KNOWN_TO_PEFT)
def test_what_is_written_here_loads_in_peft_with_equal_logits(name, layers, base, tmp_path):
    kind, settings = OURS[name]
    config = KINDS[kind].config(**settings)
    sites = choose(inject(load_decoder(base), AdapterBank()), config.target_modules, lambda layer: layer in layers)
    adapter = fresh(kind, config, sites, seed=1)
    shaken(adapter.named_parameters().values())
    save_adapter(tmp_path / "adapter", adapter, base="tiny")

    model = peft.PeftModel.from_pretrained(their_base(base), tmp_path / "adapter")

    logits = our_logits(base, tmp_path / "adapter")
    assert (logits - their_logits(model)).abs().max() < 1e-4
    assert (logits - their_logits(their_base(base))).abs().max() > 1e-2


@pytest.mark.parametrize("name", OURS)
def test_a_round_trip_keeps_every_bit(name, base, tmp_path):
    kind, settings = OURS[name]
    config = KINDS[kind].config(**settings)
    adapter = fresh(kind, config, choose(inject(load_decoder(base), AdapterBank()), config.target_modules), seed=1)
    shaken(adapter.named_parameters().values())
    save_adapter(tmp_path, adapter)

    again = load_adapter(tmp_path)

    assert again.kind == adapter.kind
    assert set(again.config.target_modules) == set(config.target_modules)
    assert again.config.model_copy(update={"target_modules": config.target_modules}) == config
    assert {n: v.tolist() for n, v in again.named_parameters().items()} == {
        n: v.tolist() for n, v in adapter.named_parameters().items()
    }


def test_what_would_be_computed_wrongly_is_refused(base, tmp_path):
    theirs = peft.LoraConfig(**LORA, rank_pattern={"o_proj": 2}, alpha_pattern={"q_proj": 3})
    peft.get_peft_model(their_base(base), theirs).save_pretrained(tmp_path / "odd ranks")
    with pytest.raises(UnsupportedModel, match=r"rank_pattern=\{'o_proj': 2\}, alpha_pattern=\{'q_proj': 3\}"):
        load_adapter(tmp_path / "odd ranks")
    (tmp_path / "odd").mkdir()
    with pytest.raises(UnsupportedModel, match=r"adapter_config\.json does not exist"):
        load_adapter(tmp_path / "odd")
    (tmp_path / "odd ranks" / "adapter_config.json").write_text(json.dumps({"peft_type": "VERA"}))
    with pytest.raises(UnsupportedModel, match="'VERA' is not supported"):
        load_adapter(tmp_path / "odd ranks")


@pytest.mark.parametrize(("kind", "field"), [("lora", "r"), ("lora", "lora_alpha"), ("bottleneck", "size")])
@pytest.mark.parametrize("value", ["many", None])
def test_settings_in_a_file_that_cannot_be_used_are_named(value, kind, field, base, tmp_path):
    sites = choose(inject(load_decoder(base), AdapterBank()), ["o_proj"])
    save_adapter(tmp_path, fresh(kind, KINDS[kind].config(), sites, seed=1))
    fields = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(fields | {field: value}))
    with pytest.raises(UnsupportedModel, match=rf"adapter_config\.json cannot be used: '\w+' is {value!r}"):
        load_adapter(tmp_path)


def test_targets_that_the_model_lacks_are_named(base):
    sites = inject(load_decoder(base), AdapterBank())
    with pytest.raises(InvalidInput, match=r"\['query', 'w1'\] are not in this model"):
        choose(sites, ["q_proj", "query", "w1"])
    with pytest.raises(InvalidInput, match="no layer is left"):
        choose(sites, ["q_proj"], lambda layer: layer > 7)
