"""Which blocks of the key/value cache are free, and how many sequences hold each of the others."""

from collections.abc import Iterable


class BlockPool:
    """Blocks by number, with counted references: a block is free again when its last holder lets go."""

    def __init__(self, num_blocks: int, block_size: int) -> None:
        self.num_blocks, self.block_size = num_blocks, block_size
        # The last one freed is the first one used again: its memory is still near.
        self._free = list(reversed(range(num_blocks)))
        self._holders = [0] * num_blocks
        self._fresh: list[int] = []

    @property
    def num_free(self) -> int:
        """Blocks that nobody holds."""
        return len(self._free)

    def blocks_for(self, num_tokens: int) -> int:
        """How many blocks this many tokens fill."""
        return -(-num_tokens // self.block_size)

    def allocate(self, count: int) -> list[int] | None:
        """`count` blocks, each with one holder; None if there are not so many."""
        if count > len(self._free):
            return None
        taken = [self._free.pop() for _ in range(count)]
        for block in taken:
            self._holders[block] = 1
        self._fresh += taken
        return taken

    def share(self, blocks: Iterable[int]) -> None:
        """Note one more holder of each: sequences with the same beginning may read the same blocks."""
        for block in blocks:
            self._holders[block] += 1

    def free(self, blocks: Iterable[int]) -> None:
        """Let go of each once."""
        for block in blocks:
            self._holders[block] -= 1
            if not self._holders[block]:
                self._free.append(block)

    def take_fresh(self) -> list[int]:
        """The blocks allocated since the last call; they still hold what somebody else left there."""
        taken, self._fresh = self._fresh, []
        return taken
