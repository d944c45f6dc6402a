"""Eq. 8 and other scores of a reconstruction, for the controls: what a score alone does for any autoencoder.

Each takes images `(b, c, h, w)` in [0, 1] and their reconstructions, and gives `(b,)` in float64.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from memae.losses import error_map, total_error

Score = Callable[[Tensor, Tensor], Tensor]


def squared(x: Tensor, x_hat: Tensor) -> Tensor:
    """Eq. 8, the paper's."""
    return total_error(error_map(x, x_hat), dtype=torch.float64)


def absolute(x: Tensor, x_hat: Tensor) -> Tensor:
    """Mean of the absolute errors, that of the authors' code."""
    return total_error(error_map(x, x_hat, "absolute"), "absolute", torch.float64)


def relative(x: Tensor, x_hat: Tensor) -> Tensor:
    """Squared error over the image's own sum of squares."""
    return squared(x, x_hat) / _energy(x)


def relative_blurred(x: Tensor, x_hat: Tensor) -> Tensor:
    """The same of blurred errors, under which strokes that are slightly off count little."""
    return _blurred(x - x_hat).square().sum(1, dtype=torch.float64) / _energy(x)


def relative_peaks(x: Tensor, x_hat: Tensor) -> Tensor:
    """The same with the fourth power, under which few large errors count more than many small ones."""
    return _blurred(x - x_hat).pow(4).sum(1, dtype=torch.float64).sqrt() / _energy(x)


def _energy(x: Tensor) -> Tensor:
    return x.square().flatten(1).sum(1, dtype=torch.float64).clamp_min(1e-6)


def _blurred(error: Tensor) -> Tensor:
    return avg_pool2d(avg_pool2d(error, 3, 1, 1), 3, 1, 1).flatten(1)


SCORES: dict[str, Score] = {
    "squared": squared,
    "absolute": absolute,
    "relative": relative,
    "relative blurred": relative_blurred,
    "relative peaks": relative_peaks,
}
"""Every score, by the name that results carry."""
