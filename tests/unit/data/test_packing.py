"""Batches: every row once, laid end to end, scored where they should be, in the same order everywhere."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fettle.data.examples import Example
from fettle.data.messages import Turn
from fettle.data.packing import EncodedRows, pack, plan_epoch, shuffled, split_by_tokens
from fettle.data.template import Encoded
from fettle.errors import InvalidRows

SHUFFLED_BY_17 = [9, 0, 8, 6, 1, 2, 5, 4, 3, 7]
SEEDS = st.integers(0, 2**32 - 1)
TOKENS = st.tuples(st.integers(0, 40_000), st.booleans())
ROWS = st.lists(st.lists(TOKENS, min_size=1, max_size=9).map(lambda row: Encoded(*map(list, zip(*row, strict=True)))))


def pair(line: int, prompt: str, completion: str) -> Example:
    return Example(line, "prompt", (Turn("user", prompt), Turn("assistant", completion, is_learned=True)))


@given(st.integers(0, 200), st.integers(1, 17), SEEDS, st.integers(0, 5))
def test_an_epoch_has_every_row_once_in_full_steps(num_rows, batch_size, seed, epoch):
    steps = plan_epoch(num_rows, batch_size=batch_size, seed=seed, epoch=epoch)
    assert sorted(row for step in steps for row in step) == list(range(num_rows))
    assert all(len(step) == batch_size for step in steps[:-1])
    assert steps == plan_epoch(num_rows, batch_size=batch_size, seed=seed, epoch=epoch)


def test_the_order_is_the_same_on_every_machine_and_another_in_every_epoch():
    assert shuffled(10, seed=17).tolist() == SHUFFLED_BY_17
    orders = {tuple(shuffled(10, seed=seed, epoch=epoch)) for seed in range(10) for epoch in range(10)}
    assert len(orders) == 100


def test_every_row_comes_to_every_place_about_equally_often():
    first = np.bincount([shuffled(8, seed=17, epoch=epoch)[0] for epoch in range(4000)], minlength=8)
    assert np.all(abs(first - 500) < 100)  # 4.8 standard deviations


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(1, 100))
def test_parts_keep_the_order_and_the_budget_unless_one_row_exceeds_it(lengths, max_tokens):
    rows = list(range(len(lengths)))
    parts = split_by_tokens(rows, lengths, max_tokens)
    assert [row for part in parts for row in part] == rows
    for part, after in zip(parts, [*parts[1:], None], strict=True):
        total = sum(lengths[row] for row in part)
        assert total <= max_tokens or len(part) == 1
        assert after is None or total + lengths[after[0]] > max_tokens


@given(ROWS)
def test_a_batch_is_what_a_plain_loop_makes_of_the_rows(rows):
    tokens, positions, at, targets = [], [], [], []
    for row in rows:
        for place, (token, is_scored) in enumerate(zip(row.token_ids, row.scored, strict=True)):
            if is_scored and place > 0:
                at.append(len(tokens) - 1)
                targets.append(token)
            tokens.append(token)
            positions.append(place)
    batch = pack(rows)
    assert batch.tokens.tolist() == tokens
    assert batch.positions.tolist() == positions
    assert batch.at.tolist() == at
    assert batch.targets.tolist() == targets
    assert batch.lengths == [len(row.token_ids) for row in rows]
    assert batch.num_rows == len(rows)
    assert {array.dtype for array in (batch.tokens, batch.positions, batch.at, batch.targets)} == {np.dtype(np.int64)}


@given(ROWS, st.randoms())
def test_rows_are_kept_as_they_were_encoded(rows, random):
    kept = EncodedRows(rows)
    assert [kept.row(place) for place in range(len(kept))] == rows
    assert kept.lengths.tolist() == [len(row.token_ids) for row in rows]
    assert kept.num_scored == len(pack(rows).targets)
    some = random.sample(range(len(rows)), k=len(rows) // 2)
    assert kept.pack(some).tokens.tolist() == pack([rows[place] for place in some]).tokens.tolist()


def test_many_rows_are_kept_in_flat_arrays():
    kept = EncodedRows(Encoded([number % 7] * 10, [False, True] * 5) for number in range(20_000))
    assert (kept.tokens.dtype, kept.scored.dtype, len(kept.tokens)) == (np.int32, np.bool_, 200_000)
    assert kept.pack([19_999]).tokens.tolist() == [19_999 % 7] * 10


def test_rows_over_the_context_are_left_out_and_named(template):
    examples = [pair(1, "a", "b"), pair(2, "a" * 50, "b"), pair(4, "c", "d")]
    rows = EncodedRows.of(((example.line, example) for example in examples), template, context=20)
    assert (len(rows), rows.left_out) == (2, [2])


def test_rows_that_the_template_refuses_are_all_named(plain_tokenizer):
    from fettle.data.template import Template

    turns = (Turn("user", "a"), Turn("assistant", "b", is_learned=True))
    rows = ((line, Example(line, "chat", turns)) for line in (3, 5))
    with pytest.raises(InvalidRows, match="line 3") as caught:
        EncodedRows.of(rows, Template(plain_tokenizer), context=20)
    assert len(caught.value.faults) == 2
