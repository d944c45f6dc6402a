"""Kernel density estimation on pixels.

Parzen, On Estimation of a Probability Density Function and Mode, Annals of Mathematical Statistics 1962.
"""

from typing import Self

import numpy as np
from sklearn.neighbors import KernelDensity as Density
from torch import Tensor

from memae.scoring import Floats

BANDWIDTHS = tuple(2.0 ** (power / 2) for power in range(-12, 3))
"""Tried, in pixels of [0, 1]: 0.016 to 2."""


class KernelDensity:
    """Gaussian kernel; the bandwidth is that under which the held-out normal images are likeliest."""

    def fit(self, training: Tensor, held_out: Tensor) -> Self:
        """Learns normal images `(n, c, h, w)`."""
        rows, others = training.flatten(1).double().numpy(), held_out.flatten(1).double().numpy()
        found = (Density(bandwidth=each, algorithm="ball_tree", leaf_size=len(rows)).fit(rows) for each in BANDWIDTHS)
        self.density = max(found, key=lambda density: float(density.score(others)))
        return self

    def anomaly_score(self, images: Tensor) -> Floats:
        """Negative log-likelihood in nats `(n,)`."""
        return -np.asarray(self.density.score_samples(images.flatten(1).double().numpy()))
