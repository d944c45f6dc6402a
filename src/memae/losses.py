"""Reconstruction error and the training objective: Eq. 8 and 10 of the paper."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, avg_pool3d

from memae import parameters
from memae.parameters import Reduction

Criterion = Literal[parameters.Criterion, "usual"]


def error_map(x: Tensor, x_hat: Tensor, reduction: Reduction = "sum") -> Tensor:
    """Error of each element, the shape of x: squared, or absolute for "absolute"."""
    difference = x_hat - x
    return difference.abs() if reduction == "absolute" else difference.square()


def reconstruction_error(x: Tensor, x_hat: Tensor, reduction: Reduction = "sum") -> Tensor:
    """Reconstruction error R of each sample, `(b, …)` → `(b,)`; Eq. 8.

    Args:
        x: samples.
        x_hat: their reconstructions x̂, the same shape.
        reduction: "sum" of squares over the elements as Eq. 8, their "mean", or the mean "absolute" error
            (the authors' code). It sets what the weight α of the entropy means.

    Example:
        >>> reconstruction_error(torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 0.0]]))
        tensor([5.])
    """
    return total_error(error_map(x, x_hat, reduction), reduction)


def total_error(errors: Tensor, reduction: Reduction = "sum", dtype: torch.dtype | None = None) -> Tensor:
    """R of each sample from the errors of its elements, `(b, …)` → `(b,)`, added up in `dtype`."""
    each = errors.flatten(1)
    return each.sum(1, dtype=dtype) if reduction == "sum" else each.mean(1, dtype=dtype)


CONTRAST = 0.01
"""Variance of the pixels, of a range of 1, that an image counts as having at least: a flat one has none."""


def criterion_map(x: Tensor, x_hat: Tensor, criterion: Criterion = "error", reduction: Reduction = "sum") -> Tensor:
    """Error of each element, the shape of x, as a score counts it.

    Args:
        x: samples `(b, …)`.
        x_hat: their reconstructions.
        criterion: "error" is `error_map`; "relative", for images and clips, the square of the difference blurred by two
            means over 3 elements a side, in which an edge that is a little off counts little; "usual" the absolute
            error, which `Scorer` divides by its mean over held-out normal samples. Both are not in the paper.
        reduction: of "error".
    """
    if criterion != "relative":
        return error_map(x, x_hat, "absolute" if criterion == "usual" else reduction)
    blur = avg_pool2d if x.ndim == 4 else avg_pool3d
    return blur(blur(x - x_hat, 3, 1, 1), 3, 1, 1).square()


def criterion_total(
    errors: Tensor,
    x: Tensor,
    criterion: Criterion = "error",
    reduction: Reduction = "sum",
    dtype: torch.dtype | None = None,
) -> Tensor:
    """The error of each sample `(b,)` from those of its elements, of the shape of x `(b, …)`, added up in `dtype`.

    "usual" adds them up.
    "relative" takes the root of their sum of squares, in which few large ones count more than many small ones, over the
    sample's sum of squared deviations from its mean, so that one of high contrast counts no more than others.
    """
    if criterion != "relative":
        return total_error(errors, "sum" if criterion == "usual" else reduction, dtype)
    flat = x.flatten(1)
    variance = (flat - flat.mean(1, keepdim=True)).square().mean(1).clamp_min(CONTRAST)
    return errors.flatten(1).square().sum(1, dtype=dtype).sqrt() / (variance * flat.shape[1])


def objective(error: Tensor, entropy: Tensor, alpha: float) -> Tensor:
    """Training objective, mean over the samples of R + αE; Eq. 10.

    Args:
        error: R of each sample `(b,)`.
        entropy: E of each query `(b, *space)`; where a sample has several positions, their mean is its E
            (NOTE[DIFF] positions: the paper does not say; the authors' code does so).
        alpha: α; 0.0002 in the paper.

    Example:
        >>> objective(torch.tensor([1.0, 3.0]), torch.tensor([10.0, 0.0]), alpha=0.1)
        tensor(2.5000)
    """
    return error.mean() + alpha * entropy.mean()
