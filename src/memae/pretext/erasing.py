"""Erases a block of training samples, so that a network learns to restore what it does not see."""

from dataclasses import dataclass

import torch
from torch import Tensor

from memae.errors import OptionError
from memae.randomness import BatchRandom

OFTEN = 0.7
"""Share of the samples in which a block is erased."""


@dataclass(frozen=True)
class Erasing:
    """Erases a block of most samples before they are encoded; the model must reconstruct the whole sample.

    Args:
        share: side of the block over the side of the sample, 0 or more and below 1.

    Raises:
        OptionError: the share is out of range.
    """

    share: float

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise OptionError(f"erase must be a share of the side, 0 or more and below 1; got {self.share}")

    def __call__(self, x: Tensor, random: BatchRandom) -> Tensor:
        """Samples `(b, c, *space)` with erased blocks; unchanged if the share is 0."""
        return erased(x, self.share, random) if self.share else x


def erased(x: Tensor, share: float, random: BatchRandom) -> Tensor:
    """Samples `(b, c, *space)` with a random block filled by the colour of a random element; some stay whole.

    The colour is often that of the background, so that a part of the object seems to be missing.

    Args:
        x: samples; not changed in place.
        share: side of the block over the side of the sample.
        random: samples whether and where a block is erased, and its colour.

    Example:
        >>> erased(torch.tensor([[[0.0, 3.0, 0.0]]]), 0.4, BatchRandom(torch.Generator().manual_seed(0), 1))
        tensor([[[0., 3., 0.]]])
    """
    samples = len(x)
    erases = random.rand() < OFTEN
    mask = erases.reshape(samples, *[1] * (x.ndim - 1))
    for axis, side in enumerate(x.shape[2:], 2):
        length = max(round(share * side), 1)
        start = random.randint(0, side - length + 1, 1)
        position = torch.arange(side)
        inside = (position >= start) & (position < start + length)
        mask = mask & inside.reshape(samples, *[side if each == axis else 1 for each in range(1, x.ndim)])
    elements = x.flatten(2)
    index = random.randint(0, elements.shape[2]).to(x.device)
    colour = elements[torch.arange(samples, device=x.device), :, index].reshape(samples, -1, *[1] * (x.ndim - 2))
    return torch.where(mask.to(x.device), colour, x)
