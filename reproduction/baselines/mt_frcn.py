"""MT-FRCN of Table 2, in form: features of moving regions, and their density among normal ones.

Hinami et al., Joint Detection and Recounting of Abnormal Events by Learning Deep Generic Knowledge, ICCV 2017.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from reproduction.baselines.described import FrameMaps
from reproduction.baselines.films import Film, FilmScores, each_frame, flow, highest

SIZES = ((1, 1), (2, 1), (2, 2), (3, 2))
"""Rows and columns of regions, in positions of the map: 16 pixels each."""
MOVING = 0.15
"""Mean speed of a region at least, in pixels a frame."""
EVERY = 3
"""Frames from one that is described to the next."""
DIMENSIONS = 32
"""Principal components of the features in which the density is estimated."""
KEPT = 6_000
"""Normal regions that the density is made of, at most."""
BANDWIDTHS = (0.2, 0.3, 0.4, 0.6, 0.8, 1.2)
"""In standard deviations of a principal component; the one is taken by which held-out regions are likeliest."""


class Regions(NamedTuple):
    """Moving regions of films."""

    features: Tensor  # (n, c)
    frame: Tensor  # (n,): which of the described frames
    place: Tensor  # (n, 4): first row and column in the map, rows and columns
    attributes: Tensor  # (n, 3): height in pixels, speed in pixels a frame, share of the motion that goes right
    grid: tuple[int, int]  # rows and columns of the map


ATTRIBUTES = ("height", "speed", "rightwards")


class ObjectDensity:
    """Negative log density of the most unusual moving region of a frame.

    NOTE: detector and heads are replaced: there, a Fast R-CNN that also learned attributes and actions from photos
    gives each proposal its feature. Here, proposals are windows of the map of EfficientNet-Lite0 in which something
    moves, and features are their mean; nothing is learned from labelled photos but that network. What is
    recounted is size, speed and direction instead of attributes and actions. The density is Gaussian, by kernels over
    principal components.

    Args:
        kept: normal regions at most.
        seed: of the sample.
    """

    def __init__(self, kept: int = KEPT, seed: int = 0) -> None:
        self.kept, self.seed = kept, seed

    @torch.no_grad()
    def fit(self, training: Sequence[Film], held_out: Sequence[Film], checkpoint: Path | None = None) -> Self:  # noqa: ARG002 (see `FilmDetector`)
        """Learns normal films, and chooses the bandwidth by held-out ones."""
        self.maps = FrameMaps(training, EVERY)
        random = torch.Generator().manual_seed(self.seed)
        seen = _together([self.regions(film) for film in training])
        chosen = torch.randperm(len(seen.features), generator=random)[: self.kept]
        features, self.attributes = seen.features[chosen], seen.attributes
        self.mean = features.mean(0)
        values, vectors = torch.linalg.eigh(torch.cov(features.T))
        most = min(DIMENSIONS, len(values))
        self.axes = vectors[:, -most:] / values[-most:].clamp_min(1e-6).sqrt()
        self.normal = self._projected(features)
        others = _together([self.regions(film) for film in held_out])
        self.bandwidth = max(BANDWIDTHS, key=lambda width: float(self._density(others, width).sum()))
        self.floor = -float(self._density(others, self.bandwidth).max()) if len(others.features) else 0.0
        return self

    @torch.no_grad()
    def anomaly_score(self, film: Film) -> FilmScores:
        """Negative log density of the regions; where nothing moves, that of the likeliest held-out one."""
        found = self.regions(film)
        maps = torch.full((-(-len(film) // EVERY), *found.grid), self.floor)
        scores = -self._density(found, self.bandwidth)
        for score, frame, (row, column, high, wide) in zip(scores, found.frame, found.place.tolist(), strict=True):
            part = maps[frame, row : row + high, column : column + wide]
            torch.maximum(part, score, out=part)
        return highest(each_frame(maps.numpy(), len(film), EVERY))

    @torch.no_grad()
    def evidence(self, film: Film) -> list[dict[str, float]]:
        """Why each described frame is as unusual as it is, by its most unusual region.

        Returns:
            for each attribute, the share of normal regions that have as much of it or more; empty without a region.
        """
        found = self.regions(film)
        scores = -self._density(found, self.bandwidth)
        told: list[dict[str, float]] = []
        for frame in range(-(-len(film) // EVERY)):
            own = torch.nonzero(found.frame == frame)[:, 0]
            most = found.attributes[own[scores[own].argmax()]] if len(own) else None
            shares = [] if most is None else (self.attributes >= most).float().mean(0).tolist()
            told.append(dict(zip(ATTRIBUTES, shares, strict=False)))
        return told

    def regions(self, film: Film) -> Regions:
        """The moving regions of the described frames of a film."""
        maps = self.maps(film)
        moved = torch.from_numpy(np.moveaxis(flow(film)[::EVERY], 3, 1))
        motion = torch.cat([moved.square().sum(1, keepdim=True).sqrt(), moved[:, :1].clamp_min(0)], 1)
        small = interpolate(motion, maps.shape[2:], mode="area")
        sizes = [size for size in SIZES if size[0] <= maps.shape[2] and size[1] <= maps.shape[3]]
        return _together([_of_size(maps, small, size) for size in sizes])

    def _projected(self, features: Tensor) -> Tensor:
        found: Tensor = (features - self.mean) @ self.axes
        return found

    def _density(self, found: Regions, bandwidth: float) -> Tensor:
        """Log density of each region `(n,)`, up to what is the same for all bandwidths."""
        size, dimensions = self.normal.shape
        parts = []
        for part in torch.split(self._projected(found.features), 2048):
            apart = torch.cdist(part, self.normal).square() / (2 * bandwidth**2)
            parts.append((-apart).logsumexp(1) - dimensions * np.log(bandwidth) - np.log(size))
        return torch.cat(parts) if parts else torch.zeros(0)


def _of_size(maps: Tensor, motion: Tensor, size: tuple[int, int]) -> Regions:
    """The moving regions of one size, in all places."""
    grid = (maps.shape[2], maps.shape[3])
    features = avg_pool2d(maps, size, 1).permute(0, 2, 3, 1)
    moved = avg_pool2d(motion, size, 1)
    frame, row, column = torch.nonzero(moved[:, 0] >= MOVING, as_tuple=True)
    speed = moved[frame, 0, row, column]
    high, wide = (torch.full_like(row, side) for side in size)
    attributes = torch.stack([16.0 * high, speed, moved[frame, 1, row, column] / speed], 1)
    return Regions(features[frame, row, column], frame, torch.stack([row, column, high, wide], 1), attributes, grid)


def _together(parts: Sequence[Regions]) -> Regions:
    features, frame, place, attributes = (torch.cat(each) for each in zip(*(part[:4] for part in parts), strict=True))
    return Regions(features, frame, place, attributes, parts[0].grid)
