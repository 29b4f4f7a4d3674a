"""What the next step computes: first a token for everyone who runs, then prompts, in the order of who waits."""

import logging
from bisect import insort

from fettle.errors import FettleError
from fettle.serving.adapter_pool import AdapterPool
from fettle.serving.blocks import BlockPool
from fettle.serving.line import FairLine
from fettle.serving.sequence import Piece, Sequence

log = logging.getLogger(__name__)


class Scheduler:
    """Continuous batching: sequences join and leave between steps.

    Who is next is decided by priority, then by the line of those who wait (`FairLine`). A sequence is admitted when the
    blocks for all its tokens are free; those that hold the beginning of its prompt are shared. When blocks run out
    later, the newest one of the lowest priority gives its own back and is computed anew when there is room
    ("recompute"); so does one of a lower priority than who is next.

    Attributes:
        running: admitted; by priority, then in order of admission.
        failed: could not be admitted, and why.
        num_preemptions: how often a sequence had to give way.
    """

    def __init__(self, blocks: BlockPool, adapters: AdapterPool, *, max_batch_tokens: int, max_sequences: int) -> None:
        self._blocks, self._adapters = blocks, adapters
        self._max_batch_tokens, self._max_sequences = max_batch_tokens, max_sequences
        self._lines: dict[int, FairLine] = {}
        self.running: list[Sequence] = []
        self.failed: list[tuple[Sequence, FettleError]] = []
        self.num_preemptions = 0
        self._is_full = self._lacks_adapters = False

    @property
    def num_waiting(self) -> int:
        """Sequences that are not admitted."""
        return sum(map(len, self._lines.values()))

    @property
    def has_work(self) -> bool:
        """Whether anything is to be computed or told."""
        return bool(self.running or self.failed or any(self._lines.values()))

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence."""
        self._lines.setdefault(sequence.priority, FairLine()).add(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Forget a sequence and free what it holds."""
        if sequence in self.running:
            self.running.remove(sequence)
        else:
            self._line(sequence).remove(sequence)
        self._release(sequence)
        if sequence.is_pinned and sequence.adapter is not None:
            sequence.is_pinned = False
            self._adapters.unpin(sequence.adapter)

    def take_failed(self) -> list[tuple[Sequence, FettleError]]:
        """Those that could not be admitted since the last call, and why."""
        taken, self.failed = self.failed, []
        return taken

    def schedule(self) -> list[Piece]:
        """The pieces of the next step; their blocks are allocated. One piece may read what an earlier one computes."""
        self._is_full = self._lacks_adapters = False
        self._make_way()
        pieces: list[Piece] = []
        self._decode(pieces)
        for priority in sorted(self._lines):
            self._prefill(priority, pieces)
        return pieces

    def computed(self, piece: Piece) -> None:
        """Note that a piece has been computed."""
        piece.sequence.num_computed = piece.end
        self._blocks.written(piece.sequence.blocks[self._num_before(piece) : self._num_full(piece)])

    def is_sound(self, piece: Piece) -> bool:
        """Whether everything before a piece has been computed."""
        return self._blocks.are_written(piece.sequence.blocks[: self._num_before(piece)])

    def put_back(self, sequence: Sequence) -> None:
        """Take a running sequence's blocks from it; it is computed anew when there is room."""
        self.running.remove(sequence)
        self._release(sequence)
        # It keeps its adapter: otherwise it would have to wait for room twice.
        self._line(sequence).put_back(sequence)

    def _num_before(self, piece: Piece) -> int:
        """Blocks that are full before a piece; what is before the first token is computed with it."""
        return piece.first_position // self._blocks.block_size if piece.start else 0

    def _num_full(self, piece: Piece) -> int:
        return piece.end_position // self._blocks.block_size

    def _line(self, sequence: Sequence) -> FairLine:
        return self._lines[sequence.priority]

    def _decode(self, pieces: list[Piece]) -> None:
        """One token for each that runs and has its prompt behind it; none waits for another's long prompt."""
        for sequence in [one for one in self.running if one.num_left == 1]:
            if self._has_block(sequence):
                self._plan(sequence, 1, pieces)

    def _prefill(self, priority: int, pieces: list[Piece]) -> None:
        """Prompts of one priority, as far as the step has room: those begun, then newcomers'."""
        left = self._max_batch_tokens - sum(piece.count for piece in pieces)
        for sequence in [one for one in self.running if one.priority == priority and one.num_left > 1]:
            left -= self._plan(sequence, left, pieces)
        while left and (newcomer := self._admitted(self._lines[priority])):
            left -= self._plan(newcomer, left, pieces)

    def _plan(self, sequence: Sequence, at_most: int, pieces: list[Piece]) -> int:
        """Add a piece; how many tokens it has."""
        count = min(at_most, sequence.num_left)
        if count:
            pieces.append(piece := Piece(sequence, sequence.num_computed, count))
            self._publish(piece)
            self._line(sequence).charge(sequence.model, count)
        return count

    def _publish(self, piece: Piece) -> None:
        """Let others find the blocks that are full after a piece; those of this step find them already."""
        sequence, num_full = piece.sequence, self._num_full(piece)
        if num_full > sequence.num_published:
            keys = sequence.prefix.of(sequence.tokens, num_full)
            for place in range(sequence.num_published, num_full):
                self._blocks.publish(sequence.blocks[place], keys[place])
            sequence.num_published = num_full

    def _has_block(self, sequence: Sequence) -> bool:
        """Make sure of a block for the last token; those who are behind it give way for it, or else itself does."""
        while len(sequence.blocks) < self._blocks.blocks_for(sequence.num_positions):
            if sequence not in self.running:
                return False
            if (block := self._blocks.allocate(1)) is not None:
                sequence.blocks += block
            else:
                self._preempt(self.running[-1])
        return True

    def _make_way(self) -> None:
        """Take room from those of lower priority for who is next.

        Before anything is planned: whoever has a piece in a step must keep its blocks.
        """
        while (newcomer := self._next()) and self.running and self.running[-1].priority > newcomer.priority:
            if self._fits(newcomer) or not self._pinned(newcomer):
                return
            self._preempt(self.running[-1])

    def _next(self) -> Sequence | None:
        lines = (self._lines[priority] for priority in sorted(self._lines))
        return next((next(line.candidates()) for line in lines if line), None)

    def _preempt(self, sequence: Sequence) -> None:
        self.num_preemptions += 1
        self.put_back(sequence)

    def _release(self, sequence: Sequence) -> None:
        # The end first: a beginning is of use to more who come.
        self._blocks.free(reversed(sequence.blocks))
        sequence.blocks, sequence.num_computed, sequence.num_published = [], 0, 0

    def _admitted(self, line: FairLine) -> Sequence | None:
        """The next one of a line, if it may run now.

        When it must wait for blocks, so must all behind it; when for room for its adapter, only those may pass that
        hold an adapter already, as it may be their end that makes room.
        """
        for sequence in line.candidates():
            if self._is_full or (self._lacks_adapters and not sequence.is_pinned):
                continue
            if not self._fits(sequence):
                self._is_full = True
            elif self._pinned(sequence):
                line.take(sequence)
                self._begin(sequence)
                return sequence
        return None

    def _fits(self, sequence: Sequence) -> bool:
        shared = self._shared(sequence)
        needed = self._blocks.blocks_for(sequence.num_positions) - len(shared) + self._blocks.num_free_of(shared)
        # One block each for those who run: admitting somebody should not push somebody out in the next step.
        has_blocks = needed + len(self.running) <= self._blocks.num_free
        return has_blocks and len(self.running) < self._max_sequences

    def _shared(self, sequence: Sequence) -> list[int]:
        """Blocks with the beginning of its tokens; never with the last one, after which something is to be chosen."""
        if sequence.must_score:
            return []
        most = (sequence.num_positions - 1) // self._blocks.block_size
        return self._blocks.found(sequence.prefix.of(sequence.tokens, most))

    def _begin(self, sequence: Sequence) -> None:
        shared = self._shared(sequence)
        self._blocks.share(shared)
        needed = self._blocks.blocks_for(sequence.num_positions) - len(shared)
        sequence.blocks = shared + (self._blocks.allocate(needed) or [])
        sequence.num_published = len(shared)
        sequence.num_computed = max(0, len(shared) * self._blocks.block_size - sequence.num_virtual)
        if sequence.num_cached is None:
            sequence.num_cached = sequence.num_computed
        insort(self.running, sequence, key=lambda one: one.priority)

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
        else:
            self._lacks_adapters = True
        return sequence.is_pinned

    def _fail(self, sequence: Sequence, error: Exception) -> None:
        self._line(sequence).remove(sequence)
        if not isinstance(error, FettleError):
            log.error("an adapter could not be loaded", exc_info=error)
            error = FettleError("the adapter could not be loaded; the engine's log says why")
        self.failed.append((sequence, error))
