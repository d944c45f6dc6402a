"""Drift check: whether new scores of normal samples still match those of the calibration.

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
"""Significance level: probability of a drift verdict without drift."""
WINDOW = 5.0
"""Number of correlation times over which autocorrelations are summed; beyond, they are noise."""


@dataclass(frozen=True)
class Drift:
    """Comparison of new scores with those of the calibration."""

    verdict: Verdict  # "like", "higher" or "lower" than at calibration, or with another "spread"
    p_value: float  # probability of a difference at least this large without drift
    realised: float  # share of the new scores above the threshold
    promised: float  # expected share above the threshold without drift
    low: float  # lower and upper end of the band that contains `realised` with 95 % probability without drift
    high: float
    samples: int
    independent: int  # effective sample size: as many independent scores tell as much

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
            f"the threshold, where {self.promised:.2%} were promised and {self.low:.2%} to {self.high:.2%} are "
            f"consistent with chance{alone}{advice}"
        )


_WORDS: dict[Verdict, tuple[str, str]] = {
    "like": ("like at calibration", ""),
    "higher": (
        "higher than at calibration",
        "; look at the highest: if they are normal, recalibrate with current normal samples, or refit",
    ),
    "lower": (
        "lower than at calibration",
        "; the threshold may miss anomalies: recalibrate with current normal samples, or refit",
    ),
    "spread": (
        "spread differently than at calibration",
        "; look at some: if they are normal, recalibrate with current normal samples, or refit",
    ),
}


def drift(calibration: Calibration, scores: Tensor, *, correlated: bool = False) -> Drift:
    """Compares new scores, most of which should be normal, with those of the calibration.

    Two tests share the level of 1 %: the Kolmogorov–Smirnov test compares the distributions; the second tests whether
    more or fewer scores exceed the threshold than chance allows, since alarms depend on the highest scores alone.

    Args:
        calibration: held-out scores and threshold.
        scores: new scores `(m,)`.
        correlated: whether consecutive scores are correlated, as those of frames. Both sample sizes are then divided by
            the correlation time of the new scores.

    Raises:
        InputError: no scores.

    Example:
        >>> calibration = Calibration(torch.arange(999.0), 0.05)
        >>> drift(calibration, torch.arange(0.0, 999.0, 5)).verdict
        'like'
        >>> drift(calibration, torch.arange(500.0, 999.0)).verdict
        'higher'
    """
    from scipy.stats import ks_2samp  # noqa: PLC0415 (slow to import)

    today = scores.detach().double().cpu().flatten()
    if not len(today):
        raise InputError("a drift check needs current scores; got none")
    held_out = calibration.scores.cpu()
    share = 1 / correlation_time(today) if correlated else 1.0
    apart = float(ks_2samp(held_out.numpy(), today.numpy()).statistic)
    judged = calibration.judge(today)
    return _told(calibration, apart, judged.is_anomaly.double().mean(), judged.p_value.mean(), len(today), share)


def drift_of_counts(calibration: Calibration, counted: Tensor, independent: float | None = None) -> Drift:
    """Compares new scores of which only their p-values were counted, in parts that were added.

    The same tests as `drift`, but distributions are compared at the held-out scores alone. So where scores lie between
    two of them does not matter, and the difference is at most that of `drift`.

    Args:
        calibration: held-out scores and threshold, with which the p-values were computed.
        counted: see `memae.scoring.calibration.counts` `(n + 2,)`.
        independent: number of independent scores that the new ones are worth; None for all of them.

    Raises:
        InputError: no scores, or counts for another number of held-out scores.

    Example:
        >>> from memae.scoring.calibration import counts
        >>> calibration = Calibration(torch.arange(999.0), 0.05)
        >>> parts = [counts(calibration.p_value(part), 999) for part in torch.arange(500.0, 999.0).split(100)]
        >>> drift_of_counts(calibration, sum(parts)).verdict
        'higher'
    """
    held_out, samples = calibration.scores.cpu(), int(counted.sum())
    if len(counted) != len(held_out) + 2:
        raise InputError(
            f"{len(held_out)} held-out scores have {len(held_out) + 2} counts; got {len(counted)}, of another model"
        )
    if not samples:
        raise InputError("a drift check needs current scores; got none")
    below = counted.flip(0).cumsum(0)[:-2].double() / samples  # up to each held-out score: p ≥ k / (n + 1)
    last = torch.searchsorted(held_out, held_out, right=True)  # of equal scores, the last counts
    apart = float((last.double() / len(held_out) - below[last - 1]).abs().max())
    level = torch.arange(len(counted)).double() / (len(held_out) + 1)
    flagged = counted[: round(calibration.promised() * (len(held_out) + 1)) + 1].sum() / samples
    share = 1.0 if independent is None else independent / samples
    return _told(calibration, apart, flagged, (level * counted).sum() / samples, samples, share)


def _told(calibration: Calibration, apart: float, flagged: Tensor, mean: Tensor, samples: int, share: float) -> Drift:
    """The verdict.

    Args:
        calibration: held-out scores and threshold.
        apart: Kolmogorov–Smirnov statistic of held-out and new scores.
        flagged: share of the new scores that is flagged.
        mean: of the new p-values.
        samples: number of new scores.
        share: number of independent scores that each is worth.
    """
    from scipy.stats import kstwo  # noqa: PLC0415 (slow to import)

    n, m = (max(round(count * share), 1) for count in (len(calibration.scores), samples))
    realised, promised = float(flagged), calibration.promised()
    low, high = _band(promised, n, m, 0.95)
    alarms = _of_alarms(promised, n, m, realised)
    p_value = min(2 * min(float(kstwo.sf(apart, max(round(n * m / (n + m)), 1))), alarms), 1.0)
    verdict: Verdict = "like"
    if p_value <= LEVEL:
        off = 0.5 - float(mean)
        error = math.sqrt((1 / n + 1 / m) / 12)
        moved: Verdict = "spread" if abs(off) < 2 * error else "higher" if off > 0 else "lower"
        by_alarms: Verdict = "higher" if realised > promised else "lower"
        verdict = by_alarms if alarms <= LEVEL / 2 else moved
    return Drift(verdict, p_value, realised, promised, low, high, samples, m)


def promised_band(
    calibration: Calibration, samples: int, confidence: float = 0.95, independent: int | None = None
) -> tuple[float, float]:
    """Band that contains the flagged share of `samples` new normal samples with probability `confidence` or more.

    Exact for scores without ties: over calibrations and samples, the number of flagged samples is beta-binomial.

    Args:
        calibration: held-out scores and threshold.
        samples: number of new ones.
        confidence: of the band.
        independent: number of independent scores that those of the calibration are worth; None for all of them.

    Example:
        >>> low, high = promised_band(Calibration(torch.arange(999.0), 0.05), 1000)
        >>> round(low, 3), round(high, 3)
        (0.032, 0.07)
    """
    return _band(calibration.promised(), independent or len(calibration.scores), samples, confidence)


def enough(rate: float, times: float = 2.0, confidence: float = 0.95) -> int:
    """Number of independent scores with which the flagged share stays below `times` the rate, at the band's upper end.

    Example:
        >>> enough(0.05)
        100
    """
    from scipy.stats import beta  # noqa: PLC0415 (slow to import)

    n = torch.arange(1, math.ceil(100 / rate)).double().numpy()
    high = beta.ppf((1 + confidence) / 2, rate * (n + 1), (1 - rate) * (n + 1))
    return int(n[(high <= times * rate).argmax()])


def _band(promised: float, n: int, m: int, confidence: float) -> tuple[float, float]:
    if not promised:
        return 0.0, 0.0
    flagged = _flagged(promised, n, m)
    return float(flagged.ppf((1 - confidence) / 2)) / m, float(flagged.ppf((1 + confidence) / 2)) / m


def _of_alarms(promised: float, n: int, m: int, realised: float) -> float:
    """Two-sided p-value of a share `realised` of flagged samples among m; 1 if none can be flagged."""
    if not promised:
        return 1.0
    flagged = _flagged(promised, n, m)
    count = round(realised * m)
    return min(2 * float(min(flagged.cdf(count), flagged.sf(count - 1))), 1.0)


def _flagged(promised: float, n: int, m: int) -> Any:
    """SciPy distribution of the number of flagged samples among m normal ones, over calibrations of n scores."""
    from scipy.stats import betabinom  # noqa: PLC0415 (slow to import)

    return betabinom(m, promised * (n + 1), (1 - promised) * (n + 1))


def independent(scores: Tensor) -> int:
    """Effective sample size: the number of independent scores that tell as much as consecutive ones `(m,)`."""
    return max(round(len(scores) / correlation_time(scores)), 1)


def correlation_time(scores: Tensor) -> float:
    """Number of consecutive scores `(m,)` that tell as much as an independent one: 1 + 2 Σ of the autocorrelations.

    The sum stops at the first lag that is at least `WINDOW` times the sum so far; a constant series has the value 1.

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
