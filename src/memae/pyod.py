"""The detector for tables with PyOD's conventions, for use with its tools.

Importing this module needs the extra `memae[pyod]`.

References:
    Zhao, Nasrullah, Li, PyOD: A Python Toolbox for Scalable Outlier Detection, JMLR 20 (2019),
    https://www.jmlr.org/papers/v20/19-011.html
"""

import math
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from memae.errors import MissingExtraError, OptionError
from memae.estimators import TabularMemAE
from memae.estimators.keeping import left_out_scores
from memae.kept import KeptMemory
from memae.scoring import Floats
from memae.scoring.neighbours import distance_to_others

try:
    from pyod.models.base import BaseDetector
except ImportError as error:
    raise MissingExtraError("memae.pyod needs the \"pyod\" extra: pip install 'memae[pyod]'") from error


class TabularDetector(BaseDetector):  # type: ignore[misc]  # PyOD has no types
    """`TabularMemAE` as a PyOD detector: label 1 means anomalous, 0 normal, and `contamination` sets the threshold.

    PyOD's training rows may contain anomalies. `contamination` is their share: `labels_` marks this share of the rows,
    and fitting leaves it out. With `clean`, all rows are taken for normal and none is left out.

    The threshold is PyOD's, a percentile of the scores of the training rows. For a guarantee on new rows, use memae's
    threshold, which is calibrated on rows that are scored as new ones: `detector_.predict`, `detector_.p_value`,
    `detector_.recalibrate`.

    X is an array `(n, d)` or a DataFrame, whose columns of text are categories; values may be missing. `predict`,
    `predict_proba` and `predict_confidence` are those of PyOD.

    Args:
        contamination: share of the training rows that may be anomalous, above 0 and at most 0.5; or a threshold of
            PyThresh, with which no rows are left out.
        detector: a clone of it is fitted; None takes the defaults. Its own `contamination` must be 0.
        clean: whether all training rows are normal, so that none is left out.

    Attributes:
        detector_: the fitted `TabularMemAE`.
        decision_scores_: scores of the training rows `(n,)`, higher = more anomalous. As in PyOD's KNN, the distance of
            a row to the kept rows ignores the row itself; `decision_function` of the same row is therefore lower.
        threshold_: score above which a row is an anomaly.
        labels_: 1 for training rows above the threshold, 0 for the others `(n,)`.

    Example:
        >>> from sklearn.datasets import load_breast_cancer
        >>> X, benign = load_breast_cancer(return_X_y=True)
        >>> rows = np.concatenate([X[benign == 1][:190], X[benign == 0][:10]])
        >>> detector = TabularDetector(contamination=0.05).fit(rows)
        >>> int(detector.labels_[:190].sum()), int(detector.labels_[190:].sum())
        (4, 6)
    """

    def __init__(
        self, contamination: float = 0.1, *, detector: TabularMemAE | None = None, clean: bool = False
    ) -> None:
        super().__init__(contamination=contamination)
        self.detector = detector
        self.clean = clean

    def fit(self, X: Any, y: object = None) -> Self:
        """Fits the detector to the rows that are not left out, and scores all rows.

        Args:
            X: training rows.
            y: ignored, with PyOD's warning.

        Raises:
            InputError: the rows cannot be used.
            OptionError: a parameter has an invalid value.
        """
        self._set_n_classes(y)
        self.detector_ = self._unfitted().fit(X)
        self.n_features_in_ = self.detector_.n_features_in_
        self.decision_scores_ = _scores_apart(self.detector_, X)
        self._process_decision_scores()
        return self

    def decision_function(self, X: Any) -> Floats:
        """Anomaly score of each row `(n,)`, higher = more anomalous."""
        check_is_fitted(self, "detector_")
        return self.detector_.anomaly_score(X)

    def _unfitted(self) -> TabularMemAE:
        detector = TabularMemAE() if self.detector is None else clone(self.detector)
        if not isinstance(detector, TabularMemAE):
            raise OptionError(f"detector must be a TabularMemAE or None; got {type(detector).__name__}")
        if detector.window is not None:
            raise OptionError("PyOD's detectors score single rows; use TabularMemAE(window=…) itself")
        if detector.contamination:
            raise OptionError(
                f"the detector has a contamination of its own ({detector.contamination:g}); leave it at 0, "
                "and give the share to TabularDetector"
            )
        share = self.contamination if isinstance(self.contamination, float | int) and not self.clean else 0.0
        detector.contamination = min(share, math.nextafter(0.5, 0))
        return detector


def _scores_apart(detector: TabularMemAE, X: Any) -> Floats:
    """Scores of training rows `(n,)`, where no row is its own neighbour.

    With itself among its nearest kept rows, a training row would seem closer to them than any new row.
    """
    scorer = detector.scorer_
    if isinstance(scorer.model.memory, KeptMemory):
        return left_out_scores(scorer, detector.encode(X))
    measures = torch.cat([part.measures for part in detector.scores(X, maps=False)])
    if scorer.kept is not None:
        rows, distance = scorer.normalise(detector.encode(X)), scorer.measured.index("distance")
        single = ~pd.DataFrame(rows.cpu().numpy()).duplicated(keep=False).to_numpy()  # duplicates are real neighbours
        for at in torch.split(torch.from_numpy(np.flatnonzero(single)), scorer.chunk):
            measures[at, distance] = distance_to_others(rows[at.to(rows.device)], scorer.kept.items).to(measures)
    return np.asarray(scorer.score(measures).numpy(), dtype=np.float64)
