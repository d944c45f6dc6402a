"""Training rows that are left out: repetitions, and those that may be anomalous, as they lie apart from most others."""

import math

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from memae.data.tables import LIMIT

ROUNDS = 3
"""Each measures in the deviations of the rows that the round before has left, which anomalies widen no more."""
AMONG = 5_000
"""Rows, drawn at random, to which the distances are measured. Those drawn have themselves among the nearest, which
is one of hundreds where there are so many rows."""
NEAREST = 3


def typical(rows: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Positions, ascending, of all but the share of the rows `(n, d)` that lies farthest from the others.

    The distance is that to a neighbour beyond half again as many as may be anomalous: to the nearest, anomalies that
    resemble each other would all lie near.

    Args:
        rows: features, in any unit.
        share: of the rows that is left out, 0 to 0.5.
        generator: draws the rows to measure to.

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
        beyond = min(max(math.ceil(1.5 * share * len(among)), NEAREST) + 1, len(among))  # itself among them
        distance = torch.cat([torch.cdist(part, among).kthvalue(beyond).values for part in torch.split(z, 1024)])
        keep = distance.argsort(stable=True)[: math.ceil((1 - share) * len(rows))].sort().values
    return keep


def distinct(rows: Tensor) -> Tensor:
    """Positions of the rows `(n, d)` that do not repeat an earlier one, ascending.

    Example:
        >>> distinct(torch.tensor([[1.0, 2.0], [0.0, 0.0], [1.0, 2.0]])).tolist()
        [0, 1]
    """
    keys = pd.util.hash_pandas_object(pd.DataFrame(rows.numpy()), index=False).to_numpy()  # 64 bits a row
    return torch.from_numpy(np.sort(np.unique(keys, return_index=True)[1]))
