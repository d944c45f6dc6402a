"""Training rows that are left out: duplicates, and outliers that may be anomalies."""

import math

import numpy as np
import torch
from torch import Tensor

from memae.data.tables import LIMIT

ROUNDS = 3
"""Each round standardises by the rows that the round before kept, so that removed anomalies no longer widen the
standard deviations."""
AMONG = 5_000
"""Rows, sampled at random, to which distances are measured. A sampled row counts itself among its neighbours, which
matters little: with so many rows, the neighbour measured is the hundredth or later."""
NEAREST = 3


def typical(rows: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Ascending indices of the rows `(n, d)` that remain when the `share` farthest from all others is left out.

    The distance of a row is that to its k-th nearest neighbour, where k exceeds 1.5 times the number of rows left out.
    A smaller k would miss anomalies that resemble each other, since they are near neighbours.

    Args:
        rows: features, in any unit.
        share: fraction of the rows to leave out, 0 to 0.5.
        generator: samples the rows that distances are measured to.

    Example:
        >>> rows = torch.tensor([[0.0], [1.0], [9.0], [2.0], [1.0]])
        >>> typical(rows, 0.2, torch.Generator()).tolist()
        [0, 1, 3, 4]
    """
    keep = torch.arange(len(rows))
    for _ in range(ROUNDS if share else 0):
        center, spread = rows[keep].mean(0), rows[keep].std(0, correction=0)
        z = ((rows - center) / torch.where(spread > 0, spread, 1.0)).clamp_(-LIMIT, LIMIT)
        among = z[keep[torch.randperm(len(keep), generator=generator)[:AMONG]]]
        beyond = min(max(math.ceil(1.5 * share * len(among)), NEAREST) + 1, len(among))  # + 1 for the row itself
        distance = torch.cat([torch.cdist(part, among).kthvalue(beyond).values for part in torch.split(z, 1024)])
        keep = distance.argsort(stable=True)[: math.ceil((1 - share) * len(rows))].sort().values
    return keep


def distinct(rows: Tensor) -> Tensor:
    """Ascending indices of the rows `(n, d)` that do not repeat an earlier one.

    Example:
        >>> distinct(torch.tensor([[1.0, 2.0], [0.0, 0.0], [1.0, 2.0]])).tolist()
        [0, 1]
    """
    return torch.from_numpy(np.sort(np.unique(keys(rows).numpy(), return_index=True)[1]))


def keys(rows: Tensor) -> Tensor:
    """A number of 64 bits for each row `(n, d)`, float64: the same for equal rows, another for all others `(n,)`.

    Sums of the features' bits, mixed and multiplied by random odd numbers (multiply-shift hashing): that two of a
    million different rows share a number has a probability of about one in ten million.
    """
    random = torch.Generator().manual_seed(0)
    odd = torch.randint(-(2**62), 2**62, (rows.shape[1],), generator=random).mul_(2).add_(1)
    bits = (rows.cpu() + 0.0).contiguous().view(torch.int64)  # + 0, since −0 equals 0
    mixed = (bits ^ (bits >> 32)) * odd
    return (mixed ^ (mixed >> 29)).sum(1)
