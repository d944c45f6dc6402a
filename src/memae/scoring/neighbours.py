"""Distance to kept normal samples: what no network has to learn (Ramaswamy et al., SIGMOD 2000)."""

from typing import NamedTuple

import torch
from torch import Tensor

NEAREST = 3
"""Kept rows that a distance is the mean over: fewer follow single ones, more blur small groups."""


class Distance(NamedTuple):
    """How far rows lie from kept ones."""

    value: Tensor  # (b,): mean Euclidean distance to the nearest of them
    shares: Tensor  # (b, d): what each feature adds to it


def distance_to_nearest(x: Tensor, kept: Tensor, nearest: int = NEAREST) -> Distance:
    """Distance of x `(b, d)` to the nearest of the kept rows `(m, d)`, and which features it comes from.

    Example:
        >>> distance_to_nearest(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2))
        Distance(value=tensor([5.]), shares=tensor([[1.8000, 3.2000]]))
    """
    squares = torch.addmm(kept.square().sum(1), x, kept.T, alpha=-2)  # less |x|², which does not change the order
    found = squares.topk(min(nearest, len(kept)), largest=False).indices
    # Again from the differences: those of squares would not be 0 for a row that is kept, and depend on its batch.
    parts = (x[:, None] - kept[found]).square()  # (b, k, d)
    lengths = parts.sum(2, keepdim=True).sqrt()
    shares = (parts / (lengths + (lengths == 0))).mean(1)  # no ε, which an exporter would round to 0
    return Distance(lengths.mean((1, 2)), shares)


def distance_to_others(x: Tensor, kept: Tensor) -> Tensor:
    """Distance of x `(b, d)` to the nearest kept rows `(b,)`, without itself where it is one of them."""
    count = min(NEAREST + 1, len(kept))
    others = distance_to_nearest(x, kept, count).value * (count / max(count - 1, 1))
    itself = distance_to_nearest(x, kept, 1).value == 0
    return torch.where(itself, others, distance_to_nearest(x, kept).value)
