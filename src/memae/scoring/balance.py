"""Weights of the measures in the score, fitted on held-out normal samples."""

import math
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from memae.scoring.measures import Measure

KNOTS = 4
"""Number of knots of a surprise: at most one in eight normal samples lies beyond the last, enough to extrapolate."""
ROUNDING = 1e-9
"""Differences of a measure, which is in units of normalised features, that rounding might cause."""
ALIKE = 0.05
"""`Balance.halving` of a measure in which all normal samples agree: nothing tells then what is much."""


class Balance(nn.Module):
    """Weighted sum of k measures, at each position if they have positions.

    Args:
        weights: `(k,)`; None takes the first measure alone.
        baseline: subtracted from the measures at each position `(k, h, w)`: their normal deviation from the mean over
            all positions; None for none.
        knots: values of each measure that normal samples exceed with probability 1, 1/2, 1/4, 1/8 `(k, 4)`; None to sum
            the measures as they are. With them, each is first converted to its surprise, −log₂ of the probability that
            a normal sample exceeds it: linear between the knots, and beyond the last as if the excess were exponential.
        halving: excess over the last knot that halves the probability `(k,)`; None without knots.
    """

    weights: Tensor | None
    baseline: Tensor | None
    knots: Tensor | None
    halving: Tensor | None

    def __init__(
        self,
        weights: Tensor | None = None,
        baseline: Tensor | None = None,
        knots: Tensor | None = None,
        halving: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("weights", weights)
        self.register_buffer("baseline", baseline)
        self.register_buffer("knots", knots)
        self.register_buffer("halving", halving)

    @classmethod
    @torch.no_grad()
    def fit(cls, measures: Sequence[Measure], normal: Tensor) -> Self:
        """Weights each measure by its trust over its standard deviation on normal samples.

        For measures with positions, the standard deviation is that of each sample's highest position, and the baseline
        is the mean at each position minus the mean over all positions: people close to the camera cause more motion
        than people far away.

        Args:
            measures: k of them; a single one gets no weight.
            normal: their values for held-out normal samples, `(n, k)` or `(n, k, h, w)`.
        """
        baseline = None
        if normal.ndim > 2:
            mean = normal.mean(0)
            baseline = mean - mean.mean((1, 2), keepdim=True)
        if len(measures) == 1:
            return cls(None, baseline)
        highest = normal if normal.ndim == 2 else normal.flatten(2).amax(2)
        deviation = highest.std(0, correction=0)
        weights = (1 / torch.where(deviation > 0, deviation, 1.0)).double()
        trust = [measure.trust(normal[:, index]).to(weights) for index, measure in enumerate(measures)]
        return cls(weights * torch.stack(trust), baseline)

    @classmethod
    @torch.no_grad()
    def of_surprise(cls, normal: Tensor, weights: Tensor) -> Self:
        """Weighted sum of surprises.

        Args:
            normal: values of k measures for normal samples that were left out of what is measured `(n, k)`, float64.
            weights: of the surprises `(k,)`.
        """
        shares = torch.tensor([0.0, *(1 - 0.5**bit for bit in range(1, KNOTS))]).to(normal)
        knots = normal.quantile(shares, 0).T
        beyond = (normal - knots[:, -1]).clamp_min(0)
        halving = math.log(2) * beyond.sum(0) / (beyond > 0).sum(0).clamp_min(1)  # of an exponential distribution
        steps = knots.diff(dim=1).clamp_min(ROUNDING)
        knots = torch.cat([knots[:, :1], knots[:, :1] + steps.cumsum(1)], 1)
        halving = torch.where(halving > ROUNDING, halving, ALIKE)
        return cls(weights.to(normal), None, knots.contiguous(), halving)

    def surprise(self, values: Tensor) -> Tensor:
        """Measures `(b, k)` as surprises in bits, 0 or more."""
        assert self.knots is not None  # noqa: S101 (called with knots)
        assert self.halving is not None  # noqa: S101 (there are both or none)
        steps = torch.cat([self.knots.diff(dim=1), self.halving[:, None]], 1)
        passed = (values[..., None] - self.knots).clamp_min(0) / steps
        bits: Tensor = passed[..., :-1].clamp_max(1).sum(-1) + passed[..., -1]
        return bits

    def factors(self, values: Tensor) -> Tensor:
        """What each of the measures `(b, k)` is multiplied by in their sum, `(b, k)`."""
        assert self.weights is not None  # noqa: S101 (called with weights)
        if self.knots is None:
            return self.weights.expand_as(values)  # `len` would fix the batch of an exported graph
        values = values.to(self.knots)
        return self.weights * self.surprise(values) / torch.where(values == 0, 1.0, values)

    def forward(self, values: Tensor) -> Tensor:
        """The weighted sum of measures: `(b, k)` → `(b,)`, or `(b, k, h, w)` → `(b, h, w)`."""
        if self.baseline is not None:
            values = values - self.baseline
        if self.knots is not None:
            values = self.surprise(values.to(self.knots))
        if self.weights is None:
            return values[:, 0]
        weights = self.weights.to(values).reshape(-1, *[1] * (values.ndim - 2))
        summed: Tensor = (values * weights).sum(1)
        return summed
