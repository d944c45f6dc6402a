"""The distance of whole photos, fitted to normal ones, and to more of them later."""

import torch
from torch import Tensor

from memae.scoring.photos import WholeDistance

RIDGE = 1e-9
"""Added to the variances, for photos that are all alike."""
FEWEST = 4
"""Number of tiles below which covariances of the whole say nothing: those of two are 0 in all directions but one."""
SAME = 1e-5
"""Differences of measures, and of features of the whole, that rounding might cause."""


def whole_distance(wholes: Tensor, correlated: bool = True) -> WholeDistance:
    """Mahalanobis distance with the covariance of Ledoit and Wolf (2004).

    Without correlations, and where all photos are alike, it is Euclidean: nothing tells then in what they may differ.

    Args:
        wholes: features of the wholes of tiles `(t, k)`.
        correlated: whether there are enough tiles for a covariance.
    """
    mean = wholes.mean(0)
    covariance = _covariance(wholes) if correlated else None
    return _euclidean(mean) if covariance is None else _mahalanobis(mean, covariance)


def merged(before: WholeDistance, wholes: Tensor, share: float, correlated: bool = True) -> WholeDistance:
    """The distance fitted to the photos of before and to more, as if to all of them, without those of before.

    Mean and covariance of all follow from those of both parts and the difference of their means. What a Euclidean
    distance of before left open, the new photos tell, if they are enough.

    Args:
        before: fitted to the photos of before.
        wholes: features of the wholes of new tiles `(t, k)`.
        share: of the new photos among all.
        correlated: whether there are enough new tiles for a covariance.
    """
    difference = wholes.mean(0) - before.mean
    mean = before.mean + share * difference
    old, within = _covariance_of(before), _covariance(wholes) if correlated else None
    if old is not None:
        new = torch.cov(wholes.double().T, correction=0) if within is None else within
        within = (1 - share) * old + share * new
    if within is None:
        return _euclidean(mean)
    return _mahalanobis(mean, within + share * (1 - share) * torch.outer(difference, difference).double())


def _covariance(wholes: Tensor) -> Tensor | None:
    """The covariance of Ledoit and Wolf, float64 `(k, k)`; None if all are alike."""
    from sklearn.covariance import ledoit_wolf  # noqa: PLC0415 (a dozen MB that scoring does not need)

    if (wholes - wholes.mean(0)).abs().max() <= SAME:
        return None
    covariance, _ = ledoit_wolf(wholes.double().numpy())
    return torch.from_numpy(covariance)


def _covariance_of(distance: WholeDistance) -> Tensor | None:
    """The covariance that a distance was made of; None for a Euclidean one."""
    whitening = distance.whitening.double()
    if torch.equal(whitening, torch.eye(len(whitening), dtype=torch.float64)):
        return None
    precision = whitening @ whitening.T
    covariance: Tensor = torch.linalg.inv(precision)
    return covariance - RIDGE * torch.eye(len(whitening), dtype=torch.float64)


def _euclidean(mean: Tensor) -> WholeDistance:
    return WholeDistance(mean, torch.eye(len(mean)))


def _mahalanobis(mean: Tensor, covariance: Tensor) -> WholeDistance:
    precision = torch.linalg.inv(covariance + RIDGE * torch.eye(len(mean), dtype=torch.float64))
    return WholeDistance(mean, torch.linalg.cholesky(precision).float().contiguous())
