"""Distance to the nearest kept normal samples, without a network (Ramaswamy et al., SIGMOD 2000)."""

from typing import NamedTuple

import torch
from torch import Tensor

from memae.nearest import Prepared

NEAREST = 3
"""Number of nearest kept rows in the mean distance: fewer depend on single rows, more blur small groups."""


class Distance(NamedTuple):
    """Distance of b rows to kept rows."""

    value: Tensor  # (b,): mean Euclidean distance to the nearest kept rows
    shares: Tensor  # (b, d): what each feature adds to it; they sum up to it


def distance_to_nearest(x: Tensor, kept: Tensor, nearest: int = NEAREST, find: Prepared | None = None) -> Distance:
    """Mean distance of rows x `(b, d)` to the `nearest` nearest of the kept rows `(m, d)`, and each feature's share.

    Args:
        x: rows.
        kept: rows of the same precision.
        nearest: number of kept rows in the mean.
        find: finds them, prepared for `kept`; None prepares anew.

    Example:
        >>> distance_to_nearest(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2))
        Distance(value=tensor([5.]), shares=tensor([[1.8000, 3.2000]]))
    """
    near = (find or Prepared())(x, kept, nearest)
    lengths = near.distance[..., None]
    shares = (near.squares / (lengths + (lengths == 0))).mean(1)  # no ε, which an exporter would round to 0
    return Distance(lengths.mean((1, 2)), shares)


def distance_to_others(x: Tensor, kept: Tensor) -> Tensor:
    """Mean distance of rows x `(b, d)` to the nearest kept rows other than themselves, `(b,)`."""
    count = min(NEAREST + 1, len(kept))
    others = distance_to_nearest(x, kept, count).value * (count / max(count - 1, 1))
    itself = distance_to_nearest(x, kept, 1).value == 0
    return torch.where(itself, others, distance_to_nearest(x, kept).value)
