"""What the compared methods over pretrained features share: the maps of a frozen network for frames of films.

The network is EfficientNet-Lite0, pretrained on ImageNet, at the frames' own size: a position each 16 pixels.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from memae.frame_features import LOOKS, FrameFeatures, FrameSpec
from memae.networks.efficientnet_lite import read_lite
from reproduction.baselines.films import Film

AT_ONCE = 16
"""Frames that the network sees at once."""
SURVEYED = 100
"""Frames from which mean and deviation of each feature are taken, at most."""
POOLED = 3
"""Positions of the coarser level of the pyramid, over which features have their maximum."""


class FrameMaps:
    """Feature maps of frames, each feature standardised over normal ones.

    Args:
        films: normal ones, of one size.
        every: frames from one that is described to the next.
    """

    def __init__(self, films: Sequence[Film], every: int) -> None:
        self.every = every
        side = (films[0].shape[1], films[0].shape[2])
        network = read_lite(0, LOOKS)
        chosen = np.concatenate([film[::every] for film in films])
        chosen = chosen[:: -(-len(chosen) // SURVEYED)]
        level, contrast = float(chosen.mean()) / 255, float(chosen.std((1, 2)).mean()) / 255
        self.features: FrameFeatures = FrameSpec((1, 1, *side), side).build(network).in_light(level, contrast).eval()
        raw = self._raw(chosen)
        self.features = self.features.scaled(raw.mean((0, 2, 3)), raw.std((0, 2, 3)))

    def __call__(self, film: Film) -> Tensor:
        """The maps of every so many frames `(n, features, rows, columns)`.

        Features are standardised and their vector divided by the root of its length, as in the library; its length is
        then about 1.
        """
        raw = self._raw(film[:: self.every])
        found: Tensor = self.features.normalised(raw) / raw.shape[1] ** 0.5
        return found

    @torch.no_grad()
    def _raw(self, frames: Film) -> Tensor:
        parts = (frames[start : start + AT_ONCE] for start in range(0, len(frames), AT_ONCE))
        found = [self.features.joined(torch.from_numpy(part.copy())[:, None, None].float() / 255) for part in parts]
        return torch.cat(found).contiguous()


def pyramid(maps: Tensor) -> tuple[Tensor, tuple[int, int], tuple[int, int]]:
    """Features of all positions and, by their maximum, of blocks of 3 × 3.

    Args:
        maps: `(n, features, rows, columns)`.

    Returns:
        `(n, positions, features)`, positions row by row and then blocks; rows and columns of each of both.
    """
    coarse = max_pool2d(maps, POOLED, ceil_mode=True)
    levels = torch.cat([each.flatten(2) for each in (maps, coarse)], 2).mT
    fine_size, coarse_size = ((each.shape[2], each.shape[3]) for each in (maps, coarse))
    return levels, fine_size, coarse_size


def higher(values: Tensor, fine: tuple[int, int], coarse: tuple[int, int]) -> Tensor:
    """Values of a pyramid `(n, positions)` → map `(n, rows, columns)`: the higher of a position's and its block's."""
    own, blocks = torch.split(values, [fine[0] * fine[1], coarse[0] * coarse[1]], 1)
    large = blocks.reshape(-1, *coarse).repeat_interleave(POOLED, 1).repeat_interleave(POOLED, 2)
    return torch.maximum(own.reshape(-1, *fine), large[:, : fine[0], : fine[1]])
