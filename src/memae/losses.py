"""Reconstruction error and the training objective: Eq. 8 and 10 of the paper."""

import torch
from torch import Tensor

from memae.parameters import Reduction


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
            (the authors' code). The meaning of the weight α of the entropy depends on it.

    Example:
        >>> reconstruction_error(torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 0.0]]))
        tensor([5.])
    """
    return total_error(error_map(x, x_hat, reduction), reduction)


def total_error(errors: Tensor, reduction: Reduction = "sum", dtype: torch.dtype | None = None) -> Tensor:
    """R of each sample from the errors of its elements, `(b, …)` → `(b,)`, accumulated in `dtype`."""
    each = errors.flatten(1)
    return each.sum(1, dtype=dtype) if reduction == "sum" else each.mean(1, dtype=dtype)


def objective(error: Tensor, entropy: Tensor, alpha: float) -> Tensor:
    """Training objective, mean over the samples of R + αE; Eq. 10.

    Args:
        error: R of each sample `(b,)`.
        entropy: E of each query `(b, *space)`; E of a sample with several positions is their mean
            (NOTE[DIFF] positions: not specified in the paper; as in the authors' code).
        alpha: α; 0.0002 in the paper.

    Example:
        >>> objective(torch.tensor([1.0, 3.0]), torch.tensor([10.0, 0.0]), alpha=0.1)
        tensor(2.5000)
    """
    return error.mean() + alpha * entropy.mean()
