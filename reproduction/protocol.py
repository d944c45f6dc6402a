"""Splits of data sets into training, held-out and test samples, sampled by seed."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from reproduction.datasets import Frame, Images, Rows


class OneClass(NamedTuple):
    """A one-class problem: one class is normal; all others are anomalies and occur only in the test."""

    training: NDArray[np.uint8]  # (n, h, w) or (n, h, w, 3), normal
    held_out: NDArray[np.uint8]  # normal, for model selection
    test: NDArray[np.uint8]
    labels: NDArray[np.int64]  # of the test, 1 for anomalies
    classes: NDArray[np.uint8]  # of the test, original classes


def one_class(images: Images, normal: int, seed: int) -> OneClass:
    """The problem of one class (section 4.1).

    Normal images are split 2:1 into training and test, a tenth of the former is held out, and 30 % of the test are
    anomalies.

    The paper samples from all images of a set but does not say how (NOTE[DIFF] drawing: by seed, all normal ones).

    Args:
        images: training and test images of the set together.
        normal: the normal class.
        seed: seed of the split.
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
    """A one-class problem on a table: only normal rows are learned."""

    training: NDArray[np.float64]  # (n, d), normal
    test: NDArray[np.float64]
    labels: NDArray[np.int64]  # of the test, 1 for anomalies


MOST_ROWS = 20_000
"""Maximum number of training rows, so that methods of quadratic cost finish."""


def one_class_rows(rows: Rows, seed: int) -> OneClassRows:
    """A split with 70 % of the normal rows, at most `MOST_ROWS`, for training; the rest and all anomalies are the test.

    Args:
        rows: a labelled table.
        seed: seed of the split.
    """
    training, test = _one_class(rows.labels, seed, MOST_ROWS)
    return OneClassRows(rows.values[training], rows.values[test], rows.labels[test])


class OneClassFrame(NamedTuple):
    """A one-class problem on a table with categories and missing values."""

    training: pd.DataFrame  # normal rows
    test: pd.DataFrame
    labels: NDArray[np.int64]  # of the test, 1 for anomalies


def one_class_frame(frame: Frame, seed: int, most: int = MOST_ROWS) -> OneClassFrame:
    """The split of `one_class_rows`.

    Args:
        frame: a labelled table.
        seed: seed of the split.
        most: maximum number of training rows.
    """
    training, test = _one_class(frame.labels, seed, most)
    given, asked = (frame.columns.iloc[index].reset_index(drop=True) for index in (training, test))
    return OneClassFrame(given, asked, frame.labels[test])


def _one_class(labels: NDArray[np.int64], seed: int, most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of rows for training and test."""
    normal = np.random.default_rng(seed).permutation(np.flatnonzero(labels == 0))
    trained = round(0.7 * len(normal))
    return normal[:trained][:most], np.concatenate([normal[trained:], np.flatnonzero(labels == 1)])


SHARES = (0.0, 0.05, 0.1, 0.2)
"""Shares of anomalies among the training rows, which are unlabelled."""
MOST_CONTAMINATED = 2_000
FEWEST_CONTAMINATED = 100


def contaminated_rows(rows: Rows, share: float, seed: int) -> OneClassRows | None:
    """The one-class problem with anomalies among the training rows; normal rows and test are the same for all shares.

    Half of the anomalies is for training, the other half for the test. The number of normal training rows, at most
    2,000, is such that the first half suffices for the largest share. None for a table with too few anomalies for 100
    normal rows.

    Args:
        rows: a labelled table.
        share: share of anomalies among the training rows, one of `SHARES`.
        seed: seed of the split.
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
    held_out: NDArray[np.int64]  # further normal rows of the first half, for model selection
    test: NDArray[np.int64]  # the second half
    wider: NDArray[np.int64]  # the second half and all anomalies of the first, a split in wide use


def halves(labels: NDArray[np.int64], seed: int, held_out: float = 0.1) -> Halves:
    """A random split into halves: the normal rows of the first are learned, the second is the test.

    Args:
        labels: 1 for anomalies `(n,)`.
        seed: seed of the split.
        held_out: share of the first half's normal rows (NOTE[DIFF] held-out: the paper has none for tables).
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    first, second = np.array_split(order, 2)
    normal, unused = first[labels[first] == 0], first[labels[first] == 1]
    count = round(held_out * len(normal))
    return Halves(normal[count:], normal[:count], second, np.concatenate([second, unused]))


class Flagged(NamedTuple):
    """Agreement of flagged rows with the labels."""

    precision: float
    recall: float
    f1: float


def flagged(labels: NDArray[np.int64], scores: NDArray[np.float64], threshold: float) -> Flagged:
    """The figures for rows whose score is above a threshold; 0 if there are none."""
    above = scores > threshold
    hits = int(labels[above].sum())
    precision, recall = hits / max(int(above.sum()), 1), hits / max(int(labels.sum()), 1)
    return Flagged(precision, recall, 2 * precision * recall / (precision + recall) if hits else 0.0)


def top(scores: NDArray[np.float64], share: float) -> float:
    """The threshold above which a share of the scores lies; fewer lie above it if many equal it."""
    return float(np.quantile(scores, 1 - share))


def tensor(pixels: np.ndarray[Any, Any]) -> Tensor:
    """Pixels of 8 bits `(n, h, w)` or `(n, h, w, 3)` → `(n, c, h, w)` in [0, 1]."""
    images = torch.from_numpy(pixels)
    images = images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2)
    return (images.float() / 255).contiguous()
