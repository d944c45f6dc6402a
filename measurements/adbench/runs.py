"""One run on a table of ADBench: one detector, one split."""

import time
import warnings
from typing import Any

import numpy as np

from measurements.adbench.detectors import BY_KEY
from memae import TabularMemAE
from memae.metrics import auroc, average_precision
from memae.scoring import Floats
from reproduction import datasets
from reproduction.protocol import OneClassRows, contaminated_rows, one_class_rows

Found = dict[str, Any]


def measure(name: str, method: str, seed: int) -> Found:
    """AUROC, average precision and seconds of one detector on one table.

    All are given the same rows, standardised by those for training, since most of them go by distance and none but ours
    and three of theirs would do so themselves.

    Args:
        name: of the table.
        method: key of a detector.
        seed: of drawing and detector.
    """
    problem = one_class_rows(datasets.adbench(name), seed)
    scores, missing, seconds = _scores(_made(method, problem, seed), problem)
    return {
        "auroc": auroc(problem.labels, scores),
        "average_precision": average_precision(problem.labels, scores),
        **seconds,
        "rows": {
            "training": len(problem.training),
            "test": len(problem.test),
            "anomalies": int(problem.labels.sum()),
        },
        "columns": problem.training.shape[1],
        "scores_missing": missing,
    }


def measure_contaminated(name: str, method: str, share: float, seed: int) -> Found:
    """AUROC with anomalies among the training rows.

    Args:
        name: of the table.
        method: key of a detector.
        share: of the training rows, one of `protocol.SHARES`.
        seed: of drawing and detector.
    """
    problem = contaminated_rows(datasets.adbench(name), share, seed)
    if problem is None:
        return {"auroc": None}
    scores, missing, _ = _scores(_made(method, problem, seed, share), problem)
    return {
        "auroc": auroc(problem.labels, scores),
        "rows": {"training": len(problem.training), "test": len(problem.test)},
        "scores_missing": missing,
    }


def _made(method: str, problem: OneClassRows, seed: int, share: float = 0.0) -> Any:
    return BY_KEY[method].make(problem.training.shape[1], seed, share)


def _scores(detector: Any, problem: OneClassRows) -> tuple[Floats, int, dict[str, float]]:
    """Scores of the test, the number of missing ones, and the seconds to fit and to score."""
    center, spread = problem.training.mean(0), problem.training.std(0)
    scale = np.where(spread > 0, spread, 1.0)
    training, test = ((part - center) / scale for part in (problem.training, problem.test))
    score = detector.anomaly_score if isinstance(detector, TabularMemAE) else detector.decision_function
    with warnings.catch_warnings(action="ignore"):
        began = time.perf_counter()
        detector.fit(training)
        fitted = time.perf_counter()
        scores = score(test)
        scored = time.perf_counter()
    none = np.isnan(scores)  # rows without a score rank in the middle
    scores = np.nan_to_num(np.where(none, np.median(scores[~none]) if not none.all() else 0.0, scores))
    return (
        scores,
        int(none.sum()),
        {"fit_seconds": round(fitted - began, 4), "score_seconds": round(scored - fitted, 4)},
    )
