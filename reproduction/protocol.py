"""How data become problems: what trains, what is held out, what is the test, drawn by seed."""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reproduction.datasets import Images, Rows


class OneClass(NamedTuple):
    """One class is normal; all others are anomalies, which only the test has."""

    training: NDArray[np.uint8]  # (n, h, w) or (n, h, w, 3), normal
    held_out: NDArray[np.uint8]  # normal, to choose by
    test: NDArray[np.uint8]
    labels: NDArray[np.int64]  # of the test, 1 for anomalies
    classes: NDArray[np.uint8]  # of the test, the sets' own


def one_class(images: Images, normal: int, seed: int) -> OneClass:
    """The problem of one class (section 4.1): normal images 2:1, a tenth of the first part held out, 30 % anomalies.

    The paper draws from all images of a set; which, it does not say (NOTE[DIFF] drawing: by seed, all normal ones).

    Args:
        images: training and test images of the set together.
        normal: the class.
        seed: of the drawing.
    """
    random = np.random.default_rng([seed, normal])
    ours = random.permutation(np.flatnonzero(images.labels == normal))
    trained = round(len(ours) * 2 / 3)
    held_out = round(trained * 0.1)
    anomalies = round((len(ours) - trained) * 0.3 / 0.7)
    others = random.choice(np.flatnonzero(images.labels != normal), anomalies, replace=False)
    test = np.concatenate([ours[trained:], others])
    return OneClass(
        images.pixels[ours[held_out:trained]],
        images.pixels[ours[:held_out]],
        images.pixels[test],
        (images.labels[test] != normal).astype(np.int64),
        images.labels[test],
    )


class OneClassRows(NamedTuple):
    """A table of which only normal rows are learned."""

    training: NDArray[np.float64]  # (n, d), normal
    test: NDArray[np.float64]
    labels: NDArray[np.int64]  # of the test, 1 for anomalies


MOST_ROWS = 20_000
"""That any method learns of a table, so that the quadratic ones finish."""


def one_class_rows(rows: Rows, seed: int) -> OneClassRows:
    """70 % of the normal rows for training, at most `MOST_ROWS` of them; the rest and all anomalies are the test.

    Args:
        rows: a table, labelled.
        seed: of the drawing.
    """
    random = np.random.default_rng(seed)
    normal = random.permutation(np.flatnonzero(rows.labels == 0))
    trained = round(0.7 * len(normal))
    test = np.concatenate([normal[trained:], np.flatnonzero(rows.labels == 1)])
    return OneClassRows(rows.values[normal[:trained][:MOST_ROWS]], rows.values[test], rows.labels[test])


SHARES = (0.0, 0.05, 0.1, 0.2)
"""Shares of anomalies among the training rows; which rows they are, no detector knows."""
MOST_CONTAMINATED = 2_000
FEWEST_CONTAMINATED = 100


def contaminated_rows(rows: Rows, share: float, seed: int) -> OneClassRows | None:
    """The one-class problem with anomalies among the training rows, always with the same normal rows and test.

    Half of the anomalies may be learned, the other half is tested; so many normal rows are learned that the half gives
    the largest share, at most 2,000. None for a table with too few anomalies for 100 normal rows.

    Args:
        rows: a table, labelled.
        share: of the training rows that are anomalous, one of `SHARES`.
        seed: of the drawing.
    """
    clean = one_class_rows(rows, seed)
    anomalies = np.random.default_rng([seed, 1]).permutation(np.flatnonzero(rows.labels == 1))
    half = len(anomalies) // 2
    normal = min(len(clean.training), round(half * (1 - SHARES[-1]) / SHARES[-1]), MOST_CONTAMINATED)
    if normal < FEWEST_CONTAMINATED:
        return None
    added = rows.values[anomalies[: round(normal * share / (1 - share))]]
    return OneClassRows(
        np.concatenate([clean.training[:normal], added]),
        np.concatenate([clean.test[clean.labels == 0], rows.values[anomalies[half:]]]),
        np.repeat([0, 1], [int((clean.labels == 0).sum()), len(anomalies) - half]),
    )


class Halves(NamedTuple):
    """KDDCUP as section 4.3 splits it; indices of rows."""

    training: NDArray[np.int64]  # normal rows of the first half
    held_out: NDArray[np.int64]  # normal rows of it too, to choose by
    test: NDArray[np.int64]  # the second half
    wider: NDArray[np.int64]  # the normal rows of the second half and all anomalies, a split in wide use


def halves(labels: NDArray[np.int64], seed: int, held_out: float = 0.1) -> Halves:
    """A random half of the rows, of which the normal ones are learned, and the other half for the test.

    Args:
        labels: 1 for anomalies `(n,)`.
        seed: of the drawing.
        held_out: share of the learned half's normal rows (NOTE[DIFF] held-out: the paper has none for tables).
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    first, second = np.array_split(order, 2)
    normal, unused = first[labels[first] == 0], first[labels[first] == 1]
    count = round(held_out * len(normal))
    return Halves(normal[count:], normal[:count], second, np.concatenate([second, unused]))


class Flagged(NamedTuple):
    """How well the rows agree with the labels that a threshold flags."""

    precision: float
    recall: float
    f1: float


def flagged(labels: NDArray[np.int64], scores: NDArray[np.float64], threshold: float) -> Flagged:
    """The figures of the rows whose score lies above a threshold; 0 where none does."""
    above = scores > threshold
    hits = int(labels[above].sum())
    precision, recall = hits / max(int(above.sum()), 1), hits / max(int(labels.sum()), 1)
    return Flagged(precision, recall, 2 * precision * recall / (precision + recall) if hits else 0.0)


def top(scores: NDArray[np.float64], share: float) -> float:
    """The threshold above which a share of the scores lies; fewer where many are equal to it."""
    return float(np.quantile(scores, 1 - share))


def tensor(pixels: np.ndarray[Any, Any]) -> Tensor:
    """Pixels of 8 bits `(n, h, w)` or `(n, h, w, 3)` → `(n, c, h, w)` in [0, 1]."""
    images = torch.from_numpy(pixels)
    images = images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2)
    return (images.float() / 255).contiguous()
