"""Measures of photos that are described by features: of their patches, and of the whole.

References:
    Roth et al., Towards total recall in industrial anomaly detection, CVPR 2022 (PatchCore)
    Rippel, Mertens, Merhof, Modeling the distribution of normal data in pre-trained deep features for anomaly
    detection, ICPR 2020
"""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from memae.memory import unit
from memae.model import Found
from memae.scoring.measures import Measure, Measured

POWER = 8
"""Exponent of the mean over positions: between the mean (1), to which a small defect adds nearly nothing, and the
maximum (∞), which is that of a single position and varies most between normal photos."""


class PatchDistance(Measure):
    """Power mean over the positions of the local distance: that to the nearest item over how isolated the item is.

    Args:
        floor: added to the isolation, scalar; without it, patches beside items that nearly repeat would be far.
    """

    name = "distance"
    has_parts = True
    needs = ("distance", "isolation")
    floor: Tensor

    def __init__(self, floor: Tensor) -> None:
        super().__init__()
        self.register_buffer("floor", floor)

    def forward(self, target: Tensor, found: Found) -> Measured:  # noqa: ARG002 (the distances alone count)
        """The power mean `(b,)`, float64, and the smoothed local distance at each position `(b, 1, h, w)`."""
        assert found.distance is not None  # noqa: S101 (needed)
        assert found.isolation is not None  # noqa: S101 (needed)
        local = (found.distance / (found.isolation + self.floor)).mean(1, keepdim=True)
        local = avg_pool2d(pad(local, (1, 1, 1, 1), mode="replicate"), 3, 1)
        mean = local.double().flatten(1).pow(POWER).mean(1)
        return Measured(mean ** (1 / POWER), local)

    def check(self, target: tuple[int, ...], code: tuple[int, ...], dtype: torch.dtype) -> None:  # noqa: ARG002
        """Refuses a floor that is not a number above 0, and samples without positions."""
        if len(target) != 3 or self.floor.ndim or self.floor.dtype != dtype or not self.floor > 0:
            raise ValueError("the floor of the distance of patches must be a number above 0")


class WholeDistance(Measure):
    """Mahalanobis distance of a photo's mean features, scaled to length 1: of what is in it, not how patches look.

    Args:
        mean: of normal photos' mean features `(k,)`; these are the last k of c features.
        whitening: matrix whose product with a difference has the Mahalanobis distance as its length `(k, k)`.
    """

    name = "whole"
    mean: Tensor
    whitening: Tensor

    def __init__(self, mean: Tensor, whitening: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("whitening", whitening)

    def forward(self, target: Tensor, found: Found) -> Measured:  # noqa: ARG002 (the features alone count)
        """The distance `(b,)`, float64."""
        difference = whole(target, len(self.mean)).to(self.mean) - self.mean
        return Measured(torch.linalg.vector_norm(difference @ self.whitening, dim=1).double())

    def check(self, target: tuple[int, ...], code: tuple[int, ...], dtype: torch.dtype) -> None:  # noqa: ARG002
        """Refuses tensors for another number of features, or of another precision."""
        k = self.mean.numel()
        if self.mean.dtype != dtype or self.whitening.dtype != dtype:
            raise ValueError(f"the distance of whole photos is not in {dtype}")
        if len(target) != 3 or not 0 < k <= target[0] or self.mean.shape != (k,) or self.whitening.shape != (k, k):
            raise ValueError("the distance of whole photos does not fit the features")


def whole(target: Tensor, count: int) -> Tensor:
    """Mean over the positions of the last `count` features of maps `(b, c, h, w)`, scaled to length 1 `(b, count)`."""
    return unit(target[:, -count:].mean((2, 3)))
