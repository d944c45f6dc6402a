"""Measures of photos that are described by features: of their patches, and of the whole.

References:
    Roth et al., Towards total recall in industrial anomaly detection, CVPR 2022 (PatchCore)
    Rippel, Mertens, Merhof, Modeling the distribution of normal data in pre-trained deep features for anomaly
    detection, ICPR 2020
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from memae.losses import error_map
from memae.memory import unit
from memae.model import Found
from memae.patches import nearest_patches
from memae.scoring.distances import Kept, check_floor
from memae.scoring.measures import Measure, Measured

POWER = 8
"""Exponent of the mean over positions: between the mean (1), to which a small defect adds nearly nothing, and the
maximum (∞), which is that of a single position and varies most between normal photos."""
MOST_POWER = 64
"""Maximum exponent: beyond it, powers of usual distances leave the range of float64."""
WINDOW = 5
"""Side of the window of a map that is not smoothed, in positions: what a camera sees covers some of them."""
QUARTER = 0.25
"""Share of the positions of a frame that lie below the distance which is common to it: background, which people and
cars do not cover."""
REMOVED = 0.5
"""Share of an unusual common distance that is taken from each position's, as squares: all of it would hide a camera
that is covered or turned, none would flag every frame of a noisier day."""


class PatchDistance(Measure):
    """Power mean over the positions of the local distance: that to the nearest item over how isolated the item is.

    Args:
        floor: added to the isolation, scalar; without it, patches beside items that nearly repeat would be far.
        power: exponent of the mean.
        smoothed: whether the distances are first averaged over 3 × 3 positions; else the map, but not the mean, is
            smoothed.
        common: the highest `common` distance of normal frames, scalar: what lies above it is in part taken from all
            positions; see `without_common`. None to take nothing.
    """

    name = "distance"
    has_parts = True
    needs = ("distance", "isolation")
    floor: Tensor
    common: Tensor | None

    def __init__(
        self, floor: Tensor, power: int = POWER, *, smoothed: bool = True, common: Tensor | None = None
    ) -> None:
        super().__init__()
        self.register_buffer("floor", floor)
        self.register_buffer("common", common)
        self.power = power
        self.smoothed = smoothed

    def forward(self, target: Tensor, found: Found) -> Measured:  # noqa: ARG002 (the distances alone count)
        """The power mean `(b,)`, float64, and the local distance at each position `(b, 1, h, w)`."""
        return self.of(self.local(found))

    def local(self, found: Found) -> Tensor:
        """The local distance at each position `(b, 1, h, w)`."""
        assert found.distance is not None  # noqa: S101 (needed)
        assert found.isolation is not None  # noqa: S101 (needed)
        return (found.distance / (found.isolation + self.floor)).mean(1, keepdim=True)

    def of(self, local: Tensor) -> Measured:
        """Measures samples by their local distances `(b, 1, h, w)`."""
        if self.common is not None:
            local = without_common(local, self.common)
        return summed_up(local, self.power, smoothed=self.smoothed)

    def beyond(self, common: Tensor | None) -> "PatchDistance":
        """The same measure with another highest common distance of normal frames."""
        return PatchDistance(self.floor, self.power, smoothed=self.smoothed, common=common)

    def about(self) -> dict[str, Any]:
        """The exponent, and whether distances are smoothed."""
        return {"power": self.power, "smoothed": self.smoothed}

    def check(self, target: tuple[int, ...], code: tuple[int, ...], dtype: torch.dtype) -> None:  # noqa: ARG002
        """Refuses a floor that is not a number above 0, an exponent out of range, and samples without positions."""
        if len(target) != 3:
            raise ValueError(f"the floor of the distance of patches needs samples with positions; {target} has none")
        if not 1 <= self.power <= MOST_POWER:
            raise ValueError(f"the exponent of a mean must lie between 1 and {MOST_POWER}, not {self.power}")
        check_floor(self.floor, dtype, "distance of patches")
        if self.common is not None and (self.common.ndim or self.common.dtype != dtype or not self.common >= 0):
            raise ValueError("the highest common distance of patches must be a number of 0 or more")


class KeptPatchDistance(Kept):
    """`PatchDistance` to patches that the measure itself keeps, beside a memory of learned items.

    Args:
        items: kept patches, normalised `(m, p)`; p of the c features describe a patch.
        isolation: of each of them `(m,)`; see `patches.isolation`.
        floor: added to the isolation, scalar.
    """

    has_parts = True
    isolation: Tensor
    floor: Tensor

    def __init__(self, items: Tensor, isolation: Tensor, floor: Tensor) -> None:
        super().__init__(items)
        self.register_buffer("isolation", isolation)
        self.register_buffer("floor", floor)

    def forward(self, target: Tensor, found: Found) -> Measured:  # noqa: ARG002 (the features alone count)
        """The power mean `(b,)`, float64, and the smoothed local distance at each position `(b, 1, h, w)`."""
        near = nearest_patches(target[:, : self.items.shape[1]], self.items, self.find)
        return summed_up((near.distance / (self.isolation[near.which] + self.floor))[:, None])

    def check(self, target: tuple[int, ...], code: tuple[int, ...], dtype: torch.dtype) -> None:  # noqa: ARG002
        """Refuses patches of more features than there are, and a floor that is not a number above 0."""
        m, p = self.items.shape if self.items.ndim == 2 else (0, 0)
        if len(target) != 3 or not 0 < p <= target[0] or self.isolation.shape != (m,):
            raise ValueError("the kept patches do not fit the features")
        self._check((m, p), dtype)
        check_floor(self.floor, dtype, "distance of patches")


class PatchError(Measure):
    """Power mean over the positions of the reconstruction error of a patch: Eq. 8 over its features.

    The features that are restored are the first ones of the samples; those of the whole, behind them, are not.
    """

    name = "error"
    has_parts = True

    def forward(self, target: Tensor, found: Found) -> Measured:
        """The power mean `(b,)`, float64, and the smoothed error at each position `(b, 1, h, w)`."""
        restored = found.x_hat.shape[1]
        return summed_up(error_map(target[:, :restored], found.x_hat).sum(1, keepdim=True))

    def check(self, target: tuple[int, ...], code: tuple[int, ...], dtype: torch.dtype) -> None:  # noqa: ARG002
        """Refuses samples without positions."""
        if len(target) != 3:
            raise ValueError(f"the error of patches needs samples with positions; those of {target} have none")


def common(local: Tensor) -> Tensor:
    """The local distance that a `QUARTER` of the positions of maps `(b, 1, h, w)` do not exceed `(b, 1, 1, 1)`."""
    every = local.flatten(1)
    return every.topk(math.ceil(QUARTER * every.shape[1]), largest=False).values[:, -1, None, None, None]


def without_common(local: Tensor, most: Tensor) -> Tensor:
    """Local distances `(b, 1, h, w)` without `REMOVED` of what their `common` one has above that of normal frames.

    Noise and compression move all features at random, so that their squared distances add up to those of what is seen.

    Args:
        local: distances.
        most: the highest common distance of normal frames, scalar.
    """
    above = (common(local).square() - most.square()).clamp_min(0)
    return (local.square() - REMOVED * above).clamp_min(0).sqrt()


def summed_up(local: Tensor, power: int = POWER, *, smoothed: bool = True) -> Measured:
    """Power mean of values `(b, 1, h, w)` over the positions `(b,)`, float64, and a map of them, of their shape.

    The map is what the mean is taken of, smoothed; or, not smoothed, the same mean over the positions around each.
    """
    if smoothed:
        local = avg_pool2d(pad(local, (1, 1, 1, 1), mode="replicate"), 3, 1)
    mean = local.double().flatten(1).pow(power).mean(1) ** (1 / power)
    if smoothed:
        return Measured(mean, local)
    highest = local.amax((2, 3), keepdim=True).clamp_min(torch.finfo(local.dtype).tiny)  # its power would overflow
    powers = pad((local / highest).pow(power), (WINDOW // 2,) * 4, mode="replicate")
    return Measured(mean, avg_pool2d(powers, WINDOW, 1).pow(1 / power) * highest)


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
