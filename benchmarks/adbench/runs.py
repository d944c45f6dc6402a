"""One run on a table of ADBench: one detector, one drawing."""

import time
import warnings
from importlib import import_module
from typing import Any

import numpy as np
import torch

from benchmarks import datasets
from benchmarks.adbench import PEERS
from benchmarks.protocol import one_class_rows
from memae import TabularMemAE
from memae.metrics import auroc, average_precision

Found = dict[str, Any]


def measure(name: str, method: str, seed: int) -> Found:
    """AUROC, average precision and seconds of one detector on one table.

    All are given the same rows, standardised by those for training, since most of them go by distance and none but ours
    and three of theirs would do so themselves.

    Args:
        name: of the table.
        method: "ours", or a detector of PyOD.
        seed: of drawing and detector.
    """
    problem = one_class_rows(datasets.adbench(name), seed)
    center, spread = problem.training.mean(0), problem.training.std(0)
    scale = np.where(spread > 0, spread, 1.0)
    training, test = ((part - center) / scale for part in (problem.training, problem.test))
    detector: Any = TabularMemAE(random_state=seed) if method == "ours" else _peer(method, training.shape[1], seed)
    with warnings.catch_warnings(action="ignore"):
        began = time.perf_counter()
        detector.fit(training)
        fitted = time.perf_counter()
        scores = detector.anomaly_score(test) if method == "ours" else detector.decision_function(test)
        scored = time.perf_counter()
    none = np.isnan(scores)  # says nothing of these rows: they rank in the middle
    scores = np.nan_to_num(np.where(none, np.median(scores[~none]) if not none.all() else 0.0, scores))
    return {
        "auroc": auroc(problem.labels, scores),
        "average_precision": average_precision(problem.labels, scores),
        "fit_seconds": round(fitted - began, 4),
        "score_seconds": round(scored - fitted, 4),
        "rows": {"training": len(training), "test": len(test), "anomalies": int(problem.labels.sum())},
        "columns": training.shape[1],
        "scores_missing": int(none.sum()),
    }


def _peer(method: str, columns: int, seed: int) -> Any:
    """A detector of PyOD at its defaults; those that draw get the seed, as a parameter or through torch."""
    detector = getattr(import_module(f"pyod.models.{PEERS[method]}"), method)
    made = detector(n_features=columns) if method == "DeepSVDD" else detector()
    torch.manual_seed(seed)
    known = made.get_params()
    return made.set_params(**{key: each for key, each in (("random_state", seed), ("verbose", 0)) if key in known})
