"""Weights of the measures in the score, fitted on held-out normal samples."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from memae.scoring.measures import Measure


class Balance(nn.Module):
    """Weighted sum of k measures, at each position if they have positions.

    Args:
        weights: `(k,)`; None takes the first measure alone.
        baseline: subtracted from the measures at each position `(k, h, w)`: their normal deviation from the mean over
            all positions; None for none.
    """

    weights: Tensor | None
    baseline: Tensor | None

    def __init__(self, weights: Tensor | None = None, baseline: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("weights", weights)
        self.register_buffer("baseline", baseline)

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

    def forward(self, values: Tensor) -> Tensor:
        """The weighted sum of measures: `(b, k)` → `(b,)`, or `(b, k, h, w)` → `(b, h, w)`."""
        if self.baseline is not None:
            values = values - self.baseline
        if self.weights is None:
            return values[:, 0]
        weights = self.weights.to(values).reshape(-1, *[1] * (values.ndim - 2))
        summed: Tensor = (values * weights).sum(1)
        return summed
