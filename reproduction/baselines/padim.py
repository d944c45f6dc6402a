"""PaDiM: a Gaussian of the features at each position.

Defard et al., PaDiM: A Patch Distribution Modeling Framework for Anomaly Detection and Localization, ICPR 2020.
"""

from typing import Self

import torch
from torch import Tensor

from reproduction.baselines.photos import Batches, Features, Located, joined, smoothed

DIMENSIONS = 100
"""Features sampled at random, that of the paper for ResNet18."""
REGULAR = 0.01
"""ε there, added to the diagonal of each covariance."""


class PaDiM:
    """Mahalanobis distance of each position's features to those of normal photos there; the score is the map's maximum.

    NOTE: the features are those that are compared here, instead of the paper's ResNet18 at a quarter of the size.

    Args:
        features: of a frozen network.
        dimensions: number of features that are sampled; all if there are fewer.
        seed: samples the features.
    """

    def __init__(self, features: Features, dimensions: int = DIMENSIONS, seed: int = 0) -> None:
        self.features, self.dimensions, self.seed = features, dimensions, seed

    @torch.no_grad()
    def fit(self, batches: Batches) -> Self:
        """Learns normal photos."""
        count, total, products = 0, torch.zeros(()), torch.zeros(())
        for tiles in batches:
            maps = joined(self.features(tiles))
            if not count:
                random = torch.Generator().manual_seed(self.seed)
                self.chosen = torch.randperm(maps.shape[1], generator=random)[: self.dimensions]
            x = self._positions(maps).double()
            count += len(tiles)
            total, products = total + x.sum(1), products + x.mT @ x
        mean = total / count
        covariance = (products - count * mean[:, :, None] * mean[:, None]) / max(count - 1, 1)
        self.mean = mean[:, None].float()  # (positions, 1, c)
        self.precision = torch.linalg.inv(covariance + REGULAR * torch.eye(mean.shape[1]).double()).float()
        return self

    @torch.no_grad()
    def located(self, tiles: Tensor) -> Located:
        """Scores and maps."""
        maps = joined(self.features(tiles))
        apart = self._positions(maps) - self.mean
        squares = ((apart @ self.precision) * apart).sum(2).T  # (b, positions)
        size = (tiles.shape[2], tiles.shape[3])
        shown = smoothed(squares.clamp_min(0).sqrt().reshape(-1, *maps.shape[2:]), size)
        return Located(shown.max((1, 2)).astype(float), shown)

    def _positions(self, maps: Tensor) -> Tensor:
        """The sampled features `(positions, b, c)`."""
        return maps[:, self.chosen].flatten(2).permute(2, 0, 1)
