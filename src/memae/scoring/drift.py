"""Whether the promise still holds: are today's scores of normal samples like those of the calibration?

References:
    Vovk, Conditional validity of inductive conformal predictors, ACML 2012: the realised rate is beta-distributed.
    Sokal, Monte Carlo methods in statistical mechanics, 1997: the correlation time of a series.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from memae.errors import InputError
from memae.scoring.calibration import Calibration

Verdict = Literal["like", "higher", "lower", "spread"]
LEVEL = 0.01
"""How often scores that are like those of the calibration may be told to be not."""
WINDOW = 5.0
"""Correlation times over which autocorrelations are summed up; beyond, they are noise."""


@dataclass(frozen=True)
class Drift:
    """How scores of today compare with those of the calibration."""

    verdict: Verdict  # "like", "higher" or "lower" than at calibration, or with another "spread"
    p_value: float  # how often scores that are like those of the calibration differ as much
    realised: float  # share of today's scores above the threshold
    promised: float  # that share over all calibrations and samples, if normal scores are what they were
    low: float  # the band in which `realised` then lies with 95 %
    high: float
    samples: int
    independent: int  # as many independent ones they are worth

    @property
    def sentence(self) -> str:
        """The verdict in plain words, and what to do."""
        begin, advice = _WORDS[self.verdict]
        worth = "" if self.independent == self.samples else f", worth {self.independent} independent ones"
        alone = (
            "" if self.verdict == "like" or not self.low <= self.realised <= self.high else "; all scores have moved"
        )
        p_value = "p < 0.0001" if self.p_value < 1e-4 else f"p = {self.p_value:.2g}"
        return (
            f"the scores are {begin} ({p_value}): of {self.samples}{worth}, {self.realised:.2%} lie above "
            f"the threshold, where {self.promised:.2%} were promised and {self.low:.2%} to {self.high:.2%} would be "
            f"chance{alone}{advice}"
        )


_WORDS: dict[Verdict, tuple[str, str]] = {
    "like": ("like at calibration", ""),
    "higher": (
        "higher than at calibration",
        "; look at the highest: if they are normal, recalibrate with normal samples of today, or refit",
    ),
    "lower": (
        "lower than at calibration",
        "; the threshold may be missing anomalies: recalibrate with normal samples of today, or refit",
    ),
    "spread": (
        "spread otherwise than at calibration",
        "; look at some: if they are normal, recalibrate with normal samples of today, or refit",
    ),
}


def drift(calibration: Calibration, scores: Tensor, *, correlated: bool = False) -> Drift:
    """Compares scores of today, most of which should be normal, with those of the calibration.

    Two tests share the level of 1 %: of Kolmogorov and Smirnov, whether the scores are distributed alike; and, since
    alarms are made of the highest scores alone, whether more or fewer of them exceed the threshold than chance allows.

    Args:
        calibration: held-out scores and threshold.
        scores: of today `(m,)`.
        correlated: whether scores that follow each other are alike, as those of frames. All then count as fewer, by the
            correlation time of today's.

    Raises:
        InputError: no scores.

    Example:
        >>> calibration = Calibration(torch.arange(999.0), 0.05)
        >>> drift(calibration, torch.arange(0.0, 999.0, 5)).verdict
        'like'
        >>> drift(calibration, torch.arange(500.0, 999.0)).verdict
        'higher'
    """
    from scipy.stats import ks_2samp, kstwo  # noqa: PLC0415 (slow to import)

    today = scores.detach().double().cpu().flatten()
    if not len(today):
        raise InputError("a drift check needs scores of today; got none")
    known = calibration.scores.cpu()
    share = 1 / correlation_time(today) if correlated else 1.0
    n, m = (max(round(len(each) * share), 1) for each in (known, today))
    realised = float((today > calibration.threshold()).double().mean())
    promised = calibration.promised()
    low, high = _band(promised, n, m, 0.95)
    apart = kstwo.sf(ks_2samp(known.numpy(), today.numpy()).statistic, max(round(n * m / (n + m)), 1))
    alarms = _of_alarms(promised, n, m, realised)
    p_value = min(2 * min(float(apart), alarms), 1.0)
    verdict: Verdict = "like"
    if p_value <= LEVEL:
        off = 0.5 - float(calibration.p_value(today).mean())
        error = math.sqrt((1 / n + 1 / m) / 12)
        moved: Verdict = "spread" if abs(off) < 2 * error else "higher" if off > 0 else "lower"
        by_alarms: Verdict = "higher" if realised > promised else "lower"
        verdict = by_alarms if alarms <= LEVEL / 2 else moved
    return Drift(verdict, p_value, realised, promised, low, high, len(today), m)


def promised_band(calibration: Calibration, samples: int, confidence: float = 0.95) -> tuple[float, float]:
    """Where the share of flagged ones among so many new normal samples lies, with at least this probability.

    Exact for scores without ties: over calibrations and samples, the number of flagged ones is beta-binomial.

    Example:
        >>> low, high = promised_band(Calibration(torch.arange(999.0), 0.05), 1000)
        >>> round(low, 3), round(high, 3)
        (0.032, 0.07)
    """
    return _band(calibration.promised(), len(calibration.scores), samples, confidence)


def _band(promised: float, n: int, m: int, confidence: float) -> tuple[float, float]:
    if not promised:
        return 0.0, 0.0
    flagged = _flagged(promised, n, m)
    return float(flagged.ppf((1 - confidence) / 2)) / m, float(flagged.ppf((1 + confidence) / 2)) / m


def _of_alarms(promised: float, n: int, m: int, realised: float) -> float:
    """How often so many of m samples are flagged, or a share as unusual on the other side."""
    if not promised:
        return 1.0
    flagged = _flagged(promised, n, m)
    count = round(realised * m)
    return min(2 * float(min(flagged.cdf(count), flagged.sf(count - 1))), 1.0)


def _flagged(promised: float, n: int, m: int) -> Any:
    """How many of m new normal samples are flagged, over calibrations of n scores: a distribution of SciPy's."""
    from scipy.stats import betabinom  # noqa: PLC0415 (slow to import)

    return betabinom(m, promised * (n + 1), (1 - promised) * (n + 1))


def correlation_time(scores: Tensor) -> float:
    """How many consecutive scores `(m,)` tell as much as an independent one: 1 + 2 Σ of the autocorrelations.

    The sum goes up to the first lag that is `WINDOW` times what has been summed up; a constant series counts as 1.

    Example:
        >>> correlation_time(torch.randn(10000, generator=torch.Generator().manual_seed(0))) < 1.1
        True
    """
    x = scores.double() - scores.double().mean()
    power = torch.fft.rfft(x, 2 * len(x)).abs().square()
    covariance = torch.fft.irfft(power, 2 * len(x))[: len(x)]
    if covariance[0] <= 0:
        return 1.0
    times = 2 * (covariance / covariance[0]).cumsum(0) - 1
    enough = torch.arange(len(times)) >= WINDOW * times
    last = int(enough.nonzero()[0]) if enough.any() else len(times) - 1
    return max(float(times[last]), 1.0)
