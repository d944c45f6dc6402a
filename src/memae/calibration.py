"""How sure: held-out normal scores give thresholds and conformal p-values.

References:
    Bates et al., Testing for outliers with conformal p-values, Annals of Statistics 51 (2023),
    https://arxiv.org/abs/2104.08279
"""

import math

import torch
from torch import Tensor, nn

from memae.errors import InputError, OptionError


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
    """

    scores: Tensor
    rate: Tensor

    def __init__(self, scores: Tensor, false_alarm_rate: float = 0.05) -> None:
        super().__init__()
        scores = scores.detach().double().cpu().flatten()
        if not len(scores):
            raise InputError("calibration needs the scores of held-out normal samples; got none")
        if not scores.isfinite().all():
            raise InputError("calibration scores must be finite; the model or the held-out data hold NaN or infinity")
        self.register_buffer("scores", scores.sort().values)
        self.register_buffer("rate", torch.tensor(checked_rate(false_alarm_rate), dtype=torch.float64))

    @property
    def false_alarm_rate(self) -> float:
        """Share of normal samples that may be flagged."""
        return float(self.rate)

    def p_value(self, scores: Tensor) -> Tensor:
        """Conformal p-values: (1 + number of held-out scores as high) / (n + 1), float64, the shape of `scores`.

        A normal sample gets p ≤ α with probability at most α, if it is exchangeable with the held-out ones.
        """
        below = torch.searchsorted(self.scores, scores.detach().to(self.scores), right=False)
        return (1 + len(self.scores) - below).double() / (len(self.scores) + 1)

    def strength(self, scores: Tensor) -> Tensor:
        """Scores on a scale from 0, the lowest held-out one or less, to 1, the threshold, and beyond; for pictures."""
        low, high = float(self.scores[0]), self.threshold()
        return ((scores - low) / max(high - low, torch.finfo(scores.dtype).tiny)).clamp_min(0)

    def threshold(self, rate: float | None = None) -> float:
        """The score above which a sample is flagged at a false-alarm rate, which is p-value ≤ rate.

        Infinite where fewer than 1 / rate − 1 held-out scores are known: the promise cannot be kept then.
        """
        rate = self.false_alarm_rate if rate is None else checked_rate(rate)
        allowed = min(math.floor(rate * (len(self.scores) + 1) + 1e-9), len(self.scores))
        return float(self.scores[-allowed]) if allowed else math.inf

    def smallest_rate(self) -> float:
        """The lowest false-alarm rate that so many held-out scores can promise."""
        return 1 / (len(self.scores) + 1)


def checked_rate(rate: float) -> float:
    """`rate` if it lies in (0, 1)."""
    if not 0 < rate < 1:
        raise OptionError(f"the false-alarm rate must lie between 0 and 1, both excluded; got {rate}")
    return float(rate)
