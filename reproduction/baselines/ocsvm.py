"""One-class support vector machine on pixels.

Schölkopf et al., Support Vector Method for Novelty Detection, NeurIPS 1999.
"""

from typing import Self

import numpy as np
import torch
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.svm import OneClassSVM as Machine
from torch import Tensor

from memae.scoring import Floats

NU = 0.1
"""ν: upper bound of the share of training images outside the boundary."""
WIDTHS = tuple(2.0**power for power in range(3, -6, -1))
"""Tried for γ, narrow kernels first, as multiples of scikit-learn's 1 / (features · variance)."""


class OneClassSVM:
    """RBF kernel, ν = 0.1; γ is the largest for which at most ν of the held-out normal images lie outside.

    A larger γ describes the training images more tightly; from where it only remembers them, those held out fall
    outside. No more than one standard error above ν is allowed; if no γ does so, the smallest is taken.
    """

    def fit(self, training: Tensor, held_out: Tensor) -> Self:
        """Learns normal images `(n, c, h, w)`."""
        self.rows, others = training.flatten(1).double().numpy(), held_out.flatten(1).double().numpy()
        allowed = NU + np.sqrt(NU * (1 - NU) / len(others))
        self.within, between = (euclidean_distances(part, self.rows, squared=True) for part in (self.rows, others))
        for width in WIDTHS:
            self.gamma = self.gamma_of(width)
            self.machine = self._machine(self.gamma)
            if np.mean(self.machine.predict(np.exp(-self.gamma * between)) < 0) <= allowed:
                break
        return self

    def gamma_of(self, width: float) -> float:
        """A multiple of scikit-learn's γ."""
        return width / float(self.rows.shape[1] * self.rows.var())

    def _machine(self, gamma: float) -> Machine:
        return Machine(kernel="precomputed", nu=NU).fit(np.exp(-gamma * self.within))

    def scores(self, images: Tensor) -> dict[float, Floats]:
        """Scores `(n,)` for each multiple of γ, to see the effect of its choice."""
        squares = self._squares(images)
        found = {}
        for width in WIDTHS:
            gamma = self.gamma_of(width)
            found[width] = -np.asarray(self._machine(gamma).score_samples(np.exp(-gamma * squares)), np.float64)
        return found

    def _squares(self, images: Tensor) -> Floats:
        found: Floats = euclidean_distances(images.flatten(1).double().numpy(), self.rows, squared=True)
        return found

    def kernel(self, images: Tensor) -> Floats:
        """Similarity of images to those of the training `(n, m)`; by BLAS, far faster than libsvm."""
        found: Floats = np.exp(-self.gamma * self._squares(images))
        return found

    def anomaly_score(self, images: Tensor) -> Floats:
        """Minus the signed distance to the boundary `(n,)`; 4096 rows at a time, to bound the size of the kernel."""
        parts = [self.machine.score_samples(self.kernel(part)) for part in torch.split(images, 4096)]
        return -np.concatenate(parts)
