"""Turned images, and how well it is told from what the memory answers how they were turned.

Who knows the normal images knows which way up they are; an anomaly is told badly (Golan and El-Yaniv, Deep Anomaly
Detection Using Geometric Transformations, NeurIPS 2018; Hendrycks et al., NeurIPS 2019). Not in the MemAE paper.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def turns_of(space: Sequence[int]) -> int:
    """How often an image `(h, w)` can be turned and keep its size: by quarters if it is square, else by halves."""
    return 4 if space[0] == space[1] else 2


def turned(x: Tensor, turns: int) -> Tensor:
    """Images `(b, c, h, w)` → `(turns · b, c, h, w)`: all of them upright, then all by one turn, and so on.

    One turn leaves samples of any kind as they are.

    Example:
        >>> turned(torch.tensor([[[[1.0, 2.0]]]]), 2).flatten(1).tolist()
        [[1.0, 2.0], [2.0, 1.0]]
    """
    if turns == 1:
        return x
    return torch.cat([torch.rot90(x, turn * 4 // turns, (2, 3)) for turn in range(turns)])


def surprise(logits: Tensor, turns: int) -> Tensor:
    """How badly it is told how images were turned, `(turns · b, turns)` → `(b,)`, nats, mean over the turns.

    Nothing known of it is log(turns).

    Example:
        >>> surprise(torch.zeros(4, 2), 2)
        tensor([0.6931, 0.6931])
    """
    each = logits.reshape(turns, -1, turns)
    told = each.log_softmax(2).diagonal(dim1=0, dim2=2)  # (b, turns)
    return -told.mean(1)


def compass(features: int, turns: int) -> nn.Linear:
    """The layer that tells the turn from what was read, `(b, features)` → `(b, turns)`."""
    return nn.Linear(features, turns)
