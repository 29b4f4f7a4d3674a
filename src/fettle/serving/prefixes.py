"""Under which key the full blocks of a sequence are known to others that begin as it does."""

from array import array
from collections.abc import Sequence as Seq
from hashlib import sha256


class PrefixKeys:
    """Keys of a sequence's blocks, made as they are asked for.

    A block's key stands for everything its keys and values depend on: the scope and the adapter of the sequence, and
    all tokens up to the block's last one. The base model is not part of it, as each has a cache of its own.
    """

    __slots__ = ("_block_size", "_keys", "_num_virtual", "_root")

    def __init__(self, *, scope: str, adapter: int, num_virtual: int, block_size: int) -> None:
        """No key yet.

        Args:
            scope: only sequences of the same one may share blocks.
            adapter: number of its registration, which also stands for its virtual tokens; 0 is the base model.
            num_virtual: positions before the first token.
            block_size: positions per block.
        """
        self._root = sha256(f"{adapter}:{scope}".encode()).digest()
        self._num_virtual, self._block_size = num_virtual, block_size
        self._keys: list[bytes] = []

    def of(self, tokens: Seq[int], num_blocks: int) -> list[bytes]:
        """The keys of the first blocks, all of which the tokens fill; earlier tokens must not have changed."""
        for block in range(len(self._keys), num_blocks):
            before = self._keys[-1] if block else self._root
            self._keys.append(sha256(before + array("q", self._inside(tokens, block)).tobytes()).digest())
        return self._keys[:num_blocks]

    def _inside(self, tokens: Seq[int], block: int) -> Seq[int]:
        """The tokens in a block; those with nothing but virtual tokens have none."""
        first = block * self._block_size - self._num_virtual
        return tokens[max(0, first) : max(0, first + self._block_size)]
