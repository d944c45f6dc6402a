"""Methods on the pooled features of a whole photo: a Gaussian, and nearest neighbours. They tell no place."""

from typing import Self

import torch
from sklearn.covariance import LedoitWolf
from torch import Tensor
from torch.nn import functional

from reproduction.baselines.photos import Batches, Features, Located, pooled

NEIGHBOURS = 5


class PooledGaussian:
    """Mahalanobis distance to a Gaussian of the pooled features of each depth, summed over the depths.

    Rippel et al., Modeling the Distribution of Normal Data in Pre-Trained Deep Features for Anomaly Detection, ICPR
    2020. Covariances are shrunk by Ledoit and Wolf's rule, as there.

    NOTE: the depths are those that are compared here; there all blocks of an EfficientNet-B4.

    Args:
        features: of a frozen network.
    """

    def __init__(self, features: Features) -> None:
        self.features = features

    @torch.no_grad()
    def fit(self, batches: Batches) -> Self:
        """Learns normal photos."""
        parts = [pooled(self.features(tiles)) for tiles in batches]
        gaussians = [LedoitWolf().fit(torch.cat(each).double().numpy()) for each in zip(*parts, strict=True)]
        self.means = [torch.from_numpy(each.location_) for each in gaussians]
        self.precisions = [torch.from_numpy(each.precision_) for each in gaussians]
        return self

    @torch.no_grad()
    def located(self, tiles: Tensor) -> Located:
        """Scores; no maps."""
        score = torch.zeros(len(tiles), dtype=torch.float64)
        for x, mean, precision in zip(pooled(self.features(tiles)), self.means, self.precisions, strict=True):
            apart = x.double() - mean
            score += ((apart @ precision) * apart).sum(1).clamp_min(0).sqrt()
        return Located(score.numpy(), None)


class PooledNeighbours:
    """Mean cosine distance of the pooled features to the nearest of the normal photos.

    After Bergman et al., Deep Nearest Neighbor Anomaly Detection, 2020 (Euclidean there, of the last features alone).

    Args:
        features: of a frozen network.
        neighbours: how many count.
    """

    def __init__(self, features: Features, neighbours: int = NEIGHBOURS) -> None:
        self.features, self.neighbours = features, neighbours

    @torch.no_grad()
    def fit(self, batches: Batches) -> Self:
        """Learns normal photos."""
        self.kept = torch.cat([self._unit(tiles) for tiles in batches])
        return self

    @torch.no_grad()
    def located(self, tiles: Tensor) -> Located:
        """Scores; no maps."""
        near = (self._unit(tiles) @ self.kept.T).topk(min(self.neighbours, len(self.kept)), 1).values
        return Located((1 - near.mean(1)).numpy(), None)

    def _unit(self, tiles: Tensor) -> Tensor:
        """Pooled features of all depths, of length 1 `(b, c)`, float64: near ones differ little in cosine."""
        return functional.normalize(torch.cat(pooled(self.features(tiles)), 1).double())
