"""Scores beside Eq. 8, for the controls: what a score alone does for any autoencoder."""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from memae.losses import reconstruction_error


def every_score(x: Tensor, x_hat: Tensor) -> dict[str, Tensor]:
    """Eq. 8 and others, of images `(b, c, h, w)` in [0, 1] and their reconstructions; each `(b,)`, float64."""
    energy = x.square().flatten(1).sum(1, dtype=torch.float64).clamp_min(1e-6)
    error = (x - x_hat).double()
    blurred = avg_pool2d(avg_pool2d(error, 3, 1, 1), 3, 1, 1).flatten(1)
    squared = reconstruction_error(x.double(), x_hat.double())
    return {
        "squared": squared,
        "absolute": error.abs().flatten(1).mean(1),
        "relative": squared / energy,
        "relative blurred": blurred.square().sum(1) / energy,
        "relative blurred peaks": blurred.pow(4).sum(1).sqrt() / energy,
    }
