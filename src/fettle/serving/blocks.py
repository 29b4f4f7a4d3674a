"""Which blocks of the key/value cache are free, how many sequences hold each of the others, and what can be found."""

from collections.abc import Iterable
from itertools import takewhile


class BlockPool:
    """Blocks by number, with counted references: a block is free again when its last holder lets go.

    A full block can be published under a key. Then it is found by whoever needs the same content, also while it is
    free, until its memory is needed: blocks without a key are used first, then those that were let go of longest ago.
    """

    def __init__(self, num_blocks: int, block_size: int) -> None:
        self.num_blocks, self.block_size = num_blocks, block_size
        # The last one freed is the first one used again: its memory is still near.
        self._blank = list(reversed(range(num_blocks)))
        # Least recently used first.
        self._kept: dict[int, None] = {}
        self._holders = [0] * num_blocks
        self._fresh: list[int] = []
        self._by_key: dict[bytes, int] = {}
        self._keys: dict[int, bytes] = {}
        self._unwritten: set[int] = set()

    @property
    def num_free(self) -> int:
        """Blocks that nobody holds."""
        return len(self._blank) + len(self._kept)

    @property
    def num_kept(self) -> int:
        """Blocks that nobody holds and that can be found."""
        return len(self._kept)

    def blocks_for(self, num_tokens: int) -> int:
        """How many blocks this many tokens fill."""
        return -(-num_tokens // self.block_size)

    def allocate(self, count: int) -> list[int] | None:
        """`count` blocks, each with one holder; None if there are not so many."""
        if count > self.num_free:
            return None
        taken = [self._blank.pop() if self._blank else self._oldest_kept() for _ in range(count)]
        for block in taken:
            self._holders[block] = 1
        self._fresh += taken
        return taken

    def _oldest_kept(self) -> int:
        block = next(iter(self._kept))
        del self._kept[block]
        self._withdraw(block)
        return block

    def share(self, blocks: Iterable[int]) -> None:
        """Note one more holder of each: sequences with the same beginning may read the same blocks."""
        for block in blocks:
            self._holders[block] += 1
            self._kept.pop(block, None)

    def free(self, blocks: Iterable[int]) -> None:
        """Let go of each once; what can be found of them is forgotten in this order, when memory is needed."""
        for block in blocks:
            if block in self._unwritten:
                # Whoever was to compute it has failed or gives way, or waits for one that has.
                self._withdraw(block)
            self._holders[block] -= 1
            if not self._holders[block]:
                self._settle_down(block)

    def _settle_down(self, block: int) -> None:
        self._unwritten.discard(block)
        if block in self._keys:
            self._kept[block] = None
        else:
            self._blank.append(block)

    def take_fresh(self) -> list[int]:
        """The blocks allocated since the last call; they still hold what somebody else left there."""
        taken, self._fresh = self._fresh, []
        return taken

    def publish(self, block: int, key: bytes) -> None:
        """Let others find a held block that the next step fills; the first one published under a key is found."""
        if key not in self._by_key:
            self._by_key[key], self._keys[block] = block, key
            self._unwritten.add(block)

    def written(self, blocks: Iterable[int]) -> None:
        """Note that what was published has been computed."""
        self._unwritten.difference_update(blocks)

    def are_written(self, blocks: Iterable[int]) -> bool:
        """Whether all of these have been computed."""
        return self._unwritten.isdisjoint(blocks)

    def found(self, keys: Iterable[bytes]) -> list[int]:
        """The blocks published under the first of these keys, up to the first key that nothing is known under."""
        blocks = (self._by_key.get(key, -1) for key in keys)
        return list(takewhile(lambda block: block >= 0, blocks))

    def num_free_of(self, blocks: Iterable[int]) -> int:
        """How many of these nobody holds."""
        return sum(not self._holders[block] for block in blocks)

    def _withdraw(self, block: int) -> None:
        if key := self._keys.pop(block, None):
            del self._by_key[key]
