"""Blocks are held, shared and given back."""

from hypothesis import given
from hypothesis import strategies as st

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
