"""Quality of maps, given masks of the defects: how well anomalous pixels are found.

References:
    Bergmann et al., The MVTec Anomaly Detection Dataset, IJCV 129 (2021), section 5: per-region overlap.
"""

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import auc

from memae.errors import InputError, OptionError
from memae.regions import connected

Mask = NDArray[np.bool_] | None
Counts = NDArray[np.float64]

BITS = 20
"""Leading bits of a float32 that select its bin: sign, exponent, and 11 bits of the fraction."""


class PixelTally:
    """Counts normal and defective pixels by their value, photo by photo, in 24 MB whatever their number.

    Values are binned by their distance from `middle`, in steps of 1/2048 of this distance. Values in one bin count as
    equal. This changes a pixel AUROC by at most half the share of pairs, of one normal and one defective pixel, that
    share a bin.

    Args:
        middle: a usual value, such as the median of one map.

    Example:
        >>> tally = PixelTally(middle=0.5)
        >>> tally.add(np.array([[False, True]]), np.array([[0.1, 0.9]]))
        >>> tally.auroc(), tally.pro()
        (1.0, 1.0)
    """

    def __init__(self, middle: float) -> None:
        self.middle = middle
        self.normal: Counts = np.zeros(2**BITS)
        self.defective: Counts = np.zeros(2**BITS)
        self.overlap: Counts = np.zeros(2**BITS)  # each region adds 1, spread evenly over its pixels
        self.regions = 0

    def add(self, mask: Mask, values: ArrayLike) -> None:
        """Counts the pixels of one photo.

        Args:
            mask: `(h, w)`, True on defects; None for a photo without any.
            values: the map `(h, w)`, higher = more anomalous.

        Raises:
            InputError: mask and map differ in shape, or a value is not finite.
        """
        values = np.asarray(values)
        if values.ndim != 2 or not values.size:
            raise InputError(f"a map must be (h, w) with at least one pixel; got {values.shape}. Pass maps one by one.")
        if not np.isfinite(values).all():
            raise InputError("the values of a map must be finite; some are NaN or infinite")
        bins = self._bins(values)
        if mask is None:
            np.add.at(self.normal, bins.ravel(), 1.0)
            return
        mask = np.asarray(mask, dtype=bool)
        if mask.shape != values.shape:
            sizes = f"the mask is (h, w) = {mask.shape} and the map {values.shape}"
            raise InputError(f"{sizes}; they must be of one size: scale the map to the photo")
        np.add.at(self.normal, bins[~mask], 1.0)
        np.add.at(self.defective, bins[mask], 1.0)
        regions, count = connected(mask)
        of_pixel = regions[mask]
        np.add.at(self.overlap, bins[mask], 1.0 / np.bincount(of_pixel)[of_pixel])
        self.regions += count

    def __add__(self, other: Self) -> Self:
        """The tally of the photos of both.

        Raises:
            InputError: they differ in `middle`, and so in their bins.
        """
        if other.middle != self.middle:
            raise InputError(f"only tallies with one middle can be added; got {self.middle} and {other.middle}")
        both = type(self)(self.middle)
        both.normal = self.normal + other.normal
        both.defective = self.defective + other.defective
        both.overlap = self.overlap + other.overlap
        both.regions = self.regions + other.regions
        return both

    def auroc(self) -> float:
        """Area under the ROC curve of all pixels.

        Raises:
            InputError: there are no normal or no defective pixels.
        """
        self._check()
        below = np.cumsum(self.normal) - self.normal
        pairs = self.normal.sum() * self.defective.sum()
        return float((self.defective * (below + self.normal / 2)).sum() / pairs)

    def pro(self, limit: float = 0.3) -> float:
        """Mean per-region overlap, averaged over false-positive rates of pixels from 0 to `limit`.

        Raises:
            InputError: there are no normal or no defective pixels.
            OptionError: `limit` is not above 0 and at most 1.
        """
        self._check()
        if not 0 < limit <= 1:
            raise OptionError(f"limit must be a false-positive rate above 0 and at most 1; got {limit}")
        rates = _from_highest(self.normal) / self.normal.sum()
        overlaps = _from_highest(self.overlap) / self.regions
        kept = rates < limit
        rates, overlaps = np.append(rates[kept], limit), np.append(overlaps[kept], np.interp(limit, rates, overlaps))
        return float(auc(rates, overlaps) / limit)

    def _bins(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """The bin of each value; a higher value has the same bin or a higher one."""
        with np.errstate(over="ignore"):
            distance = (values - np.float64(self.middle)).astype(np.float32) + np.float32(0)  # −0 becomes 0
        bits = distance.view(np.uint32)
        # bits of negative numbers are in the reverse order, below those of positive ones
        ordered = np.where(bits >> 31 == 1, ~bits, bits | np.uint32(1 << 31))
        return (ordered >> (32 - BITS)).astype(np.int64)

    def _check(self) -> None:
        for name, counts in (("normal", self.normal), ("defective", self.defective)):
            if not counts.any():
                raise InputError(f"no pixel is {name}; pixel figures need both normal and defective pixels")


def pixel_auroc(masks: Iterable[Mask], maps: Iterable[ArrayLike]) -> float:
    """Area under the ROC curve of all pixels of photos of any sizes; see `PixelTally`.

    Args:
        masks: of each photo `(h, w)`, True on defects; None for a photo without any.
        maps: of each photo `(h, w)`, higher = more anomalous. Read one by one, so that they may be made on the way.

    Example:
        >>> pixel_auroc([None, np.array([[True, False]])], [np.array([[0.2]]), np.array([[0.7, 0.1]])])
        1.0
    """
    return _tallied(masks, maps).auroc()


def pro(masks: Iterable[Mask], maps: Iterable[ArrayLike], limit: float = 0.3) -> float:
    """Per-region overlap (PRO) of MVTec AD: see `PixelTally.pro`, and `pixel_auroc` for `masks` and `maps`.

    Args:
        masks: of each photo; regions are their connected parts.
        maps: of each photo.
        limit: highest false-positive rate of pixels that counts.
    """
    return _tallied(masks, maps).pro(limit)


def _tallied(masks: Iterable[Mask], maps: Iterable[ArrayLike]) -> PixelTally:
    """The tally of all photos, in bins around the median of the first map."""
    tally: PixelTally | None = None
    for mask, values in zip(masks, maps, strict=True):
        tally = PixelTally(usual(values)) if tally is None else tally
        tally.add(mask, values)
    return PixelTally(0.0) if tally is None else tally


def usual(values: ArrayLike) -> float:
    """The median of a map; 0 if there is none."""
    finite = np.asarray(values)[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else 0.0


def _from_highest(counts: Counts) -> Counts:
    """How much lies at or above each bin, from the highest bin down, after a leading 0."""
    return np.append(0.0, np.cumsum(counts[::-1]))
