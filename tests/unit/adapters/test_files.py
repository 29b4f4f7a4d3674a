"""Adapter files are PEFT's: what is written here loads there, and the other way round, with equal logits."""

import json

import peft
import pytest
import torch
import transformers

from fettle.adapters.bank import AdapterBank
from fettle.adapters.files import FORMATS, load_adapter, save_adapter
from fettle.adapters.inject import choose, inject
from fettle.adapters.kinds import KINDS
from fettle.adapters.kinds.virtual import VirtualKind
from fettle.adapters.start import start
from fettle.adapters.virtual import virtual_tokens
from fettle.data.packing import pack
from fettle.data.template import Encoded
from fettle.errors import InvalidInput, UnsupportedModel
from fettle.models.loading import load_decoder
from fettle.tuning.forward import hidden

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

THEIRS |= {
    "prompt": peft.PromptTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM"),
    "prefix": peft.PrefixTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM"),
    "prefix, from a network": peft.PrefixTuningConfig(
        num_virtual_tokens=4, task_type="CAUSAL_LM", prefix_projection=True, encoder_hidden_size=8
    ),
}

OURS = {kind: (kind, {}) for kind in KINDS} | {
    "dora": ("lora", {"dora": True}),
    "bottleneck-gelu": ("bottleneck", {"activation": "gelu", "size": 5}),
}
VIRTUAL = [name for name, kind in KINDS.items() if isinstance(kind, VirtualKind)]
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
    adapter, row = load_adapter(adapter_folder), pack([Encoded(ROW.tolist(), [True] * len(ROW))])
    with bank.route([(bank.add(adapter), len(ROW))]):
        return decoder.head(hidden(decoder, row, virtual_tokens(adapter, decoder))[: len(ROW)])


@torch.no_grad()
def their_logits(model):
    # With prompt tuning, the virtual tokens have logits too.
    return model.eval()(input_ids=ROW[None]).logits[0, -len(ROW) :]


def made(base, kind, layers=(0, 1), **settings):
    decoder = load_decoder(base)
    inject(decoder, AdapterBank())
    config = KINDS[kind].config(**settings)
    return start(decoder, kind, config, encode=list, seed=1, in_range=lambda layer: layer in layers)


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


@pytest.mark.parametrize(
    ("name", "layers"),
    [(name, layers) for name in KNOWN_TO_PEFT for layers in ((0, 1), (1,)) if name not in VIRTUAL or len(layers) == 2],
)
def test_what_is_written_here_loads_in_peft_with_equal_logits(name, layers, base, tmp_path):
    kind, settings = OURS[name]
    adapter = made(base, kind, layers, **settings)
    shaken(adapter.named_parameters().values())
    save_adapter(tmp_path / "adapter", adapter, base="tiny")

    model = peft.PeftModel.from_pretrained(their_base(base), tmp_path / "adapter")

    logits = our_logits(base, tmp_path / "adapter")
    assert (logits - their_logits(model)).abs().max() < 1e-4
    assert (logits - their_logits(their_base(base))).abs().max() > 1e-2


@pytest.mark.parametrize("name", OURS)
def test_a_round_trip_keeps_every_bit(name, base, tmp_path):
    kind, settings = OURS[name]
    adapter = made(base, kind, **settings)
    shaken(adapter.named_parameters().values())
    save_adapter(tmp_path, adapter)

    again = load_adapter(tmp_path)

    assert again.kind == adapter.kind
    # The order of targets is not kept, for it says nothing.
    fields, expected = again.config.model_dump(), adapter.config.model_dump()
    assert sorted(fields.pop("target_modules", ())) == sorted(expected.pop("target_modules", ()))
    assert fields == expected
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


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("lora", "r"),
        ("lora", "lora_alpha"),
        ("bottleneck", "size"),
        ("prompt", "num_virtual_tokens"),
        ("prefix", "num_virtual_tokens"),
    ],
)
@pytest.mark.parametrize("value", ["many", None])
def test_settings_in_a_file_that_cannot_be_used_are_named(value, kind, field, base, tmp_path):
    save_adapter(tmp_path, made(base, kind))
    fields = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(fields | {field: value}))
    with pytest.raises(UnsupportedModel, match=rf"adapter_config\.json cannot be used: '\w+' is {value!r}"):
        load_adapter(tmp_path)


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("prompt", {"num_virtual_tokens": 7}, r"\(20, 32\)\}, expected prompt_embeddings with 7 rows"),
        ("prefix", {"num_layers": 3}, r"\(20, 64\)\}, which do not fit \{'num_layers': 3"),
        ("prefix", {"num_attention_heads": None}, "'num_attention_heads': None"),
        ("prefix", {"num_attention_heads": 0}, "'num_attention_heads': 0"),
    ],
)
def test_virtual_tokens_that_are_not_what_their_settings_tell_are_refused(kind, changes, words, base, tmp_path):
    save_adapter(tmp_path, made(base, kind))
    fields = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(fields | changes))
    with pytest.raises(UnsupportedModel, match=words):
        load_adapter(tmp_path)


def test_targets_that_the_model_lacks_are_named(base):
    sites = inject(load_decoder(base), AdapterBank())
    with pytest.raises(InvalidInput, match=r"\['query', 'w1'\] are not in this model"):
        choose(sites, ["q_proj", "query", "w1"])
    with pytest.raises(InvalidInput, match="no layer is left"):
        choose(sites, ["q_proj"], lambda layer: layer > 7)
