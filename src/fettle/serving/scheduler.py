"""What the next step computes: first a token for everyone who runs, then prompts, first come first served."""

import logging
from collections import deque

from fettle.errors import FettleError
from fettle.serving.adapter_pool import AdapterPool
from fettle.serving.blocks import BlockPool
from fettle.serving.sequence import Piece, Sequence

log = logging.getLogger(__name__)


class Scheduler:
    """Continuous batching: sequences join and leave between steps.

    Whoever came first is served first. A sequence is admitted when the blocks for all its tokens are free; when blocks
    run out later, the newest one gives its own back and is computed anew when there is room ("recompute").

    Attributes:
        waiting: not admitted, in order of arrival; those that had to give way are in front.
        running: admitted, in order of arrival.
        failed: could not be admitted, and why.
        num_preemptions: how often a sequence had to give way.
    """

    def __init__(self, blocks: BlockPool, adapters: AdapterPool, *, max_batch_tokens: int, max_sequences: int) -> None:
        self._blocks, self._adapters = blocks, adapters
        self._max_batch_tokens, self._max_sequences = max_batch_tokens, max_sequences
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self.failed: list[tuple[Sequence, FettleError]] = []
        self.num_preemptions = 0

    @property
    def has_work(self) -> bool:
        """Whether anything is to be computed or told."""
        return bool(self.running or self.waiting or self.failed)

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence."""
        self.waiting.append(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Forget a sequence and free what it holds."""
        if sequence in self.running:
            self.running.remove(sequence)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)
        self._release(sequence)
        if sequence.is_pinned and sequence.adapter is not None:
            sequence.is_pinned = False
            self._adapters.unpin(sequence.adapter)

    def take_failed(self) -> list[tuple[Sequence, FettleError]]:
        """Those that could not be admitted since the last call, and why."""
        taken, self.failed = self.failed, []
        return taken

    def schedule(self) -> list[Piece]:
        """The pieces of the next step; their blocks are allocated."""
        pieces = self._decoding()
        left = self._max_batch_tokens - len(pieces)
        for sequence in [*self.running]:
            if left and sequence.num_left > 1:
                left -= self._take(sequence, left, pieces)
        while left and (newcomer := self._admitted()):
            left -= self._take(newcomer, left, pieces)
        return pieces

    @staticmethod
    def _take(sequence: Sequence, left: int, pieces: list[Piece]) -> int:
        count = min(left, sequence.num_left)
        pieces.append(Piece(sequence, sequence.num_computed, count))
        return count

    def _decoding(self) -> list[Piece]:
        """One token for each that runs and has its prompt behind it; none waits for another's long prompt."""
        ready = [sequence for sequence in self.running if sequence.num_left == 1]
        return [Piece(one, one.num_computed, 1) for one in ready if self._has_block(one)]

    def _has_block(self, sequence: Sequence) -> bool:
        """Make sure of a block for the last token; those who came later give way for it, or else itself does."""
        while len(sequence.blocks) < self._blocks.blocks_for(sequence.num_positions):
            if sequence not in self.running:
                return False
            if (block := self._blocks.allocate(1)) is not None:
                sequence.blocks += block
            else:
                self._preempt(self.running[-1])
        return True

    def _preempt(self, sequence: Sequence) -> None:
        self.num_preemptions += 1
        self.running.remove(sequence)
        self._release(sequence)
        # It keeps its adapter: all who wait behind it came later.
        self.waiting.appendleft(sequence)

    def _release(self, sequence: Sequence) -> None:
        self._blocks.free(sequence.blocks)
        sequence.blocks, sequence.num_computed = [], 0

    def _admitted(self) -> Sequence | None:
        """The next one that waits, if it may run now."""
        while self.waiting and len(self.running) < self._max_sequences:
            sequence = self.waiting[0]
            needed = self._blocks.blocks_for(sequence.num_positions)
            # One block each for those who run: admitting somebody should not push somebody out in the next step.
            if needed + len(self.running) > self._blocks.num_free:
                return None
            if not self._pinned(sequence):
                if self.waiting and self.waiting[0] is sequence:
                    return None
                continue
            self.waiting.popleft()
            sequence.blocks = self._blocks.allocate(needed) or []
            self.running.append(sequence)
            return sequence
        return None

    def _pinned(self, sequence: Sequence) -> bool:
        """Whether its adapter has a slot; one that cannot be loaded is taken out of the queue."""
        if sequence.adapter is None or sequence.is_pinned:
            return True
        try:
            sequence.is_pinned = self._adapters.pin(sequence.adapter)
        except Exception as error:  # noqa: BLE001 - it is this request's alone
            self._fail(sequence, error)
            return False
        if sequence.is_pinned:
            sequence.slot = sequence.adapter.slot
        return sequence.is_pinned

    def _fail(self, sequence: Sequence, error: Exception) -> None:
        self.waiting.remove(sequence)
        if not isinstance(error, FettleError):
            log.error("an adapter could not be loaded", exc_info=error)
            error = FettleError("the adapter could not be loaded; the engine's log says why")
        self.failed.append((sequence, error))
