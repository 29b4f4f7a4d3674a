"""The encoder computes what `transformers` and sentence-transformers compute, on tiny random models."""

import json

import pytest
import torch
import transformers

from fettle.adapters.adapter import fresh
from fettle.adapters.bank import BASE, AdapterBank
from fettle.adapters.inject import choose, inject
from fettle.adapters.kinds import KINDS
from fettle.errors import UnsupportedModel
from fettle.models.encoder import DocumentAttention, embeddings
from fettle.models.encoder_files import is_encoder, load_encoder, save_encoder
from fettle.models.head import HEAD_FILE, Head, load_head, save_head
from fettle.testing.encoders import tiny_encoder
from fettle.testing.models import tiny_model

VARIANTS = {
    "plain": {},
    "with the tanh form of gelu": {"hidden_act": "gelu_new"},
    "with narrow heads": {"num_attention_heads": 8, "hidden_size": 48, "intermediate_size": 40},
    "with one sort of text": {"type_vocab_size": 1, "layer_norm_eps": 1e-5},
}
ADAPTERS = {
    "lora": {"rank": 4, "target_modules": ("query", "key", "value", "dense")},
    "ia3": {"target_modules": ("key", "value", "dense"), "feedforward_modules": ("dense",)},
    "bottleneck": {"size": 6, "target_modules": ("dense",)},
}


def theirs(folder, **changes):
    torch.manual_seed(0)
    config = transformers.BertConfig(**json.loads((tiny_encoder(folder, **changes) / "config.json").read_text()))
    model = transformers.BertModel(config).eval()
    for parameter in model.parameters():  # norms and biases start as ones and zeros, which would hide mistakes
        parameter.data += 0.3 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    return model


def documents(*lengths):
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(0, 70, (length,), generator=generator) for length in lengths]


@torch.no_grad()
def states(encoder, rows):
    lengths = [len(row) for row in rows]
    positions = torch.cat([torch.arange(length) for length in lengths])
    return encoder(torch.cat(rows), positions, DocumentAttention(lengths))


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_states_equal_those_of_transformers_for_packed_texts(variant, tmp_path):
    model, rows = theirs(tmp_path, **VARIANTS[variant]), documents(20, 7, 19, 1, 7)
    with torch.no_grad():
        expected = torch.cat([model(input_ids=row[None]).last_hidden_state[0] for row in rows])
    assert (states(load_encoder(tmp_path), rows) - expected).abs().max() < 1e-4


def test_a_document_does_not_see_its_neighbours_and_sees_all_of_itself(tmp_path):
    encoder = load_encoder(tiny_encoder(tmp_path))
    first, second, other = documents(8, 11, 8)
    together = states(encoder, [first, second])[8:]
    torch.testing.assert_close(together, states(encoder, [other, second])[8:], rtol=0, atol=1e-6)
    changed = second.clone()
    changed[-1] += 1
    assert (states(encoder, [first, changed])[8] - together[0]).abs().max() > 1e-3


def test_embeddings_are_the_normalised_mean_over_the_tokens(tmp_path):
    model, rows = theirs(tmp_path), documents(5, 9, 5)
    with torch.no_grad():
        means = torch.stack([model(input_ids=row[None]).last_hidden_state[0].mean(0) for row in rows])
    encoder, lengths = load_encoder(tmp_path), [len(row) for row in rows]
    for round_to in (1, 16):
        with torch.no_grad():
            found = embeddings(encoder.pooled(torch.cat(rows), lengths, round_to))
        torch.testing.assert_close(found, means / means.norm(dim=-1, keepdim=True), rtol=0, atol=1e-4)


def test_the_configuration_counts_the_parameters(tmp_path):
    for number, changes in enumerate(VARIANTS.values()):
        encoder = load_encoder(tiny_encoder(tmp_path / str(number), **changes))
        assert encoder.config.num_parameters == sum(p.numel() for p in encoder.parameters())


@pytest.mark.parametrize("kind", ADAPTERS)
def test_every_text_goes_through_the_adapter_of_its_slot(kind, tmp_path):
    encoder, bank = load_encoder(tiny_encoder(tmp_path)), AdapterBank()
    config = KINDS[kind].config(**ADAPTERS[kind])
    sites = choose(inject(encoder, bank), config.target_modules)
    for seed in (1, 2):
        adapter = fresh(kind, config, sites, seed=seed)
        for value in adapter.named_parameters().values():
            value.data += 0.3 * torch.randn(value.shape)
        bank.add(adapter.to(torch.float32))
    rows, slots = documents(9, 4, 6, 9), (1, BASE, 0, BASE)
    with bank.route([(slot, len(row)) for slot, row in zip(slots, rows, strict=True)]):
        mixed = states(encoder, rows)
    alone = []
    for slot, row in zip(slots, rows, strict=True):
        with bank.route([(slot, len(row))]):
            alone.append(states(encoder, [row]))
    torch.testing.assert_close(mixed, torch.cat(alone), rtol=1e-4, atol=1e-4)
    assert (alone[0] - states(encoder, [rows[0]])).abs().max() > 1e-3, "the adapter changes something"


def test_a_saved_encoder_loads_in_transformers(tmp_path):
    encoder, rows = load_encoder(tiny_encoder(tmp_path / "a")), documents(13)
    save_encoder(encoder, tmp_path / "b", like=tmp_path / "a")
    model = transformers.BertModel.from_pretrained(tmp_path / "b", add_pooling_layer=False).eval()
    with torch.no_grad():
        expected = model(input_ids=rows[0][None]).last_hidden_state[0]
    assert (states(encoder, rows) - expected).abs().max() < 1e-4
    assert torch.equal(states(load_encoder(tmp_path / "b"), rows), states(encoder, rows))


def test_the_weights_of_a_bert_with_a_head_of_another_task_are_read(tmp_path):
    config = json.loads((tiny_encoder(tmp_path) / "config.json").read_text())
    model = transformers.BertForMaskedLM(transformers.BertConfig(**config)).eval()
    model.save_pretrained(tmp_path)
    (row,) = documents(6)
    with torch.no_grad():
        expected = model.bert(input_ids=row[None]).last_hidden_state[0]
    assert (states(load_encoder(tmp_path), [row]) - expected).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_act": "swoosh"}, "'swoosh'; supported: gelu"),
        ({"position_embedding_type": "relative_key"}, "'relative_key'; supported: absolute"),
        ({"num_hidden_layers": 3}, r"encoder\.layer\.2\.\S+: missing"),
        ({"num_hidden_layers": 1}, "not part of a bert"),
        ({"intermediate_size": 65}, "shape"),
    ],
)
def test_what_does_not_fit_is_named(changes, words, tmp_path):
    path = tiny_encoder(tmp_path) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(UnsupportedModel, match=words):
        load_encoder(tmp_path)


def test_an_encoder_that_pools_otherwise_is_refused(tmp_path):
    pooling = tiny_encoder(tmp_path) / "1_Pooling" / "config.json"
    pooling.parent.mkdir()
    pooling.write_text(json.dumps({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}))
    with pytest.raises(UnsupportedModel, match="only the mean over tokens"):
        load_encoder(tmp_path)


def test_a_folder_says_whether_it_holds_an_encoder(tmp_path):
    assert is_encoder(tiny_encoder(tmp_path / "encoder"))
    assert not is_encoder(tiny_model(tmp_path / "decoder"))


def test_a_head_is_read_as_it_was_written(tmp_path):
    assert load_head(tmp_path, 8) is None
    head = Head.fresh(8, ["ham", "späm"], seed=1)
    save_head(head, tmp_path)
    again = load_head(tmp_path, 8)
    assert again is not None
    assert again.labels == ("ham", "späm")
    pooled = torch.randn(3, 8)
    assert torch.equal(again(pooled), head(pooled))


def test_a_head_that_cannot_be_used_is_told(tmp_path):
    save_head(Head.fresh(8, ["a", "b"], seed=1), tmp_path)
    with pytest.raises(UnsupportedModel, match="2 classes on this encoder need"):
        load_head(tmp_path, 9)
    (tmp_path / HEAD_FILE).write_bytes(b"not a tensor")
    with pytest.raises(UnsupportedModel, match="is damaged"):
        load_head(tmp_path, 8)
