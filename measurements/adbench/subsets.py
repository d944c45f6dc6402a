"""Subsets of the measures that the score sums up."""

from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memae.metrics import auroc
from memae.scoring import Scorer

Subset = tuple[str, ...]
MEASURES = ("error", "distance", "local distance", "regression")
"""The measures of `TabularMemAE()`, in its order."""


def subsets() -> list[Subset]:
    """Every subset with at least one measure, the largest first."""
    return [each for size in range(len(MEASURES), 0, -1) for each in combinations(MEASURES, size)]


def key(subset: Subset) -> str:
    """Names a subset in records: "error+distance"."""
    return "+".join(subset)


def subset_aurocs(scorer: Scorer, measured: Tensor, labels: NDArray[np.int64]) -> dict[str, float]:
    """AUROC of each subset: its measures are summed as the detector does, with the same surprises and weights.

    A measure that the detector leaves out (a table of one column has no regression) is missing in the subset as well.

    Args:
        scorer: of a fitted `TabularMemAE()`.
        measured: values of its measures for each row, `Scores.measures` `(n, k)`.
        labels: 1 for anomalies `(n,)`.
    """
    balance = scorer.balance
    assert balance.weights is not None  # noqa: S101 (several measures are weighted)
    bits = balance.surprise(measured.to(balance.weights))
    found = {}
    for subset in subsets():
        members = torch.tensor([name in subset for name in scorer.measured])
        found[key(subset)] = auroc(labels, (bits * (balance.weights * members)).sum(1).numpy())
    return found
