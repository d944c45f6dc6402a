"""Distance to the nearest training image: a control that the paper does not have."""

from typing import Self

from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from memae.scoring import Floats


class NearestNeighbour:
    """Euclidean distance of the pixels to those of the nearest training image."""

    def fit(self, training: Tensor, held_out: Tensor) -> Self:  # noqa: ARG002 (nothing is chosen)
        """Learns normal images `(n, c, h, w)`."""
        self.index = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(training.flatten(1).double().numpy())
        return self

    def anomaly_score(self, images: Tensor) -> Floats:
        """Distance `(n,)`."""
        found: Floats = self.index.kneighbors(images.flatten(1).double().numpy())[0][:, 0]
        return found
