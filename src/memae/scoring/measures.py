"""Ways to be unlike normal, each the larger the more anomalous: errors, the surprise of a pretext task, distances.

A new measure is one class here. What it keeps of normal samples are buffers, given at construction; `fitting` computes
them.
"""

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, avg_pool3d

from memae.losses import error_map, total_error
from memae.memory import unit
from memae.model import Found
from memae.parameters import Reduction
from memae.scoring.neighbours import distance_to_nearest

LEAST_EXPECTED = 0.05
"""Normalised error that is expected of an element at least: what was always met exactly may vary a little."""
CERTAIN = 0.01
"""Nats of surprise below which differences hardly count: the model is sure either way."""
CONTRAST = 0.01
"""Variance of elements, of a range of 1, that a sample counts as having at least: a flat one has none."""


class Measured(NamedTuple):
    """What a measure says of b samples."""

    value: Tensor  # (b,), or of each position (b, h, w); higher = more anomalous
    parts: Tensor | None = None  # (b, *shape): that of each element; None where that cannot be told


class Measure(nn.Module, ABC):
    """One way to be unlike normal."""

    name: ClassVar[str]  # error, surprise or distance
    by_position: ClassVar[bool] = False  # whether each position of the code has a value
    has_parts: ClassVar[bool] = False  # whether it tells what each element adds
    needs: ClassVar[tuple[str, ...]] = ()  # fields of `Found` besides x̂ and the fallback

    @abstractmethod
    def forward(self, target: Tensor, found: Found) -> Measured:
        """The measure of samples, by what the network was to restore of them and what it has found.

        Args:
            target: `Pretext.target` of the normalised samples `(b, *target)`; without a pretext task the samples.
            found: by the network.
        """

    def trust(self, normal: Tensor) -> Tensor:
        """How far the measure counts, 0 to 1, by its values for held-out normal samples `(n, …)`."""
        return normal.new_ones(())

    def added(self, measured: Measured) -> Tensor:
        """What elements add to the value `(b, *shape)`."""
        assert measured.parts is not None  # noqa: S101 (asked of measures that have parts)
        return measured.parts

    def deviation(self, parts: Tensor) -> Tensor:
        """`Measured.parts` as deviations of normalised elements, for pictures."""
        return parts

    def about(self) -> dict[str, Any]:
        """The arguments that are no tensors, as JSON has them."""
        return {}

    def check(self, target: tuple[int, ...], code: tuple[int, ...], dtype: torch.dtype) -> None:
        """Refuses what does not fit a model; ValueError where it does not.

        Args:
            target: shape of what is restored of a sample.
            code: shape `(c, *space)` of a code.
            dtype: of the model.
        """


class Error(Measure):
    """Reconstruction error of a sample, Eq. 8.

    Args:
        reduction: see `reconstruction_error`.
    """

    name = "error"
    has_parts = True

    def __init__(self, reduction: Reduction = "sum") -> None:
        super().__init__()
        self.reduction: Reduction = reduction

    def forward(self, target: Tensor, found: Found) -> Measured:
        """The error, and that of each element."""
        errors = error_map(target, found.x_hat, self.reduction)
        # The sum runs in float64: over a large sample, float32 would lose what the parity test promises.
        return Measured(total_error(errors, self.reduction, torch.float64), errors)

    def added(self, measured: Measured) -> Tensor:
        """Their errors, or their shares of a mean."""
        parts = super().added(measured)
        return parts / (1 if self.reduction == "sum" else parts[0].numel())

    def deviation(self, parts: Tensor) -> Tensor:
        """The absolute difference of sample and reconstruction."""
        return parts if self.reduction == "absolute" else parts.sqrt()

    def about(self) -> dict[str, Any]:
        """The formula."""
        return {"reduction": self.reduction}


class RelativeError(Measure):
    """Blurred error of a sample relative to its contrast, in which an edge that is a little off counts little.

    The difference is blurred by two means over 3 elements a side and squared. The value is the root of the sum of
    squares of that, in which few large ones count more than many small ones, over the sample's sum of squared
    deviations from its mean, so that one of high contrast counts no more than others. Not in the paper.
    """

    name = "error"
    has_parts = True

    def forward(self, target: Tensor, found: Found) -> Measured:
        """The error, and the blurred squared one of each element."""
        blur = avg_pool2d if target.ndim == 4 else avg_pool3d
        errors = blur(blur(target - found.x_hat, 3, 1, 1), 3, 1, 1).square()
        flat = target.flatten(1)
        variance = (flat - flat.mean(1, keepdim=True)).square().mean(1).clamp_min(CONTRAST)
        total = errors.flatten(1).square().sum(1, dtype=torch.float64).sqrt()
        return Measured(total / (variance * flat.shape[1]), errors)

    def deviation(self, parts: Tensor) -> Tensor:
        """The blurred difference of sample and reconstruction."""
        return parts.sqrt()

    def check(self, target: tuple[int, ...], code: tuple[int, ...], dtype: torch.dtype) -> None:  # noqa: ARG002
        """Refuses samples without space."""
        if len(target) == 1:
            raise ValueError(f"elements without neighbours, as those of {target}, have no relative error")


class NormalizedError(Measure):
    """Sum of the absolute errors of the elements, each over the error that is expected of it. Not in the paper.

    Args:
        expected: mean absolute error of each element over held-out normal samples `(*shape)`; see
            `fitting.expected_error`.
    """

    name = "error"
    has_parts = True
    expected: Tensor

    def __init__(self, expected: Tensor) -> None:
        super().__init__()
        self.register_buffer("expected", expected)

    def forward(self, target: Tensor, found: Found) -> Measured:
        """The error, and that of each element."""
        errors = error_map(target, found.x_hat, "absolute") / self.expected
        return Measured(total_error(errors, "sum", torch.float64), errors)

    def check(self, target: tuple[int, ...], code: tuple[int, ...], dtype: torch.dtype) -> None:  # noqa: ARG002
        """Refuses errors of other elements."""
        if self.expected.shape != target or not self.expected.is_floating_point():
            raise ValueError("the expected errors do not fit")


class PositionError(Measure):
    """Reconstruction error at each position of the code, mean over some channels and over the position's elements.

    Not in the paper.

    Args:
        positions: rows and columns of the code.
        first: of the channels of x̂ that count; the ones before are restored, but not scored.
        reduction: squared errors, or "absolute" ones.
    """

    name = "error"
    by_position = True

    def __init__(self, positions: tuple[int, int], first: int = 0, reduction: Reduction = "sum") -> None:
        super().__init__()
        self.positions = positions
        self.first = first
        self.reduction: Reduction = reduction

    def forward(self, target: Tensor, found: Found) -> Measured:
        """The error of each position `(b, h, w)`."""
        errors = error_map(target, found.x_hat, self.reduction)[:, self.first :].mean(1)
        return Measured(adaptive_avg_pool2d(errors, self.positions))

    def about(self) -> dict[str, Any]:
        """Size, channels and formula."""
        return {"positions": list(self.positions), "first": self.first, "reduction": self.reduction}

    def check(self, target: tuple[int, ...], code: tuple[int, ...], dtype: torch.dtype) -> None:  # noqa: ARG002
        """Refuses channels that are not there, and other positions than those of the code."""
        if len(target) != 3 or not 0 <= self.first < target[0]:
            raise ValueError(f"channel {self.first} does not fit samples restored as {target}")
        if self.positions != code[1:]:
            raise ValueError(f"positions {self.positions} do not fit codes of {code}")


class Surprise(Measure):
    """ln(1 + surprise / 0.01) of a pretext task with several outcomes; see `Pretext.surprise`.

    It counts by the share of the task that the model solves on normal samples: not at all where it only guesses.

    Args:
        outcomes: among which the model guesses.
    """

    name = "surprise"
    needs = ("surprise",)

    def __init__(self, outcomes: int) -> None:
        super().__init__()
        self.outcomes = outcomes

    def forward(self, target: Tensor, found: Found) -> Measured:  # noqa: ARG002 (of what was found alone)
        """The measure `(b,)`."""
        assert found.surprise is not None  # noqa: S101 (needed)
        return Measured((found.surprise.double() / CERTAIN).log1p())

    def trust(self, normal: Tensor) -> Tensor:
        """1 for a task that is always solved, 0 for one that is guessed."""
        surprise = CERTAIN * normal.expm1().mean()
        return (1 - surprise / math.log(self.outcomes)).clamp_min(0)

    def about(self) -> dict[str, Any]:
        """The outcomes."""
        return {"outcomes": self.outcomes}

    def check(self, target: tuple[int, ...], code: tuple[int, ...], dtype: torch.dtype) -> None:  # noqa: ARG002
        """Refuses a task in which there is nothing to guess."""
        if self.outcomes < 2:
            raise ValueError(f"{self.outcomes} outcomes leave nothing to guess")


class PositionSurprise(Measure):
    """Surprise of a pretext task that is solved at each position, as it is; see `Pretext.surprise`."""

    name = "surprise"
    by_position = True
    needs = ("surprise",)

    def forward(self, target: Tensor, found: Found) -> Measured:  # noqa: ARG002 (of what was found alone)
        """The surprise of each position `(b, h, w)`."""
        assert found.surprise is not None  # noqa: S101 (needed)
        return Measured(found.surprise)


class Kept(Measure, ABC):
    """Distance to the nearest of kept normal samples, or of their codes.

    Args:
        items: the samples, normalised, or codes; the last dimension but one counts them.
    """

    name = "distance"
    of_samples: ClassVar[bool] = False  # whether whole samples are kept, not codes
    items: Tensor

    def __init__(self, items: Tensor) -> None:
        super().__init__()
        self.register_buffer("items", items)

    def _check(self, expected: tuple[int, ...], dtype: torch.dtype) -> None:
        if tuple(self.items.shape) != expected or self.items.dtype != dtype or not self.items.numel():
            raise ValueError("the kept samples do not fit the model")


class RowDistance(Kept):
    """Distance of rows to the nearest kept rows `(m, d)`, which are normalised; see `distance_to_nearest`."""

    has_parts = True
    of_samples = True

    def forward(self, target: Tensor, found: Found) -> Measured:  # noqa: ARG002 (of the rows alone)
        """The distance, and what each feature adds to it."""
        distance = distance_to_nearest(target, self.items)
        return Measured(distance.value.double(), distance.shares)

    def check(self, target: tuple[int, ...], code: tuple[int, ...], dtype: torch.dtype) -> None:  # noqa: ARG002
        """Refuses rows of another length."""
        self._check((len(self.items), *target), dtype)


class CodeDistance(Kept):
    """1 − cosine of a sample's code to the nearest kept code, mean over its views; Eq. 5's similarity.

    The kept codes `(v, m, c)` are those of each view, scaled to length 1.
    """

    needs = ("codes",)

    def forward(self, target: Tensor, found: Found) -> Measured:  # noqa: ARG002 (of the codes alone)
        """The distance `(b,)`."""
        views, codes = len(self.items), found.codes.flatten(1)
        cosines = unit(codes).reshape(views, -1, codes.shape[1]) @ self.items.mT  # (v, b, m)
        return Measured((1 - cosines.amax(2).mean(0)).double())

    def check(self, target: tuple[int, ...], code: tuple[int, ...], dtype: torch.dtype) -> None:  # noqa: ARG002
        """Refuses codes of another size."""
        views, samples = self.items.shape[:2] if self.items.ndim == 3 else (0, 0)
        self._check((views, samples, math.prod(code)), dtype)


class PositionDistance(Kept):
    """Distance of the code at each position to the nearest kept codes of positions `(m, c)`."""

    by_position = True
    needs = ("codes",)

    def forward(self, target: Tensor, found: Found) -> Measured:  # noqa: ARG002 (of the codes alone)
        """The distance of each position `(b, h, w)`."""
        codes = found.codes.movedim(1, -1)
        distance = distance_to_nearest(codes.flatten(0, 2), self.items)
        return Measured(distance.value.reshape(codes.shape[:3]))

    def check(self, target: tuple[int, ...], code: tuple[int, ...], dtype: torch.dtype) -> None:  # noqa: ARG002
        """Refuses codes of another size."""
        self._check((len(self.items), code[0]), dtype)


MEASURES: tuple[type[Measure], ...] = (
    Error, RelativeError, NormalizedError, PositionError, Surprise, PositionSurprise, RowDistance, CodeDistance,
    PositionDistance,
)  # fmt: skip
"""All of them, which model files name."""
