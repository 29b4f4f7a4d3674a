"""Tokens that were hardly ever asked for can be told from one another."""

from pathlib import Path

import numpy as np
import torch

from fettle.data.packing import EncodedRows
from fettle.models.decoder import Decoder
from fettle.models.loading import load_decoder
from fettle.registry.base_models import packaged
from fettle.testing.models import tiny_model
from pocket.rare import RARE, rare_tokens, set_apart


def test_tokens_that_are_asked_for_often_are_not_rare():
    tokens = np.array([1] * RARE + [2] * (RARE - 1) + [3] * RARE, dtype=np.int32)
    scored = np.array([1] * (2 * RARE - 1) + [0] * RARE, dtype=np.uint8)
    rows = EncodedRows.of_arrays(tokens, scored, np.array([len(tokens)]))
    assert rare_tokens([(rows, 1)], 5).tolist() == [0, 2, 3, 4]


def test_rows_that_were_not_seen_do_not_count():
    tokens = np.array([1] * RARE + [2] * RARE, dtype=np.int32)
    rows = EncodedRows.of_arrays(tokens, np.ones_like(tokens, dtype=np.uint8), np.array([RARE, RARE]))
    assert rare_tokens([(rows, 1)], 3).tolist() == [0, 2]


def test_what_was_asked_for_in_an_earlier_training_counts_too():
    first, second = (
        EncodedRows.of_arrays(np.array([token] * RARE, dtype=np.int32), np.ones(RARE, dtype=np.uint8), np.array([RARE]))
        for token in (1, 2)
    )
    assert rare_tokens([(first, 1), (second, 1)], 3).tolist() == [0]


def test_only_rare_tokens_change_and_they_part(tmp_path):
    decoder: Decoder = load_decoder(tiny_model(tmp_path, tie_word_embeddings=True))
    weight = decoder.model.embed_tokens.weight
    weight[7], weight[9] = weight[8], weight[8]
    before = weight.clone()
    set_apart(decoder, torch.tensor([7, 9]), seed=1)
    changed = (weight != before).any(dim=1).nonzero().flatten().tolist()
    assert changed == [7, 9]
    assert torch.cosine_similarity(weight[7], weight[9], dim=0) < 0.95


def test_no_two_tokens_of_pocket_are_the_same():
    weight = load_decoder(Path(packaged()[0].path)).model.embed_tokens.weight
    alike = torch.nn.functional.normalize(weight, dim=1)
    cosines = (alike @ alike.T).fill_diagonal_(0)
    assert cosines.max() < 0.98
