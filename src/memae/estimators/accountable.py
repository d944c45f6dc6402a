"""p-values, explanations, drift and recalibration: what a detector offers besides its score."""

import math
import warnings
from abc import abstractmethod
from collections.abc import Collection, Iterator
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from memae.errors import MemaeWarning, OptionError
from memae.evidence import Evidence, Examples, Explainer
from memae.kinds import Kind
from memae.scoring import Floats, Scorer
from memae.scoring.calibration import Calibration, Judged, checked_rate, checked_scores, discoveries
from memae.scoring.drift import Drift, drift, independent


class Accountable:
    """What every detector offers besides the score; a mixin for scikit-learn's classes."""

    scorer_: Scorer
    examples_: Examples | None = None
    false_alarm_rate: float
    correlated: ClassVar[bool] = False  # whether consecutive samples are correlated
    _worth: int | None = None  # of consecutive scores of the calibration; None where they count as independent

    @property
    @abstractmethod
    def kind_(self) -> Kind:
        """Reads, scores and explains samples in the format of the training data."""

    def _reading(self, X: Any) -> tuple[Kind, Any]:
        """The kind that reads X, and the data it takes."""
        return self.kind_, X

    def _judge(self, X: Any) -> Judged:
        kind, given = self._reading(X)
        return Judged.joined(part.judged for part in kind.scored(self.scorer_, kind.open(given)))

    def anomaly_score(self, X: Any) -> Floats:
        """Anomaly score of each sample `(n,)`, or of each frame of video, one video after another.

        Higher = more anomalous; Eq. 8, or the weighted sum of `Scorer`.
        """
        return self._judge(X).score.numpy()

    def explain(self, X: Any, *, items: int = 5, only: Collection[int] | None = None) -> Iterator[Evidence]:
        """Explains the score of each sample: one `Evidence` after the other, in constant memory.

        Args:
            X: samples, as in `anomaly_score`.
            items: maximum number of memory items in each explanation, those with the largest weights first.
            only: indices of the samples to explain (for video of the frames, counted over all videos); None for all.

        Raises:
            OptionError: `items` is negative.

        Example:
            >>> from memae import TabularMemAE
            >>> detector = TabularMemAE().fit(np.random.default_rng(0).normal(size=(200, 2)))
            >>> [evidence] = detector.explain([[0.0, 9.0]])
            >>> evidence.name, evidence.is_anomaly, evidence.contributions[0].column
            ('row 0', True, 'x1')
        """
        check_is_fitted(self, "scorer_")
        if items < 0:
            raise OptionError(f"items must be 0 or more; got {items}")
        kind, given = self._reading(X)
        return kind.explain(Explainer(self.scorer_, self.examples_, items), given, only)

    def p_value(self, X: Any) -> Floats:
        """Conformal p-value of each sample `(n,)`; small = unlike the normal samples of the calibration."""
        return self._judge(X).p_value.numpy()

    def discoveries(self, X: Any, rate: float) -> NDArray[np.bool_]:
        """Flags samples of a batch `(n,)` such that on average at most a share of `rate` of the flagged is normal.

        `predict` bounds the share of normal samples that are flagged; this bounds the share of flagged samples that
        are normal, given the whole batch. See `memae.scoring.calibration.discoveries`.

        Args:
            X: the batch, as in `anomaly_score`.
            rate: the false-discovery rate, in (0, 1).
        """
        return discoveries(torch.from_numpy(self.p_value(X)), rate).numpy()

    def drift(self, X: Any) -> Drift:
        """Tests whether scores of new samples, most of which should be normal, still match those of the calibration.

        Args:
            X: new samples, as in `anomaly_score`.
        """
        return self.drifted(self.anomaly_score(X))

    def drifted(self, scores: Floats) -> Drift:
        """`drift` of anomaly scores that are already computed, in the order of their samples."""
        return drift(self.calibration_, torch.from_numpy(scores), correlated=self.correlated)

    def recalibrate(self, scores: Floats | None = None, *, false_alarm_rate: float | None = None) -> Self:
        """Sets a new false-alarm rate, new calibration scores, or both; nothing is refitted.

        Warns and sets the lowest possible rate if the scores are too few for the rate.

        Args:
            scores: `anomaly_score` of normal samples that the model was not trained on; None keeps the current scores.
            false_alarm_rate: share of normal samples that may be flagged; None keeps the current rate.

        Raises:
            InputError: `scores` are not anomaly scores `(n,)`.
            OptionError: the rate lies outside (0, 1).
        """
        check_is_fitted(self, "scorer_")
        current = self.scorer_.calibration
        rate = current.false_alarm_rate if current and false_alarm_rate is None else false_alarm_rate
        rate = checked_rate(self.false_alarm_rate if rate is None else rate)
        held_out = checked_scores(scores) if scores is not None or current is None else current.scores
        if scores is not None:
            self._worth = independent(held_out) if self.correlated else None
        calibration = Calibration(held_out, rate)
        if not calibration.can_keep():
            least = calibration.smallest_rate()
            more = " or a larger held_out" * self.scorer_.model.trained
            warnings.warn(
                f"{len(calibration.scores)} normal samples are too few for a false-alarm rate of {rate:g}, which needs "
                f"{math.ceil(1 / rate - 1e-9) - 1}; it is set to {least:.3g}, the lowest that they can promise. Give "
                f"more data{more}",
                MemaeWarning,
                stacklevel=2,
            )
            calibration = Calibration(held_out, least)
        peaks = self.scorer_.peaks
        if peaks is not None:  # those of the photos of training stay: scores tell nothing of maps
            peaks = Calibration(peaks.scores, max(calibration.false_alarm_rate, peaks.smallest_rate()))
        device = self.scorer_.device
        self.scorer_ = self.scorer_.replaced(calibration=calibration.to(device), peaks=peaks and peaks.to(device))
        return self

    @property
    def calibration_(self) -> Calibration:
        """Scores of normal samples that the model was not fitted on, or scored as if, and the false-alarm rate."""
        check_is_fitted(self, "scorer_")
        assert self.scorer_.calibration is not None  # noqa: S101 (fitted means calibrated)
        return self.scorer_.calibration

    @property
    def independent_(self) -> int:
        """Number of independent scores that tell as much as those of the calibration: of consecutive frames, fewer."""
        return self._worth or len(self.calibration_.scores)

    @property
    def threshold_(self) -> float:
        """The anomaly score above which a sample is flagged."""
        return self.calibration_.threshold()

    @property
    def offset_(self) -> float:
        """Minus the threshold, for scikit-learn."""
        return -self.threshold_
