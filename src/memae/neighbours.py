"""Distance to rows that are known to be normal: what no network has to learn (Ramaswamy et al., SIGMOD 2000)."""

from typing import NamedTuple

import torch
from torch import Tensor

NEAREST = 3
"""Known rows that a distance is the mean over: fewer follow single ones, more blur small groups."""


class Apart(NamedTuple):
    """How far rows lie from known ones."""

    distance: Tensor  # (b,): mean Euclidean distance to the nearest of them
    shares: Tensor  # (b, d): what each feature adds to it


def apart(x: Tensor, rows: Tensor, nearest: int = NEAREST) -> Apart:
    """Distance of x `(b, d)` to the nearest of `rows` `(m, d)`, and which features it comes from.

    Example:
        >>> far = apart(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2))
        >>> far.distance, far.shares
        (tensor([5.]), tensor([[1.8000, 3.2000]]))
    """
    squares = torch.addmm(rows.square().sum(1), x, rows.T, alpha=-2)  # less |x|², which does not change the order
    found = squares.topk(min(nearest, len(rows)), largest=False).indices
    # Again from the differences: those of squares would not be 0 for a row that is known, and depend on its batch.
    parts = (x[:, None] - rows[found]).square()  # (b, k, d)
    lengths = parts.sum(2, keepdim=True).sqrt()
    shares = (parts / (lengths + (lengths == 0))).mean(1)  # no ε, which an exporter would round to 0
    return Apart(lengths.mean((1, 2)), shares)
