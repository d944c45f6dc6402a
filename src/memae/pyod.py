"""The detector of tables with PyOD's conventions, for its tools and for code that was written for it.

Importing this room needs the extra `memae[pyod]`.

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
from memae.scoring import Floats
from memae.scoring.neighbours import distance_to_others

try:
    from pyod.models.base import BaseDetector
except ImportError as error:
    raise MissingExtraError("memae.pyod needs the \"pyod\" extra: pip install 'memae[pyod]'") from error


class TabularDetector(BaseDetector):  # type: ignore[misc]  # PyOD has no types
    """`TabularMemAE` as a detector of PyOD: 1 for anomalies and 0 for the others, `contamination` sets the threshold.

    PyOD is given rows of which some may be anomalous, and told how many: `contamination` is the share of the training
    rows that `labels_` marks. So it is also the share that is left out of training here; say `clean` where all rows are
    normal and the share is only that of the rows to mark.

    The threshold is PyOD's, a percentile of the scores of the training rows. A promise for rows to come is that of
    memae, which is made on rows that were held out: `detector_.predict`, `detector_.p_value`, `detector_.recalibrate`.

    X is an array `(n, d)` or a DataFrame, whose columns of text are categories; values may be missing. `predict`,
    `predict_proba` and `predict_confidence` are those of PyOD.

    Args:
        contamination: share of the training rows that may be anomalous, above 0 and at most 0.5, or a threshold of
            PyThresh, of which memae takes no share.
        detector: what is fitted, a clone of it; None takes the defaults. Its own `contamination` must stay 0.
        clean: whether all training rows are normal, so that none is left out.

    Attributes:
        detector_: the fitted `TabularMemAE`.
        decision_scores_: scores of the training rows `(n,)`, higher = more anomalous. A row does not count among the
            known rows to which its own distance is measured, as in PyOD's KNN; `decision_function` of the same row is
            lower therefore.
        threshold_: score above which a row is an anomaly.
        labels_: 1 for the training rows above it, 0 for the others `(n,)`.

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
        """Learns most of the rows, and scores all of them.

        Args:
            X: training rows.
            y: ignored, with PyOD's warning.

        Raises:
            InputError: the rows cannot be used.
            OptionError: a parameter has a value that cannot work.
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
        if detector.contamination:
            raise OptionError(
                f"the detector has a contamination of its own ({detector.contamination:g}); leave it at 0, "
                "and give the share to TabularDetector"
            )
        share = self.contamination if isinstance(self.contamination, float | int) and not self.clean else 0.0
        detector.contamination = min(share, math.nextafter(0.5, 0))
        return detector


def _scores_apart(detector: TabularMemAE, X: Any) -> Floats:
    """Scores of rows that were trained on `(n,)`, none of which is its own neighbour.

    With itself among the nearest known rows, a row would seem to be closer to them than any new one.
    """
    scorer = detector.scorer_
    measures = torch.cat([part.measures for part in detector.scores(X, maps=False)])
    if scorer.kept is not None:
        rows, distance = scorer.normalise(detector.encode(X)), scorer.measured.index("distance")
        single = ~pd.DataFrame(rows.cpu().numpy()).duplicated(keep=False).to_numpy()  # others have one like themselves
        for at in torch.split(torch.from_numpy(np.flatnonzero(single)), scorer.chunk):
            measures[at, distance] = distance_to_others(rows[at.to(rows.device)], scorer.kept.items).to(measures)
    return np.asarray(scorer.score(measures).numpy(), dtype=np.float64)
