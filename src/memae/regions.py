"""Anomalous regions of a map: its connected parts above a threshold."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label

from memae.errors import InputError, OptionError

Map = NDArray[np.floating[Any]]


class Region(NamedTuple):
    """A connected part of a map and the box around it: rows `top` to `bottom` − 1, columns `left` to `right` − 1."""

    top: int
    left: int
    bottom: int
    right: int
    peak: float  # the highest value in it, in the unit of the map
    area: int  # its pixels
    p_value: float | None = None  # share of normal maps that have a peak as high, conformal; None if not known

    def as_json(self) -> dict[str, int | float | None]:
        """The region by name, JSON-ready; a peak that is not finite is None, an unknown p-value is left out."""
        found = self._asdict() | {"peak": self.peak if math.isfinite(self.peak) else None}
        return {name: value for name, value in found.items() if name != "p_value" or value is not None}

    def scaled(self, rows: float, columns: float) -> "Region":
        """The smallest region of a resized map that covers this one; the factors are those of its height and width."""
        return self._replace(
            top=math.floor(self.top * rows),
            left=math.floor(self.left * columns),
            bottom=math.ceil(self.bottom * rows),
            right=math.ceil(self.right * columns),
            area=round(self.area * rows * columns),
        )


def boxes(heat: Map, threshold: float, *, least: int = 1) -> tuple[Region, ...]:
    """The connected parts of a map above a threshold, that with the highest peak first.

    Args:
        heat: `(h, w)`, higher = more anomalous.
        threshold: a pixel above it is anomalous; infinite for none.
        least: number of pixels below which a region is left out; 1 keeps all.

    Raises:
        InputError: the map is not `(h, w)`.
        OptionError: the threshold is NaN, or `least` is below 1.

    Example:
        >>> boxes(np.array([[0.0, 0.9, 0.0], [0.0, 0.7, 0.0]]), 0.5)
        (Region(top=0, left=1, bottom=2, right=2, peak=0.9, area=2, p_value=None),)
    """
    if least < 1:
        raise OptionError(f"least must be a number of pixels of at least 1; got {least}")
    mask = above(heat, threshold)
    numbered, count = connected(mask)
    of_pixel, peaks = numbered[mask] - 1, np.full(count, -np.inf)
    with np.errstate(invalid="ignore"):  # a region with NaN has NaN as its peak
        np.maximum.at(peaks, of_pixel, heat[mask])
    areas = np.bincount(of_pixel, minlength=count)
    found = [
        Region(rows.start, columns.start, rows.stop, columns.stop, float(peak), int(area))
        for (rows, columns), peak, area in zip(find_objects(numbered), peaks, areas, strict=True)
        if area >= least
    ]
    return tuple(sorted(found, key=lambda region: -region.peak))


def above(heat: Map, threshold: float) -> NDArray[np.bool_]:
    """The mask `(h, w)` of the pixels above a threshold; see `boxes`. NaN is above any."""
    if heat.ndim != 2:
        raise InputError(f"a map must be (h, w); got {heat.shape}. Pass the maps one by one.")
    if np.isnan(threshold):
        raise OptionError("the threshold of a map is NaN; a number is expected")
    mask: NDArray[np.bool_] = ~(heat <= threshold)
    return mask


def connected(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Numbers the connected parts of a mask from 1, and their count; pixels that touch at a corner are connected."""
    numbered, count = label(mask, np.ones((3, 3), dtype=np.int8))
    return numbered, count
