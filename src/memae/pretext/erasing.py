"""Samples of which a block is erased, so that a network learns to restore what it does not see."""

from dataclasses import dataclass

import torch
from torch import Tensor

from memae.errors import OptionError

OFTEN = 0.7
"""Share of the samples that lose a block."""


@dataclass(frozen=True)
class Erasing:
    """Erases a block of most samples before they are encoded; what is reconstructed is the whole sample.

    Args:
        share: side of the block over that of the sample, 0 or more and below 1.

    Raises:
        OptionError: the share is out of its range.
    """

    share: float

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise OptionError(f"erase must be a share of the side, 0 or more and below 1; got {self.share}")

    def __call__(self, x: Tensor, random: torch.Generator) -> Tensor:
        """Samples `(b, c, *space)` as they are encoded; with a share of 0 as they are."""
        return erased(x, self.share, random) if self.share else x


def erased(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Samples `(b, c, *space)` of which a block, somewhere, has the colour of some element; some stay whole.

    So a block is often of what lies behind, and a part of the object is gone.

    Args:
        x: samples; they are not changed.
        share: side of the block over that of the sample.
        generator: on the CPU, samples which, where, and the colour.

    Example:
        >>> erased(torch.tensor([[[0.0, 3.0, 0.0]]]), 0.4, torch.Generator().manual_seed(0))
        tensor([[[0., 3., 0.]]])
    """
    samples = len(x)
    gone = torch.rand(samples, generator=generator) < OFTEN
    mask = gone.reshape(samples, *[1] * (x.ndim - 1))
    for axis, side in enumerate(x.shape[2:], 2):
        length = max(round(share * side), 1)
        start = torch.randint(side - length + 1, (samples, 1), generator=generator)
        position = torch.arange(side)
        inside = (position >= start) & (position < start + length)
        mask = mask & inside.reshape(samples, *[side if each == axis else 1 for each in range(1, x.ndim)])
    elements = x.flatten(2)
    one = torch.randint(elements.shape[2], (samples,), generator=generator).to(x.device)
    colour = elements[torch.arange(samples, device=x.device), :, one].reshape(samples, -1, *[1] * (x.ndim - 2))
    return torch.where(mask.to(x.device), colour, x)
