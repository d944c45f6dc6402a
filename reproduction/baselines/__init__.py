"""The methods that MemAE is compared with, one file each; all have `fit` and `anomaly_score`."""

from typing import Protocol, Self

from torch import Tensor

from memae.scoring import Floats


class Detector(Protocol):
    """A compared method: it is fitted on normal images and scores any."""

    def fit(self, training: Tensor, held_out: Tensor) -> Self:
        """Learns normal images.

        Args:
            training: `(n, c, h, w)` in [0, 1], float32.
            held_out: normal images of the same form, to choose settings and the epoch by.
        """
        ...

    def anomaly_score(self, images: Tensor) -> Floats:
        """Score of each image `(n,)`, higher = more anomalous."""
        ...
