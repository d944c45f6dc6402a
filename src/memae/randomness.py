"""Random numbers of a batch, the same ones however its samples are divided among processes."""

from typing import NamedTuple

import torch
from torch import Tensor


class BatchRandom(NamedTuple):
    """Random numbers for those samples of a batch that this process computes.

    They are drawn for the whole batch, and the others' are dropped: a sample gets the same ones on any number of
    processes.

    Example:
        >>> whole, half = (BatchRandom(torch.Generator().manual_seed(0), 4, rows) for rows in (slice(4), slice(2, 4)))
        >>> torch.equal(whole.rand()[2:], half.rand())
        True
    """

    generator: torch.Generator  # on the CPU, in the same state in all processes
    whole: int  # number of samples of the batch
    rows: slice = slice(None)  # those of this process

    def rand(self, *shape: int) -> Tensor:
        """Uniform numbers in [0, 1) for each sample `(b, *shape)`."""
        return torch.rand(self.whole, *shape, generator=self.generator)[self.rows]

    def randint(self, low: int, high: int, *shape: int) -> Tensor:
        """Integers from `low` up to but not including `high`, for each sample `(b, *shape)`."""
        return torch.randint(low, high, (self.whole, *shape), generator=self.generator)[self.rows]
