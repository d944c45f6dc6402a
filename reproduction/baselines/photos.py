"""What the compared methods for photos share: features of a frozen network, pooled or as a map, and how maps are shown.

A photo is a tile `(3, h, w)` in grey levels 0 … 255, of one size for all.
"""

from collections.abc import Callable, Iterable
from itertools import chain
from typing import NamedTuple, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional

from memae.scoring import Floats

Features = Callable[[Tensor], tuple[Tensor, ...]]
"""Tiles `(b, 3, h, w)` → feature maps `(b, c, h', w')` of several depths, the largest first."""
Batches = Iterable[Tensor]
"""Tiles `(b, 3, h, w)`, batch by batch."""
SIGMA = 4.0
"""Of the Gaussian that smooths a map, in pixels of the tile; that of SPADE, PaDiM and PatchCore."""


class Located(NamedTuple):
    """Scores of b photos, higher = more anomalous, and where they come from."""

    score: Floats  # (b,)
    maps: NDArray[np.float32] | None  # (b, h, w), of the size of the tiles; None if the method tells no place


class PhotoDetector(Protocol):
    """A compared method: it is fitted on normal photos and scores any."""

    def fit(self, batches: Batches) -> Self:
        """Learns normal photos, in one pass."""
        ...

    def located(self, tiles: Tensor) -> Located:
        """Scores of photos `(b, 3, h, w)`, with maps if the method has them."""
        ...


def joined(maps: tuple[Tensor, ...]) -> Tensor:
    """Feature maps of several depths, scaled to the size of the first and joined `(b, sum of c, h, w)`."""
    size = maps[0].shape[2:]
    scaled = (functional.interpolate(each, size, mode="bilinear", align_corners=False) for each in maps[1:])
    return torch.cat([maps[0], *scaled], 1)


def pooled(maps: tuple[Tensor, ...]) -> list[Tensor]:
    """The mean of each feature map over its positions, each `(b, c)`."""
    return [each.mean((2, 3)) for each in maps]


def smoothed(distances: Tensor, size: tuple[int, int]) -> NDArray[np.float32]:
    """Maps `(b, h', w')` scaled to `size`, bilinear, and smoothed by a Gaussian."""
    large = functional.interpolate(distances[:, None].float(), size, mode="bilinear", align_corners=False)[:, 0]
    found: NDArray[np.float32] = gaussian_filter(large.numpy(), (0, SIGMA, SIGMA))
    return found


def kept_bytes(detector: PhotoDetector) -> int:
    """The size of what a method keeps of the training photos: its tensors, also those in lists."""
    kept = chain.from_iterable(each if isinstance(each, list) else [each] for each in vars(detector).values())
    return sum(each.nbytes for each in kept if isinstance(each, Tensor))
