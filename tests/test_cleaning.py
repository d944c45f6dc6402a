"""Rows that may be anomalous are left out, also where they resemble each other."""

import pytest
import torch

from memae.data.cleaning import typical


def rows(anomalies: int, spread: float) -> torch.Tensor:
    """200 normal rows in units far apart, the anomalies last: together at one place, or spread out."""
    draw = torch.Generator().manual_seed(0)
    normal = torch.randn(200, 3, generator=draw, dtype=torch.float64)
    other = torch.tensor([6.0, 0, 0]) + spread * torch.randn(anomalies, 3, generator=draw, dtype=torch.float64)
    return torch.cat([normal, other]) * torch.tensor([1.0, 1e3, 1e-3]) + 5


@pytest.mark.parametrize("spread", [0.01, 3.0])
def test_what_lies_apart_is_left_out(spread):
    data = rows(20, spread)
    keep = typical(data, 20 / 220, torch.Generator().manual_seed(0))
    assert len(keep) == 200
    assert keep.tolist() == sorted(keep.tolist())
    assert (keep < 200).double().mean() > (0.99 if spread < 1 else 0.94)


def test_no_share_leaves_all_rows_and_few_rows_work():
    assert typical(rows(5, 1.0), 0.0, torch.Generator()).tolist() == list(range(205))
    assert len(typical(torch.zeros(3, 2), 0.3, torch.Generator())) == 3
    assert len(typical(torch.zeros(10, 2), 0.3, torch.Generator())) == 7
