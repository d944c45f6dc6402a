"""Kernel density estimation on pixels.

Parzen, On Estimation of a Probability Density Function and Mode, Annals of Mathematical Statistics 1962.
"""

from typing import Self

import numpy as np
from scipy.special import logsumexp
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.neighbors import KernelDensity as Density
from torch import Tensor

from memae.scoring import Floats

BANDWIDTHS = tuple(2.0 ** (power / 2) for power in range(-12, 3))
"""Candidates, in units of pixels in [0, 1]: 0.016 to 2."""


class KernelDensity:
    """Gaussian kernel; the bandwidth maximises the likelihood of the held-out normal images."""

    def fit(self, training: Tensor, held_out: Tensor) -> Self:
        """Learns normal images `(n, c, h, w)`."""
        rows, others = training.flatten(1).double().numpy(), held_out.flatten(1).double().numpy()
        squares = euclidean_distances(others, rows, squared=True)  # once for all bandwidths
        likelihood = [
            logsumexp(-squares / (2 * width**2), axis=1).mean() - rows.shape[1] * np.log(width) for width in BANDWIDTHS
        ]  # but for a constant
        best = BANDWIDTHS[int(np.argmax(likelihood))]
        self.density = Density(bandwidth=best, algorithm="ball_tree", leaf_size=len(rows)).fit(rows)
        return self

    def anomaly_score(self, images: Tensor) -> Floats:
        """Negative log-likelihood in nats `(n,)`."""
        return -np.asarray(self.density.score_samples(images.flatten(1).double().numpy()))
