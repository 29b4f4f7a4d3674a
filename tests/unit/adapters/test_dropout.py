"""What dropout promises, and that every entry gets its own draw."""

import pytest
import torch

from fettle.adapters.dropout import dropout

every_type = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])


@every_type
def test_the_asked_share_is_zeroed_and_the_mean_stays(dtype):
    torch.manual_seed(1)
    out = dropout(torch.ones(1000, 300, dtype=dtype), 0.05)
    assert out.dtype == dtype
    assert float((out == 0).double().mean()) == pytest.approx(0.05, abs=0.002)
    assert float(out.max()) == pytest.approx(1 / 0.95, rel=4e-3)
    assert float(out.double().mean()) == pytest.approx(1, abs=0.004)


def test_entries_are_zeroed_independently_of_their_neighbours():
    torch.manual_seed(1)
    zeroed = (dropout(torch.ones(400_000), 0.2) == 0).double()
    for distance in (1, 2, 3, 4):
        both = float((zeroed[:-distance] * zeroed[distance:]).mean())
        assert both == pytest.approx(0.04, abs=0.002)


@every_type
def test_gradients_pass_where_entries_were_kept(dtype):
    x = torch.randn(7, 5, dtype=dtype, requires_grad=True)
    out = dropout(x, 0.5)
    out.sum().backward()
    assert torch.equal(out, x.detach() * x.grad)
    assert set(x.grad.unique().tolist()) == {0.0, 2.0}


def test_the_same_seed_drops_the_same_entries():
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(dropout(torch.ones(50, 3), 0.5))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
