"""How sure: held-out normal scores give thresholds and conformal p-values.

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
    """What a calibration says of the scores of n samples; `Calibration.judge` makes it, and nothing else does."""

    score: Tensor  # (n,), float64, higher = more anomalous
    p_value: Tensor  # (n,), float64
    is_anomaly: Tensor  # (n,), bool

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """All parts as one; none are no samples."""
        columns = list(zip(*parts, strict=True))
        if not columns:
            return cls(torch.zeros(0).double(), torch.zeros(0).double(), torch.zeros(0, dtype=torch.bool))
        return cls(*map(torch.cat, columns))


class Calibration(nn.Module):
    """Scores of held-out normal samples, and the false-alarm rate to keep.

    Both the rate and the scores can be exchanged after training; the model stays as it is.

    Args:
        scores: anomaly scores of normal samples that the model was not trained on `(n,)`.
        false_alarm_rate: share of normal samples that may be flagged, in (0, 1).

    Raises:
        InputError: no scores, or one that is not finite.
        OptionError: a rate outside (0, 1).

    Example:
        >>> calibration = Calibration(torch.arange(99.0), false_alarm_rate=0.05)
        >>> calibration.threshold()
        94.0
        >>> calibration.p_value(torch.tensor([94.5, 1e9]))
        tensor([0.0500, 0.0100], dtype=torch.float64)
        >>> calibration.judge(torch.tensor([94.0, 94.5])).is_anomaly
        tensor([False,  True])
    """

    scores: Tensor
    rate: Tensor
    limit: Tensor  # the threshold at that rate

    def __init__(self, scores: Tensor, false_alarm_rate: float = 0.05) -> None:
        super().__init__()
        scores = scores.detach().double().cpu().flatten()
        if not len(scores):
            raise InputError("calibration needs the scores of held-out normal samples; got none")
        if not scores.isfinite().all():
            raise InputError("calibration scores must be finite; the model or the held-out data hold NaN or infinity")
        self.register_buffer("scores", scores.sort().values)
        self.register_buffer("rate", torch.tensor(checked_rate(false_alarm_rate), dtype=torch.float64))
        # a buffer, since an exported graph would round a number to float32, which the held-out score that is the
        # threshold may exceed
        self.register_buffer("limit", torch.tensor(self.threshold(), dtype=torch.float64), persistent=False)

    @property
    def false_alarm_rate(self) -> float:
        """Share of normal samples that may be flagged."""
        return float(self.rate)

    def judge(self, scores: Tensor) -> Judged:
        """The one decision: p-value and flag of each score, in float64, on the device of `scores`.

        A score that is not a number is flagged: an exported graph, which runs this too, refuses nothing.
        """
        score = scores.detach().double()
        return Judged(score, self.p_value(score), ~(score <= self.limit.to(score.device)))

    def p_value(self, scores: Tensor) -> Tensor:
        """Conformal p-values: (1 + number of held-out scores as high) / (n + 1), float64, shape and device of `scores`.

        A normal sample gets p ≤ α with probability at most α, if it is exchangeable with the held-out ones.
        """
        search = _below if torch.compiler.is_exporting() else torch.searchsorted
        below = search(self.scores, scores.detach().to(self.scores))
        return (1 + len(self.scores) - below).double().to(scores.device) / (len(self.scores) + 1)

    def strength(self, scores: Tensor) -> Tensor:
        """Scores on a scale from 0, the lowest held-out one or less, to 1, the threshold, and beyond; for pictures."""
        low, high = float(self.scores[0]), self.threshold()
        return ((scores - low) / max(high - low, torch.finfo(scores.dtype).tiny)).clamp_min(0)

    def threshold(self, rate: float | None = None) -> float:
        """The score above which a sample is flagged at a false-alarm rate, which is p-value ≤ rate.

        Infinite where fewer than 1 / rate − 1 held-out scores are known: the promise cannot be kept then.
        """
        allowed = self._allowed(rate)
        return float(self.scores[-allowed]) if allowed else math.inf

    def promised(self, rate: float | None = None) -> float:
        """Share of normal samples that the threshold flags: the rate, rounded down to what so many scores can tell.

        Less where scores are equal.
        """
        return self._allowed(rate) / (len(self.scores) + 1)

    def _allowed(self, rate: float | None) -> int:
        """How many held-out scores may be as high as the threshold or higher."""
        rate = self.false_alarm_rate if rate is None else checked_rate(rate)
        return min(math.floor(rate * (len(self.scores) + 1) + 1e-9), len(self.scores))

    def smallest_rate(self) -> float:
        """The lowest false-alarm rate that so many held-out scores can promise."""
        return 1 / (len(self.scores) + 1)

    def can_keep(self) -> bool:
        """Whether so many held-out scores can promise the false-alarm rate in use."""
        return self.smallest_rate() <= self.false_alarm_rate * (1 + 1e-9)


def _below(known: Tensor, scores: Tensor) -> Tensor:
    """How many of `known`, ascending, are lower than each score: `torch.searchsorted` by what every engine can do."""
    count = torch.zeros_like(scores, dtype=torch.int64)
    for power in reversed(range(len(known).bit_length())):
        further = count + 2**power
        lower = ~(known[further.clamp_max(len(known)) - 1] >= scores)  # NaN is above all, as there
        count = torch.where((further <= len(known)) & lower, further, count)
    return count


def discoveries(p_values: Tensor, rate: float) -> Tensor:
    """Which samples of a batch are anomalies, so that of those named a share of `rate` at most is normal, on average.

    The procedure of Benjamini and Hochberg: a sample is judged by its p-value and by how many others have low ones.
    Conformal p-values all depend on the same held-out scores, and it keeps its promise (Bates et al., Theorem 2).

    Args:
        p_values: of the whole batch `(m,)`.
        rate: the false-discovery rate, in (0, 1).

    Returns:
        bool, `(m,)`.

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


def fewest_discoveries(held_out: int, samples: int, rate: float) -> int:
    """How many of so many samples must lie above all held-out scores together for `discoveries` to name any.

    Example:
        >>> fewest_discoveries(held_out=99, samples=1000, rate=0.1)
        100
    """
    return math.ceil(samples / (rate * (held_out + 1)) - 1e-9)


def checked_rate(rate: float, name: str = "false-alarm") -> float:
    """`rate` if it lies in (0, 1)."""
    if not 0 < rate < 1:
        raise OptionError(f"the {name} rate must lie between 0 and 1, both excluded; got {rate}")
    return float(rate)


def checked_scores(scores: object) -> Tensor:
    """Anomaly scores `(n,)` of any form of array.

    Raises:
        InputError: they are something else, for instance the samples.
    """
    found = scores.detach().cpu().numpy() if isinstance(scores, Tensor) else np.asarray(scores)
    if found.ndim != 1 or found.dtype.kind not in "fiu":
        raise InputError(
            "recalibrate takes anomaly scores of normal samples, numbers (n,), as anomaly_score gives them; "
            f"got {type(scores).__name__} of shape {found.shape}"
        )
    return torch.from_numpy(found.astype(np.float64))
