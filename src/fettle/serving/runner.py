"""Runs one step's pieces through the decoder, all in one row.

Shapes: T tokens, N asked positions.
"""

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from fettle.adapters.bank import AdapterBank
from fettle.models.decoder import Decoder
from fettle.serving.attention import PagedAttention, in_attention_order, places
from fettle.serving.blocks import BlockPool
from fettle.serving.cache import PagedCache
from fettle.serving.sequence import Piece, Sequence


@dataclass(frozen=True)
class Output:
    """What a step computed.

    Attributes:
        sequences: whose next token can be chosen now.
        logits: a row for each of them, float32.
        scored: pieces of prompts whose tokens are to be scored, and the logits after each token of the piece.
    """

    sequences: list[Sequence]
    logits: Tensor
    scored: list[tuple[Piece, Tensor]]


class Runner:
    """The decoder with its adapters and the cache."""

    def __init__(self, decoder: Decoder, bank: AdapterBank, cache: PagedCache, blocks: BlockPool) -> None:
        self._decoder, self._bank, self._cache, self._blocks = decoder, bank, cache, blocks

    @torch.inference_mode()
    def run(self, pieces: Seq[Piece]) -> Output:
        """Compute the pieces; their keys and values are in the cache afterwards."""
        self._cache.clear(self._blocks.take_fresh())
        for piece in pieces:
            if not piece.start:
                self._begin(piece.sequence)
        ordered = in_attention_order(pieces)
        tokens = torch.tensor([token for p in ordered for token in p.sequence.tokens[p.start : p.end]])
        positions = torch.tensor([position for p in ordered for position in range(p.first_position, p.end_position)])
        attention = PagedAttention(self._cache, self._decoder.config, ordered, self._blocks.block_size)
        with self._bank.route(_runs(ordered)):
            states = self._decoder.hidden(tokens, positions, attention)
        return self._output(ordered, states)

    def _begin(self, sequence: Sequence) -> None:
        """Put what comes before a sequence's own tokens into its blocks."""
        if (virtual := sequence.virtual) is None:
            return
        where = torch.tensor(places(sequence, range(virtual.count), self._blocks.block_size))
        for layer, (keys, values) in enumerate(zip(virtual.keys, virtual.values, strict=True)):
            self._cache.write(layer, where, keys, values)

    def _output(self, ordered: Seq[Piece], states_TC: Tensor) -> Output:
        ends = list(accumulate(piece.count for piece in ordered))
        last = [(piece.sequence, end - 1) for piece, end in zip(ordered, ends, strict=True) if piece.makes_token]
        scored = [
            (piece, self._decoder.head(states_TC[end - piece.count : end]))
            for piece, end in zip(ordered, ends, strict=True)
            if piece.sequence.must_score
        ]
        logits = self._decoder.head(states_TC[torch.tensor([place for _, place in last], dtype=torch.long)])
        return Output([sequence for sequence, _ in last], logits, scored)


def _runs(ordered: Seq[Piece]) -> list[tuple[int, int]]:
    """(slot, number of tokens), neighbours with the same slot taken together."""
    runs: list[tuple[int, int]] = []
    for piece in ordered:
        if runs and runs[-1][0] == piece.sequence.slot:
            runs[-1] = (piece.sequence.slot, runs[-1][1] + piece.count)
        else:
            runs.append((piece.sequence.slot, piece.count))
    return runs
