"""How measures are weighed against each other, by held-out normal samples alone."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from memae.scoring.measures import Measure


class Balance(nn.Module):
    """Measures of samples → one value, at each position where they have positions.

    Args:
        weights: of the k measures `(k,)`; None lets the first count alone.
        baseline: what measures are at each position besides their mean over all positions, `(k, h, w)`; None for none.
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
        """Weighs each measure in its standard deviation over normal samples, by how far it can be trusted.

        Where measures have positions, those of the highest position of each sample count; and the mean at each
        position, less that of all positions, becomes the baseline: where people walk close by, more moves than where
        they walk far off.

        Args:
            measures: k of them.
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
        trust = [measure.trust(normal[:, place]).to(weights) for place, measure in enumerate(measures)]
        return cls(weights * torch.stack(trust), baseline)

    def forward(self, values: Tensor) -> Tensor:
        """The weighed sum of measures `(b, k, …)` → `(b, …)`."""
        if self.baseline is not None:
            values = values - self.baseline
        if self.weights is None:
            return values[:, 0]
        weights = self.weights.to(values).reshape(-1, *[1] * (values.ndim - 2))
        summed: Tensor = (values * weights).sum(1)
        return summed
