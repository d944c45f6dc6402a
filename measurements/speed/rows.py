"""Tables with the default detector: rows scored a second, compared with PyOD's KNN fitted on the same rows."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyod.models.knn import KNN

from measurements.timing import interleaved, ratio
from memae import TabularMemAE
from recording.records import figure

COLUMNS, FITTED, SCORED = 20, 10_000, 50_000
LARGER = 20_000
"""Rows of the fit whose seconds are recorded as well."""


def rows(count: int, seed: int) -> NDArray[np.float64]:
    """Standard normal numbers times one fixed standard normal matrix, so that columns correlate: `(count, COLUMNS)`."""
    mix = np.random.default_rng(0).normal(size=(COLUMNS, COLUMNS))
    return np.random.default_rng(seed).normal(size=(count, COLUMNS)) @ mix


def measure() -> dict[str, Any]:
    """Fits and scores with the defaults of both."""
    warnings.simplefilter("ignore")
    normal, X, larger = rows(FITTED, 1), rows(SCORED, 2), rows(LARGER, 3)
    ours, theirs = TabularMemAE(random_state=0), KNN()
    fits = interleaved({"memae": lambda: ours.fit(larger), "knn": lambda: theirs.fit(larger)}, 3)
    fits_fewer = interleaved({"memae": lambda: ours.fit(normal), "knn": lambda: theirs.fit(normal)}, 5)
    scores = interleaved({"memae": lambda: ours.anomaly_score(X), "knn": lambda: theirs.decision_function(X)}, 6)
    return {
        "figures": {
            "speed/rows/score_vs_pyod_knn": ratio(scores["knn"], scores["memae"]),
            "speed/rows/fit_seconds_20000": figure(fits["memae"].minimum),
        },
        "rows": {"fitted": FITTED, "scored": SCORED, "columns": COLUMNS, "larger": LARGER},
        "recipe": f"standard normal numbers times a fixed standard normal matrix of {COLUMNS} × {COLUMNS}",
        "times": {
            "score": {name: timing.as_json() for name, timing in scores.items()},
            "fit": {name: timing.as_json() for name, timing in fits_fewer.items()},
            "larger fit": {name: timing.as_json() for name, timing in fits.items()},
        },
    }
