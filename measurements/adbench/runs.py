"""One run on a table: one detector, one split."""

import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from measurements.adbench.detectors import BY_KEY, OURS, TIMED, Detector, Given
from measurements.adbench.subsets import subset_aurocs
from measurements.adbench.tables import TABLES
from measurements.timing import interleaved
from memae import TabularMemAE
from memae.data.tables import TableEncoder
from memae.metrics import auroc, average_precision
from memae.scoring import Floats
from reproduction import datasets
from reproduction.protocol import OneClassRows, contaminated_rows, one_class_frame, one_class_rows

Found = dict[str, Any]
ROUNDS = 3
"""How often each detector is fitted to measure its time, after once that does not count."""


class Scored(NamedTuple):
    """Scores of the test."""

    scores: Floats  # (n,)
    missing: int  # rows without a score, which rank in the middle
    seconds: dict[str, float]  # to fit and to score


def measure(name: str, method: str, seed: int) -> Found:
    """AUROC, average precision and seconds of one detector on one table; for ours also AUROC of subsets of measures.

    All are given the same rows, standardised by those for training, since most of them go by distance and none but ours
    and three of theirs would do so themselves.

    Args:
        name: of the table.
        method: key of a detector.
        seed: of drawing and detector.
    """
    problem = one_class_rows(datasets.adbench(name), seed)
    training, test = _standardised(problem)
    detector = BY_KEY[method].make(Given(len(training), training.shape[1], seed))
    scored = _scored(detector, training, test)
    return {
        **_figures(problem.labels, scored),
        **({"subsets": _subsets(detector, test, problem.labels)} if method == OURS.key else {}),
        "rows": _counts(training, problem.labels),
        "columns": training.shape[1],
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
    training, test = _standardised(problem)
    scored = _scored(BY_KEY[method].make(Given(len(training), training.shape[1], seed, share)), training, test)
    return {
        "auroc": auroc(problem.labels, scored.scores),
        "rows": {"training": len(training), "test": len(test)},
        "scores_missing": scored.missing,
    }


def measure_mixed(name: str, method: str, seed: int) -> Found:
    """AUROC, average precision and seconds of one detector on one table of `TABLES`, and what the table is like.

    Ours are given the table as it is. PyOD's detectors, which take numbers alone, are given the features that ours
    makes of it, standardised by the training rows.

    Args:
        name: of the table.
        method: key of a detector.
        seed: of drawing and detector.
    """
    table = TABLES[name]
    problem = one_class_frame(table.read(), seed, table.most)
    encoder, _ = TableEncoder.fit([problem.training])
    detector = BY_KEY[method].make(Given(len(problem.training), encoder.width, seed))
    if isinstance(detector, TabularMemAE):
        scored = _scored(detector, problem.training, problem.test)
    else:
        center, scale = encoder.center_and_scale("standard")
        features = [((encoder.encode(part) - center) / scale).numpy() for part in (problem.training, problem.test)]
        scored = _scored(detector, *features)
    return {
        **_figures(problem.labels, scored),
        "rows": _counts(problem.training, problem.labels),
        "columns": len(encoder.columns),
        "categories": len(encoder.text),
        "features": encoder.width,
        "missing": float(problem.training.isna().to_numpy().mean()),
        "repeated": float(problem.training.duplicated().mean()),
    }


def measure_times(name: str, seed: int) -> Found:
    """CPU seconds that the detectors of `TIMED` take to fit one table, on one thread and in turn.

    Args:
        name: of the table.
        seed: of drawing and detectors.
    """
    training, _ = _standardised(one_class_rows(datasets.adbench(name), seed))
    given = Given(len(training), training.shape[1], seed)

    def fit(detector: Detector) -> Callable[[], object]:
        return lambda: detector.make(given).fit(training)

    with threadpool_limits(1), warnings.catch_warnings(action="ignore"):
        times = interleaved({detector.key: fit(detector) for detector in TIMED}, ROUNDS)
    return {"fit_cpu_seconds": {key: [round(each, 5) for each in timing.samples] for key, timing in times.items()}}


def _standardised(problem: OneClassRows) -> tuple[Floats, Floats]:
    """Rows for training and test, shifted and scaled to the mean 0 and the standard deviation 1 of the former."""
    center, spread = problem.training.mean(0), problem.training.std(0)
    scale = np.where(spread > 0, spread, 1.0)
    return (problem.training - center) / scale, (problem.test - center) / scale


def _scored(detector: Any, training: Floats | pd.DataFrame, test: Floats | pd.DataFrame) -> Scored:
    """Fits a detector and scores the test."""
    score = detector.anomaly_score if isinstance(detector, TabularMemAE) else detector.decision_function
    with warnings.catch_warnings(action="ignore"):
        began = time.perf_counter()
        detector.fit(training)
        fitted = time.perf_counter()
        scores = score(test)
        scored = time.perf_counter()
    none = np.isnan(scores)
    scores = np.nan_to_num(np.where(none, np.median(scores[~none]) if not none.all() else 0.0, scores))
    seconds = {"fit_seconds": round(fitted - began, 4), "score_seconds": round(scored - fitted, 4)}
    return Scored(scores, int(none.sum()), seconds)


def _figures(labels: NDArray[np.int64], scored: Scored) -> Found:
    return {
        "auroc": auroc(labels, scored.scores),
        "average_precision": average_precision(labels, scored.scores),
        **scored.seconds,
        "scores_missing": scored.missing,
    }


def _counts(training: Floats | pd.DataFrame, labels: NDArray[np.int64]) -> dict[str, int]:
    return {"training": len(training), "test": len(labels), "anomalies": int(labels.sum())}


def _subsets(detector: TabularMemAE, test: Floats, labels: NDArray[np.int64]) -> dict[str, float]:
    measured = torch.cat([part.measures for part in detector.scores(test, maps=False)])
    return subset_aurocs(detector.scorer_, measured, labels)
