import pytest
import torch
import torch.nn.functional as F

from fettle.models import compiled
from fettle.serving.decode_kernel import attend_paged

BLOCK = 4
CLOSE = {torch.float32: {"atol": 1e-5, "rtol": 1e-5}, torch.bfloat16: {"atol": 1e-2, "rtol": 1e-2}}


@pytest.fixture(params=[1, 1 << 30], ids=["threads", "one thread"])
def sharing(request, monkeypatch):
    """Whether several threads work, or one."""
    monkeypatch.setattr(compiled, "_NUMBERS_PER_THREAD", request.param)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)


def gathered(pool, table, start, end):
    """(1, K, end - start, D), in float32."""
    return pool[table].flatten(0, 1)[start:end].transpose(0, 1)[None].float()


@pytest.mark.usefixtures("sharing")
@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize(
    ("num_rows", "heads", "queries", "size"), [(1, 3, 1, 16), (3, 2, 3, 8), (20, 2, 2, 10), (9, 1, 1, 64)]
)
def test_each_token_sees_its_own_positions_as_in_plain_attention(dtype, num_rows, heads, queries, size):
    generator = torch.Generator().manual_seed(num_rows)
    ends = torch.randint(1, 30, (num_rows,), generator=generator)
    starts = (ends - 11).clamp(min=0)
    tables = torch.randperm(num_rows * 8, generator=generator).view(num_rows, 8)
    keys, values = torch.randn(2, num_rows * 8, BLOCK, heads, size, generator=generator).to(dtype)
    q = torch.randn(num_rows, heads, queries, size, generator=generator).to(dtype)

    made = attend_paged(q, keys, values, tables, starts, ends)

    assert made.dtype == dtype
    for row, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        seen = (gathered(pool, tables[row], start, end) for pool in (keys, values))
        plain = F.scaled_dot_product_attention(q[row][None].float(), *seen)[0]
        torch.testing.assert_close(made[row].float(), plain, **CLOSE[dtype])


def test_what_a_token_does_not_see_may_be_no_number_and_what_it_sees_is_shown():
    keys = torch.full((3, BLOCK, 1, 8), torch.nan)
    keys[1], q = 1.0, torch.ones(2, 1, 1, 8)
    tables, starts, ends = torch.tensor([[1, 0], [1, 2]]), torch.tensor([0, 0]), torch.tensor([4, 5])

    made = attend_paged(q, keys, keys, tables, starts, ends)

    assert torch.equal(made[0], torch.ones(1, 1, 8))
    assert made[1].isnan().all()


@pytest.mark.usefixtures("sharing")
def test_a_token_gets_the_same_bits_whoever_is_beside_it():
    keys, values = torch.randn(2, 40, BLOCK, 2, 16)
    q, tables, ends = torch.randn(20, 2, 1, 16), torch.arange(40).view(20, 2), torch.arange(20) % 8 + 1
    starts = torch.zeros_like(ends)

    together = attend_paged(q, keys, values, tables, starts, ends)

    for row in range(20):
        one = slice(row, row + 1)
        alone = attend_paged(q[one], keys, values, tables[one], starts[one], ends[one])
        assert torch.equal(together[one], alone)
