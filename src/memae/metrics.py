"""Quality of scores, given labels (1 or True = anomalous): arrays in, numbers out."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from memae.errors import InputError
from memae.pixel_metrics import PixelTally, pixel_auroc, pro

__all__ = [
    "Estimate",
    "PixelTally",
    "Quality",
    "auroc",
    "average_precision",
    "checked",
    "pixel_auroc",
    "pro",
    "quality",
    "video_auroc",
]

Floats = NDArray[np.float64]


class Estimate(NamedTuple):
    """A figure with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def as_json(self) -> dict[str, float | None]:
        """The three numbers, rounded; None for NaN."""
        return {name: None if math.isnan(each) else round(each, 6) for name, each in self._asdict().items()}


class Quality(NamedTuple):
    """How well scores and decisions agree with labels."""

    auroc: Estimate  # area under the ROC curve
    average_precision: Estimate
    precision: Estimate  # at the threshold; NaN if nothing is flagged
    recall: Estimate
    f1: Estimate


def checked(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    """Labels as bool and scores as float64, both `(n,)`.

    Raises:
        InputError: they differ in length, a score is not finite, or there is only one class.
    """
    y, s = np.asarray(labels).astype(bool), np.asarray(scores, dtype=np.float64)
    if y.shape != s.shape or y.ndim != 1:
        raise InputError(f"labels and scores must be one-dimensional and of one length; got {y.shape} and {s.shape}")
    if not np.isfinite(s).all():
        raise InputError("scores must be finite; some are NaN or infinite")
    if y.all() or not y.any():
        kind = "anomalous" if len(y) and y.all() else "normal"
        raise InputError(f"all {len(y)} labels are {kind}; evaluation needs both normal and anomalous samples")
    return y, s


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve.

    Example:
        >>> auroc([0, 0, 1], [0.1, 0.4, 0.9])
        1.0
    """
    y, s = checked(labels, scores)
    return float(roc_auc_score(y, s))


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Average precision, the area under the precision-recall curve as a sum of steps."""
    y, s = checked(labels, scores)
    return float(average_precision_score(y, s))


def quality(labels: ArrayLike, scores: ArrayLike, threshold: float, *, rounds: int = 500, seed: int = 0) -> Quality:
    """All figures for independent samples, with intervals from a stratified bootstrap.

    Args:
        labels: `(n,)`.
        scores: `(n,)`.
        threshold: scores above it are flagged.
        rounds: bootstrap rounds, each with as many normal and as many anomalous samples as there are.
        seed: of the rounds.

    Example:
        >>> quality([0, 0, 1, 1], [1.0, 2.0, 3.0, 4.0], threshold=3.5).recall.value
        0.5
    """
    y, s = checked(labels, scores)
    # Equal scores form one group, and a round samples the number of samples of each class in each group. This equals
    # resampling the samples, without sorting again.
    values, group = np.unique(s, return_inverse=True)
    flagged = values > threshold
    normal, anomalous = (np.bincount(group[y == label], minlength=len(values)).astype(float) for label in (False, True))
    rng = np.random.default_rng(seed)
    resampled = [_figures(_resampled(normal, rng), _resampled(anomalous, rng), flagged) for _ in range(rounds)]
    low, high = _interval(np.array(resampled))
    return Quality(*map(Estimate, _figures(normal, anomalous, flagged), low.tolist(), high.tolist()))


def _interval(figures: Floats) -> tuple[Floats, Floats]:
    """Ends of the middle 95 % of each column of bootstrap figures, ignoring NaN; NaN for columns of NaN alone."""
    never = np.isnan(figures).all(0)
    low, high = np.where(never, np.nan, np.nanquantile(np.where(never, 0.0, figures), [0.025, 0.975], axis=0))
    return low, high


def _resampled(counts: Floats, rng: np.random.Generator) -> Floats:
    total = int(counts.sum())
    return rng.multinomial(total, counts / total).astype(float)


def _figures(normal: Floats, anomalous: Floats, flagged: NDArray[np.bool_]) -> list[float]:
    """AUROC, average precision, precision, recall and F1 from the class counts of each score group, ascending."""
    below = np.cumsum(normal) - normal
    area = float((anomalous * (below + normal / 2)).sum() / (normal.sum() * anomalous.sum()))
    hits, calls = np.cumsum(anomalous[::-1]), np.cumsum((anomalous + normal)[::-1])
    precisions = np.divide(hits, calls, out=np.zeros_like(hits), where=calls > 0)
    average = float((precisions * anomalous[::-1]).sum() / anomalous.sum())
    hit, called = anomalous[flagged].sum(), (anomalous + normal)[flagged].sum()
    recall = hit / anomalous.sum()
    f1 = 2 * hit / (called + anomalous.sum())
    return [area, average, float(hit / called) if called else float("nan"), float(recall), float(f1)]


def video_auroc(
    labels: Sequence[NDArray[np.bool_]], scores: Sequence[Floats], *, rounds: int = 500, seed: int = 0
) -> tuple[Estimate, Estimate]:
    """Frame AUROC of several videos: micro, over all frames together, and macro, the mean over videos.

    Frames of one video are dependent, so the bootstrap resamples whole videos. The macro mean ignores videos whose
    frames are all of one class, for which AUROC is undefined.

    Args:
        labels: of the frames `(t,)` of each video.
        scores: of the frames `(t,)` of each video.
        rounds: bootstrap rounds. The interval of a single video is NaN.
        seed: of the rounds.

    Raises:
        InputError: labels and scores differ in number, or there are no frames or frames of only one class.
    """
    pairs = [(np.asarray(y, dtype=bool), np.asarray(s, dtype=np.float64)) for y, s in zip(labels, scores, strict=True)]
    checked(np.concatenate([y for y, _ in pairs]), np.concatenate([s for _, s in pairs]))
    own = np.array([roc_auc_score(y, s) if y.any() and not y.all() else np.nan for y, s in pairs])

    def micro(chosen: NDArray[np.int64]) -> float:
        y, s = (np.concatenate([pairs[index][part] for index in chosen]) for part in (0, 1))
        return float(roc_auc_score(y, s)) if y.any() and not y.all() else float("nan")

    def macro(chosen: NDArray[np.int64]) -> float:
        return float(np.nanmean(own[chosen])) if not np.isnan(own[chosen]).all() else float("nan")

    return _over_videos(micro, len(pairs), rounds, seed), _over_videos(macro, len(pairs), rounds, seed)


def _over_videos(figure: Callable[[NDArray[np.int64]], float], videos: int, rounds: int, seed: int) -> Estimate:
    rng = np.random.default_rng(seed)
    figures = np.array([figure(rng.integers(videos, size=videos)) for _ in range(rounds)])
    low, high = _interval(figures) if videos > 1 else (np.nan, np.nan)  # one video has no spread
    return Estimate(figure(np.arange(videos)), float(low), float(high))
