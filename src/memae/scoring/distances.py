"""Distances of samples to kept normal samples, or of their codes to kept codes, as measures of abnormality.

References:
    Ramaswamy, Rastogi, Shim, Efficient algorithms for mining outliers from large data sets, SIGMOD 2000
    Breunig, Kriegel, Ng, Sander, LOF: identifying density-based local outliers, SIGMOD 2000
"""

import math
from abc import ABC
from typing import ClassVar

import torch
from torch import Tensor

from memae.kept import NEIGHBOURS
from memae.memory import unit
from memae.model import Found
from memae.nearest import Prepared
from memae.scoring.measures import Measure, Measured
from memae.scoring.neighbours import distance_to_nearest


class NearestDistance(Measure):
    """Mean distance to the nearest `NEIGHBOURS` items of a memory of kept samples."""

    name = "distance"
    has_parts = True
    needs = ("distance", "nearest")

    def forward(self, target: Tensor, found: Found) -> Measured:
        """The distance `(b,)`, and what each feature adds to it."""
        distance, nearest = _few(found)
        # no ε, which an exporter would round to 0
        parts = (target[:, None] - nearest).square() / (distance + (distance == 0))[..., None]
        return Measured(distance.mean(1).double(), parts.mean(1))


class LocalDistance(Measure):
    """`NearestDistance` over how isolated the nearest items are: dense and sparse regions then count alike.

    Args:
        floor: added to the isolation of the nearest items, scalar: their usual isolation. Without it, samples beside
            items that nearly repeat would have a huge value.
    """

    name = "local distance"
    has_parts = True
    needs = ("distance", "isolation", "nearest")
    floor: Tensor

    def __init__(self, floor: Tensor) -> None:
        super().__init__()
        self.register_buffer("floor", floor)
        self.distance = NearestDistance()

    def forward(self, target: Tensor, found: Found) -> Measured:
        """The ratio `(b,)`, and what each feature adds to it."""
        assert found.isolation is not None  # noqa: S101 (needed)
        distance = self.distance(target, found)
        scale = found.isolation[:, :NEIGHBOURS].mean(1) + self.floor
        return Measured(distance.value / scale, distance.parts / scale[:, None])

    def check(self, target: tuple[int, ...], code: tuple[int, ...], dtype: torch.dtype) -> None:  # noqa: ARG002
        """Refuses a floor that is not a number above 0."""
        check_floor(self.floor, dtype, self.name)


def check_floor(floor: Tensor, dtype: torch.dtype, measure: str) -> None:
    """Refuses a floor of a measure that is not a number above 0; ValueError."""
    if floor.ndim or floor.dtype != dtype or not floor > 0:
        raise ValueError(f"the floor of the {measure} must be a number above 0")


def _few(found: Found) -> tuple[Tensor, Tensor]:
    """Distances `(b, k)` and samples `(b, k, d)` of the nearest `NEIGHBOURS` items."""
    assert found.distance is not None  # noqa: S101 (needed)
    assert found.nearest is not None  # noqa: S101 (needed)
    return found.distance[:, :NEIGHBOURS], found.nearest[:, :NEIGHBOURS]


class Kept(Measure, ABC):
    """Distance to the nearest kept normal samples, or to their codes.

    Args:
        items: m normalised samples or codes, `(m, d)`, or of v views `(v, m, d)`.
    """

    name = "distance"
    of_samples: ClassVar[bool] = False  # whether samples are kept, not codes
    items: Tensor

    def __init__(self, items: Tensor) -> None:
        super().__init__()
        self.register_buffer("items", items)
        self.find = Prepared()

    def _check(self, expected: tuple[int, ...], dtype: torch.dtype) -> None:
        if tuple(self.items.shape) != expected or self.items.dtype != dtype or not self.items.numel():
            raise ValueError("the kept samples do not fit the model")


class RowDistance(Kept):
    """Distance of rows to the nearest kept normalised rows `(m, d)`; see `distance_to_nearest`."""

    has_parts = True
    of_samples = True

    def forward(self, target: Tensor, found: Found) -> Measured:  # noqa: ARG002 (the rows alone count)
        """The distance `(b,)`, float64, and what each feature adds to it `(b, d)`."""
        distance = distance_to_nearest(target, self.items, find=self.find)
        return Measured(distance.value.double(), distance.shares)

    def check(self, target: tuple[int, ...], code: tuple[int, ...], dtype: torch.dtype) -> None:  # noqa: ARG002
        """Refuses rows of another length."""
        self._check((len(self.items), *target), dtype)


class CodeDistance(Kept):
    """1 − cosine similarity (Eq. 5) of a sample's code and the nearest kept code of the same view, mean over the views.

    The kept codes `(v, m, c)` of each view are scaled to length 1.
    """

    needs = ("codes",)

    def forward(self, target: Tensor, found: Found) -> Measured:  # noqa: ARG002 (the codes alone count)
        """The distance `(b,)`, float64."""
        views, codes = len(self.items), found.codes.flatten(1)
        cosines = unit(codes).reshape(views, -1, codes.shape[1]) @ self.items.mT  # (v, b, m)
        return Measured((1 - cosines.amax(2).mean(0)).double())

    def check(self, target: tuple[int, ...], code: tuple[int, ...], dtype: torch.dtype) -> None:  # noqa: ARG002
        """Refuses codes of another size."""
        views, samples = self.items.shape[:2] if self.items.ndim == 3 else (0, 0)
        self._check((views, samples, math.prod(code)), dtype)


class PositionDistance(Kept):
    """Distance of the code at each position to the nearest kept codes `(m, c)`, which are those of single positions."""

    by_position = True
    needs = ("codes",)

    def forward(self, target: Tensor, found: Found) -> Measured:  # noqa: ARG002 (the codes alone count)
        """The distance at each position `(b, h, w)`."""
        codes = found.codes.movedim(1, -1)
        distance = distance_to_nearest(codes.flatten(0, 2), self.items, find=self.find)
        return Measured(distance.value.reshape(codes.shape[:3]))

    def check(self, target: tuple[int, ...], code: tuple[int, ...], dtype: torch.dtype) -> None:  # noqa: ARG002
        """Refuses codes of another size."""
        self._check((len(self.items), code[0]), dtype)
