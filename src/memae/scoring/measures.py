"""Measures of abnormality, higher = more anomalous: errors and the surprise of a pretext task.

A new measure is one class here. What it learns from normal samples is computed by `fitting`, given at construction and
stored in buffers.
"""

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, avg_pool3d

from memae.losses import error_map, total_error
from memae.model import Found
from memae.parameters import Reduction

LEAST_EXPECTED = 0.05
"""Minimum expected error of a normalised element: small deviations are tolerated even where held-out errors are 0."""
CERTAIN = 0.01
"""Surprise in nats below which differences hardly count: the model is certain anyway."""
CONTRAST = 0.01
"""Minimum variance of a sample in `RelativeError`, for elements in a range of 1: a flat sample has none."""


class Measured(NamedTuple):
    """Values of a measure for b samples."""

    value: Tensor  # (b,), or of each position (b, h, w); higher = more anomalous
    parts: Tensor | None = None  # (b, *target): the part of each element; None if the value has no such parts


class Measure(nn.Module, ABC):
    """A measure of how unlike normal samples are."""

    name: ClassVar[str]  # error, surprise or distance
    by_position: ClassVar[bool] = False  # whether each position of the code has a value
    has_parts: ClassVar[bool] = False  # whether each element has a part
    needs: ClassVar[tuple[str, ...]] = ()  # fields of `Found` it uses besides x̂ and the fallback

    @abstractmethod
    def forward(self, target: Tensor, found: Found) -> Measured:
        """Measures b samples.

        Args:
            target: `Pretext.target` of the normalised samples `(b, *target)`, which x̂ reconstructs; without a pretext
                task the samples.
            found: output of the network.
        """

    def trust(self, normal: Tensor) -> Tensor:
        """Factor on the measure's weight, 0 to 1, from its values for held-out normal samples `(n,)` or `(n, h, w)`."""
        return normal.new_ones(())

    def added(self, measured: Measured) -> Tensor:
        """What elements add to the value, `(b, *target)`: they sum up to it, unless the measure is not additive."""
        assert measured.parts is not None  # noqa: S101 (called for measures with parts only)
        return measured.parts

    def deviation(self, parts: Tensor) -> Tensor:
        """`Measured.parts` `(b, *target)` as deviations of normalised elements, for pictures."""
        return parts

    def about(self) -> dict[str, Any]:
        """The constructor's arguments that are not tensors, JSON-ready."""
        return {}

    def check(self, target: tuple[int, ...], code: tuple[int, ...], dtype: torch.dtype) -> None:
        """Refuses a measure that does not fit a model.

        Args:
            target: shape of `Pretext.target` of a sample.
            code: shape `(c, *space)` of a code.
            dtype: of the model.

        Raises:
            ValueError: it does not fit.
        """


class Error(Measure):
    """Reconstruction error of a sample, Eq. 8.

    Args:
        reduction: "sum" or "mean" of squared errors, or mean "absolute" error; see `memae.losses`.
    """

    name = "error"
    has_parts = True

    def __init__(self, reduction: Reduction = "sum") -> None:
        super().__init__()
        self.reduction: Reduction = reduction

    def forward(self, target: Tensor, found: Found) -> Measured:
        """The error `(b,)`, and that of each element."""
        errors = error_map(target, found.x_hat, self.reduction)
        # The sum runs in float64: over a large sample, float32 would fail the parity test.
        return Measured(total_error(errors, self.reduction, torch.float64), errors)

    def added(self, measured: Measured) -> Tensor:
        """The elements' errors, or their shares of a mean."""
        parts = super().added(measured)
        return parts / (1 if self.reduction == "sum" else parts[0].numel())

    def deviation(self, parts: Tensor) -> Tensor:
        """The absolute difference between sample and reconstruction."""
        return parts if self.reduction == "absolute" else parts.sqrt()

    def about(self) -> dict[str, Any]:
        """The reduction."""
        return {"reduction": self.reduction}


class RelativeError(Measure):
    """Blurred error of a sample relative to its contrast; slightly displaced edges count little.

    Two moving averages over 3 elements per axis blur the difference, which is then squared to errors e. The value is
    √Σe², in which a few large errors count more than many small ones, divided by the sample's sum of squared deviations
    from its mean, so that samples of high contrast do not score higher. Not in the paper.
    """

    name = "error"
    has_parts = True

    def forward(self, target: Tensor, found: Found) -> Measured:
        """The value `(b,)`, and the blurred squared error of each element."""
        blur = avg_pool2d if target.ndim == 4 else avg_pool3d
        errors = blur(blur(target - found.x_hat, 3, 1, 1), 3, 1, 1).square()
        flat = target.flatten(1)
        variance = (flat - flat.mean(1, keepdim=True)).square().mean(1).clamp_min(CONTRAST)
        total = errors.flatten(1).square().sum(1, dtype=torch.float64).sqrt()
        return Measured(total / (variance * flat.shape[1]), errors)

    def deviation(self, parts: Tensor) -> Tensor:
        """The absolute blurred difference between sample and reconstruction."""
        return parts.sqrt()

    def check(self, target: tuple[int, ...], code: tuple[int, ...], dtype: torch.dtype) -> None:  # noqa: ARG002
        """Refuses samples without space dimensions."""
        if len(target) == 1:
            raise ValueError(f"the relative error needs samples with space dimensions; those of {target} have none")


class NormalizedError(Measure):
    """Sum of the elements' absolute errors, each divided by its expected error. Not in the paper.

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
        """The sum `(b,)`, and the normalised error of each element."""
        errors = error_map(target, found.x_hat, "absolute") / self.expected
        return Measured(total_error(errors, "sum", torch.float64), errors)

    def check(self, target: tuple[int, ...], code: tuple[int, ...], dtype: torch.dtype) -> None:  # noqa: ARG002
        """Refuses expected errors of another shape."""
        if self.expected.shape != target or not self.expected.is_floating_point():
            raise ValueError("the expected errors do not fit")


class PositionError(Measure):
    """Mean reconstruction error at each position of the code, over the scored channels and the position's elements.

    Not in the paper.

    Args:
        positions: height and width of the code.
        first: first scored channel of x̂; channels before it are restored, but not scored.
        reduction: "absolute" for absolute errors, else squared ones.
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
        """Positions, first channel and reduction."""
        return {"positions": list(self.positions), "first": self.first, "reduction": self.reduction}

    def check(self, target: tuple[int, ...], code: tuple[int, ...], dtype: torch.dtype) -> None:  # noqa: ARG002
        """Refuses a channel that x̂ lacks, and positions other than those of the code."""
        if len(target) != 3 or not 0 <= self.first < target[0]:
            raise ValueError(f"channel {self.first} does not fit samples restored as {target}")
        if self.positions != code[1:]:
            raise ValueError(f"positions {self.positions} do not fit codes of {code}")


class Surprise(Measure):
    """ln(1 + surprise / 0.01) of a pretext task with several outcomes; see `Pretext.surprise`.

    Its trust is how well the model solves the task on normal samples: 0 if it only guesses.

    Args:
        outcomes: number of outcomes that the model predicts among.
    """

    name = "surprise"
    needs = ("surprise",)

    def __init__(self, outcomes: int) -> None:
        super().__init__()
        self.outcomes = outcomes

    def forward(self, target: Tensor, found: Found) -> Measured:  # noqa: ARG002 (the surprise alone counts)
        """The logarithm `(b,)`, float64."""
        assert found.surprise is not None  # noqa: S101 (needed)
        return Measured((found.surprise.double() / CERTAIN).log1p())

    def trust(self, normal: Tensor) -> Tensor:
        """1 for a task that is always solved, 0 for one that is only guessed."""
        surprise = CERTAIN * normal.expm1().mean()
        return (1 - surprise / math.log(self.outcomes)).clamp_min(0)

    def about(self) -> dict[str, Any]:
        """The number of outcomes."""
        return {"outcomes": self.outcomes}

    def check(self, target: tuple[int, ...], code: tuple[int, ...], dtype: torch.dtype) -> None:  # noqa: ARG002
        """Refuses a task with fewer than two outcomes."""
        if self.outcomes < 2:
            raise ValueError(f"a surprise needs 2 outcomes or more; got {self.outcomes}")


class PositionSurprise(Measure):
    """Surprise of a pretext task that is solved at each position; see `Pretext.surprise`."""

    name = "surprise"
    by_position = True
    needs = ("surprise",)

    def forward(self, target: Tensor, found: Found) -> Measured:  # noqa: ARG002 (the surprise alone counts)
        """The surprise of each position `(b, h, w)`."""
        assert found.surprise is not None  # noqa: S101 (needed)
        return Measured(found.surprise)


class RegressionError(Measure):
    """Sum over the fields of what a linear regression from all other fields leaves, over its expected error.

    With the precision matrix P of normal samples (the inverse of their covariance), the residual of a group g of
    features, given all others, is P_gg⁻¹ (P (x − mean))_g. Not in the paper.

    Args:
        mean: of normal samples `(d,)`.
        residual: matrix that gives the residuals `(d, d)`; see `fitting.residual_matrix`.
        expected: mean absolute residual of each feature over normal samples `(d,)`.
    """

    name = "regression"
    has_parts = True
    mean: Tensor
    residual: Tensor
    expected: Tensor

    def __init__(self, mean: Tensor, residual: Tensor, expected: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("residual", residual)
        self.register_buffer("expected", expected)

    def forward(self, target: Tensor, found: Found) -> Measured:  # noqa: ARG002 (the samples alone count)
        """The sum `(b,)`, and the part of each feature."""
        parts = ((target - self.mean) @ self.residual.T).abs() / self.expected
        return Measured(parts.sum(1).double(), parts)

    def check(self, target: tuple[int, ...], code: tuple[int, ...], dtype: torch.dtype) -> None:  # noqa: ARG002
        """Refuses tensors for samples of another size."""
        wanted = {"mean": target, "residual": target * 2, "expected": target}
        if any(
            getattr(self, name).shape != shape or getattr(self, name).dtype != dtype for name, shape in wanted.items()
        ):
            raise ValueError("the regression does not fit the model")
