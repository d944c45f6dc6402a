"""Thresholds and conformal p-values from the scores of held-out normal samples.

References:
    Bates et al., Testing for outliers with conformal p-values, Annals of Statistics 51 (2023),
    https://arxiv.org/abs/2104.08279
"""

import math
from collections.abc import Iterable
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn

from memae.errors import InputError, OptionError


class Judged(NamedTuple):
    """Scores of n samples with their p-values and flags; made by `Calibration.judge` alone."""

    score: Tensor  # (n,), float64, higher = more anomalous
    p_value: Tensor  # (n,), float64
    is_anomaly: Tensor  # (n,), bool

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """Concatenates parts; without parts, the result has no samples."""
        columns = list(zip(*parts, strict=True))
        if not columns:
            return cls(torch.zeros(0).double(), torch.zeros(0).double(), torch.zeros(0, dtype=torch.bool))
        return cls(*map(torch.cat, columns))


class Calibration(nn.Module):
    """Scores of held-out normal samples and the false-alarm rate.

    Both can be replaced after training, without a change to the model.

    Args:
        scores: anomaly scores of normal samples that the model was not trained on `(n,)`.
        false_alarm_rate: share of normal samples that may be flagged, in (0, 1).

    Raises:
        InputError: there are no scores, or a score is not finite.
        OptionError: the rate lies outside (0, 1).

    Example:
        >>> calibration = Calibration(torch.arange(99.0), false_alarm_rate=0.05)
        >>> calibration.threshold()
        94.0
        >>> calibration.p_value(torch.tensor([94.5, 1e9]))
        tensor([0.0500, 0.0100], dtype=torch.float64)
        >>> calibration.judge(torch.tensor([94.0, 94.5])).is_anomaly
        tensor([False,  True])
    """

    scores: Tensor  # (n,), float64, ascending
    rate: Tensor
    limit: Tensor  # the threshold at this rate

    def __init__(self, scores: Tensor, false_alarm_rate: float = 0.05) -> None:
        super().__init__()
        scores = scores.detach().double().cpu().flatten()
        if not len(scores):
            raise InputError("calibration needs the scores of held-out normal samples; got none")
        if not scores.isfinite().all():
            raise InputError("calibration scores must be finite; the model or the held-out data hold NaN or infinity")
        self.register_buffer("scores", scores.sort().values)
        self.register_buffer("rate", torch.tensor(checked_rate(false_alarm_rate), dtype=torch.float64))
        # A buffer: an exported graph would round a Python number to float32, and the held-out score that is the
        # threshold might exceed it.
        self.register_buffer("limit", torch.tensor(self.threshold(), dtype=torch.float64), persistent=False)

    @property
    def false_alarm_rate(self) -> float:
        """Share of normal samples that may be flagged."""
        return float(self.rate)

    def judge(self, scores: Tensor) -> Judged:
        """p-value and flag of each score `(n,)`, in float64, on the device of `scores`; the only place that decides.

        NaN is flagged, since an exported graph, which includes this, cannot raise errors.
        """
        score = scores.detach().double()
        return Judged(score, self.p_value(score), ~(score <= self.limit.to(score.device)))

    def p_value(self, scores: Tensor) -> Tensor:
        """Conformal p-values (1 + number of held-out scores ≥ score) / (n + 1).

        They are float64, with the shape and on the device of `scores`. A normal sample that is exchangeable with the
        held-out ones gets p ≤ α with probability at most α.
        """
        search = _below if torch.compiler.is_exporting() else torch.searchsorted
        below = search(self.scores, scores.detach().to(self.scores))
        return (1 + len(self.scores) - below).double().to(scores.device) / (len(self.scores) + 1)

    def strength(self, scores: Tensor) -> Tensor:
        """Scores rescaled for pictures: 0 up to the lowest held-out score, 1 at the threshold, more above it."""
        low, high = float(self.scores[0]), self.threshold()
        return ((scores - low) / max(high - low, torch.finfo(scores.dtype).tiny)).clamp_min(0)

    def threshold(self, rate: float | None = None) -> float:
        """The score above which a sample is flagged (p-value ≤ rate).

        Infinite with fewer than 1 / rate − 1 held-out scores, which are too few to guarantee the rate.

        Args:
            rate: false-alarm rate in (0, 1); None takes that of the calibration.
        """
        allowed = self._allowed(rate)
        return float(self.scores[-allowed]) if allowed else math.inf

    def promised(self, rate: float | None = None) -> float:
        """Expected share of normal samples that are flagged: the rate, rounded down to a multiple of 1 / (n + 1).

        Less if held-out scores are tied.

        Args:
            rate: see `threshold`.
        """
        return self._allowed(rate) / (len(self.scores) + 1)

    def _allowed(self, rate: float | None) -> int:
        """Number of held-out scores at or above the threshold, without ties."""
        rate = self.false_alarm_rate if rate is None else checked_rate(rate)
        return min(math.floor(rate * (len(self.scores) + 1) + 1e-9), len(self.scores))

    def smallest_rate(self) -> float:
        """The lowest false-alarm rate that n held-out scores can guarantee: 1 / (n + 1)."""
        return 1 / (len(self.scores) + 1)

    def can_keep(self) -> bool:
        """Whether there are enough held-out scores to guarantee the false-alarm rate."""
        return self.smallest_rate() <= self.false_alarm_rate * (1 + 1e-9)


def _below(ascending: Tensor, scores: Tensor) -> Tensor:
    """Number of scores in `ascending` below each score: `torch.searchsorted` by operators that engines support."""
    count = torch.zeros_like(scores, dtype=torch.int64)
    for power in reversed(range(len(ascending).bit_length())):
        further = count + 2**power
        lower = ~(ascending[further.clamp_max(len(ascending)) - 1] >= scores)  # NaN is above all, as in searchsorted
        count = torch.where((further <= len(ascending)) & lower, further, count)
    return count


def discoveries(p_values: Tensor, rate: float) -> Tensor:
    """Flags samples of a batch such that on average at most a share of `rate` of the flagged samples is normal.

    This is the procedure of Benjamini and Hochberg, whose limit for p-values depends on all p-values of the batch. The
    guarantee also holds for conformal p-values, which all depend on the same held-out scores (Bates et al., Theorem 2).

    Args:
        p_values: of the whole batch `(m,)`.
        rate: the false-discovery rate, in (0, 1).

    Returns:
        flags `(m,)`, bool.

    Example:
        >>> discoveries(torch.tensor([0.01, 0.02, 0.03, 0.5]), 0.05)
        tensor([ True,  True,  True, False])
    """
    rate = checked_rate(rate, "false-discovery")
    ordered = p_values.detach().double().sort().values
    line = rate * torch.arange(1, len(ordered) + 1, device=ordered.device).double() / max(len(ordered), 1)
    below = ordered[ordered <= line * (1 + 1e-9)]  # 0.29 · 100 is 28.999999999999996
    limit = below[-1] if len(below) else -1.0
    return p_values.detach().double() <= limit


def counts(p_values: Tensor, held_out: int) -> Tensor:
    """How many p-values have each of their possible values: of k / (n + 1), the number at index k, `(n + 2,)`, int64.

    Counts of parts of a batch add up to those of the batch, and are all that `limit` needs.

    Args:
        p_values: of `Calibration.p_value` `(m,)`.
        held_out: n, the number of held-out scores.

    Example:
        >>> counts(torch.tensor([0.25, 0.5, 0.5, 1.0]), held_out=3)
        tensor([0, 1, 2, 0, 1])
    """
    level = (p_values.detach().double().cpu() * (held_out + 1)).round().long()
    return torch.bincount(level, minlength=held_out + 2)


def limit(counted: Tensor, rate: float) -> float:
    """The p-value up to which samples are discoveries, as `discoveries` flags them; 0 if none is one.

    Args:
        counted: `counts` of the whole batch `(n + 2,)`.
        rate: the false-discovery rate, in (0, 1).

    Example:
        >>> limit(counts(torch.tensor([0.01, 0.02, 0.03, 0.5]), held_out=99), 0.05)
        0.03
    """
    return limit_among(torch.arange(len(counted)).double() / (len(counted) - 1), counted, rate)


def limit_among(p_values: Tensor, counted: Tensor, rate: float) -> float:
    """`limit` of p-values that come from calibrations of different sizes.

    Args:
        p_values: the different values, ascending `(k,)`.
        counted: how many samples have each `(k,)`.
        rate: the false-discovery rate, in (0, 1).

    Example:
        >>> limit_among(torch.tensor([0.25, 0.5, 1.0]).double(), torch.tensor([1, 0, 1]), 0.6)
        0.25
    """
    rate = checked_rate(rate, "false-discovery")
    line = rate * counted.cumsum(0).double() / counted.sum().clamp_min(1)
    below = ((p_values <= line * (1 + 1e-9)) & (counted > 0)).nonzero()
    return float(p_values[below[-1]]) if len(below) else 0.0


def fewest_discoveries(held_out: int, samples: int, rate: float) -> int:
    """Number of samples above all held-out scores without which `discoveries` flags none.

    Args:
        held_out: number of held-out scores.
        samples: number of samples in the batch.
        rate: the false-discovery rate.

    Example:
        >>> fewest_discoveries(held_out=99, samples=1000, rate=0.1)
        100
    """
    return math.ceil(samples / (rate * (held_out + 1)) - 1e-9)


def checked_rate(rate: float, name: str = "false-alarm") -> float:
    """`rate` as a float.

    Raises:
        OptionError: it lies outside (0, 1).
    """
    if not 0 < rate < 1:
        raise OptionError(f"the {name} rate must lie between 0 and 1, both excluded; got {rate}")
    return float(rate)


def checked_scores(scores: object) -> Tensor:
    """Anomaly scores `(n,)` of any array type as float64.

    Raises:
        InputError: they are not one-dimensional and numeric, for instance samples instead of scores.
    """
    array = scores.detach().cpu().numpy() if isinstance(scores, Tensor) else np.asarray(scores)
    if array.ndim != 1 or array.dtype.kind not in "fiu":
        raise InputError(
            "recalibrate takes anomaly scores of normal samples, numbers (n,), as anomaly_score gives them; "
            f"got {type(scores).__name__} of shape {array.shape}"
        )
    return torch.from_numpy(array.astype(np.float64))
