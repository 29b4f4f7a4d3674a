"""Blocks are held, shared, found and given back."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fettle.serving.blocks import BlockPool


def test_there_are_all_blocks_or_none():
    pool = BlockPool(4, 16)
    assert pool.allocate(5) is None
    assert sorted(pool.allocate(4)) == [0, 1, 2, 3]
    assert pool.allocate(1) is None


def test_a_shared_block_is_free_when_its_last_holder_lets_go():
    pool = BlockPool(2, 16)
    blocks = pool.allocate(2)
    pool.share(blocks)
    pool.free(blocks)
    assert pool.num_free == 0
    pool.free(blocks)
    assert pool.num_free == 2


def test_blocks_are_counted_up():
    pool = BlockPool(2, 16)
    assert [pool.blocks_for(tokens) for tokens in (0, 1, 16, 17)] == [0, 1, 1, 2]


@given(st.lists(st.integers(0, 5), max_size=40))
def test_no_block_ever_has_two_holders_who_do_not_share(sizes):
    pool, held = BlockPool(12, 16), []
    for size in sizes:
        taken = pool.allocate(size)
        if taken is None:
            pool.free(held.pop(0))
        else:
            held.append(taken)
        inside = [block for blocks in held for block in blocks]
        assert len(inside) == len(set(inside)) == 12 - pool.num_free
    assert set(pool.take_fresh()) >= {block for blocks in held for block in blocks}
    assert pool.take_fresh() == []


def test_a_published_block_is_found_also_while_it_is_free_until_its_memory_is_needed():
    pool = BlockPool(3, 16)
    first, second = pool.allocate(2)
    pool.publish(first, b"1")
    pool.publish(second, b"2")
    pool.written([first, second])
    pool.free([second, first])
    assert (pool.num_free, pool.num_kept) == (3, 2)
    assert pool.found([b"1", b"2", b"3"]) == [first, second]

    blank, oldest = pool.allocate(2)

    assert blank not in (first, second)
    assert oldest == second
    assert pool.found([b"1", b"2"]) == [first]


def test_a_block_that_is_shared_again_is_not_given_away():
    pool = BlockPool(2, 16)
    (block,) = pool.allocate(1)
    pool.publish(block, b"1")
    pool.written([block])
    pool.free([block])
    pool.share(pool.found([b"1"]))
    assert pool.allocate(2) is None
    assert pool.allocate(1) != [block]


def test_what_was_never_computed_is_not_found_again():
    pool = BlockPool(2, 16)
    (block,) = pool.allocate(1)
    pool.publish(block, b"1")
    pool.share(pool.found([b"1"]))

    pool.free([block])

    assert pool.found([b"1"]) == []
    assert not pool.are_written([block])
    pool.free([block])
    assert (pool.num_free, pool.num_kept) == (2, 0)


class Blocks(RuleBasedStateMachine):
    """Sequences of random tokens come, grow, end and fail; a second book is kept of who holds what."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = BlockPool(9, 1)
        self.held: list[tuple[str, list[int]]] = []
        #: What stands in each block.
        self.content: dict[int, str] = {}

    @rule(text=st.text("ab", min_size=1, max_size=6), is_computed=st.booleans())
    def begin(self, text: str, is_computed: bool) -> None:
        keys = [text[:end].encode() for end in range(1, len(text) + 1)]
        found = self.pool.found(keys)
        assert [self.content[block] for block in found] == [text[: end + 1] for end in range(len(found))]
        self.pool.share(found)
        made = self.pool.allocate(len(text) - len(found))
        if made is None:
            self.pool.free(found)
            return
        for block, key in zip(made, keys[len(found) :], strict=True):
            self.content[block] = key.decode()
            self.pool.publish(block, key)
        if is_computed:
            self.pool.written(made)
            self.held.append((text, found + made))
        else:
            self.pool.free(reversed(found + made))

    @precondition(lambda self: self.held)
    @rule(place=st.integers(0, 100))
    def end(self, place: int) -> None:
        _, blocks = self.held.pop(place % len(self.held))
        self.pool.free(reversed(blocks))

    @invariant()
    def every_block_is_free_or_held(self) -> None:
        holders = Counter(block for _, blocks in self.held for block in blocks)
        assert self.pool.num_free == 9 - len(holders)
        assert self.pool.num_free_of(range(9)) == self.pool.num_free
        assert self.pool._holders == [holders[block] for block in range(9)]

    @invariant()
    def what_is_held_is_not_overwritten(self) -> None:
        for text, blocks in self.held:
            assert [self.content[block] for block in blocks] == [text[: end + 1] for end in range(len(blocks))]

    def teardown(self) -> None:
        while self.held:
            self.end(0)
        assert sorted(self.pool.allocate(9) or []) == list(range(9))


TestBlocks = Blocks.TestCase
TestBlocks.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
