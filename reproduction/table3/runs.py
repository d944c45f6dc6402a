"""One run of Table 3: one method, one drawing of the halves."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest
from torch import Tensor

from memae import TabularMemAE
from memae.data.samples import digest
from memae.losses import reconstruction_error
from memae.metrics import auroc, average_precision
from memae.model import MemAE
from memae.networks import tabular
from memae.parameters import Reduction
from memae.scoring import Floats
from reproduction import datasets, inside
from reproduction.baselines import Detector
from reproduction.baselines.dagmm import DeepAutoencodingGaussianMixture
from reproduction.baselines.dsebm import DeepStructuredEnergy
from reproduction.datasets import Rows
from reproduction.protocol import Halves, flagged, halves, top
from reproduction.recipe import Recipe, watched
from reproduction.table3 import recipes
from reproduction.tables import Run

SHARE = 0.2
"""Of the test rows that the protocol flags: those with the highest score."""
FALSE_ALARMS = 0.01
"""Of the held-out normal rows, for a threshold without labels."""
WATCHED = 50_000
"""Test rows that the curves look at."""
EPOCHS = {"dcn": 20, "dsebm": 20, "dagmm": 60}


@functools.cache
def load(columns: int) -> tuple[Rows, str]:
    """The features and their checksum."""
    rows = datasets.kddcup_features(columns)
    return rows, digest([rows.values.tobytes()])


@functools.cache
def columns_of_publisher() -> pd.DataFrame:
    """The same rows as a table, for ours; read once a process, as are the features."""
    return datasets.kddcup().drop(columns="label")


@dataclass(frozen=True)
class Problem:
    """A drawing of the halves, scaled to 0 … 1 by the learned rows."""

    training: Tensor  # (n, d), float32, normal
    held_out: Tensor  # normal
    test: Tensor  # the second half, and then the anomalies of the first, for the wider split
    labels: NDArray[np.int64]  # of the test
    halves: Halves
    fresh: NDArray[np.bool_]  # (test rows,): not equal to a learned row

    @classmethod
    def draw(cls, rows: Rows, seed: int) -> "Problem":
        """Splits and scales."""
        split = halves(rows.labels, seed)
        learned = rows.values[split.training]
        least, most = learned.min(0), learned.max(0)
        scale = np.where(most > least, most - least, 1.0)
        parts = [
            torch.from_numpy((rows.values[index] - least) / scale).float()
            for index in (split.training, split.held_out, split.wider)
        ]
        keys = pd.util.hash_pandas_object(pd.DataFrame(rows.values), index=False).to_numpy()
        known = np.concatenate([keys[split.training], keys[split.held_out]])
        fresh = ~np.isin(keys[split.wider], known)
        return cls(parts[0], parts[1], parts[2], rows.labels[split.wider], split, fresh)

    def sets(self) -> dict[str, NDArray[np.bool_]]:
        """Which of the test rows each way of testing looks at."""
        everything = np.ones(len(self.labels), dtype=bool)
        protocol = np.arange(len(self.labels)) < len(self.halves.test)
        return {"paper": protocol, "all anomalies": everything, "without duplicates": protocol & self.fresh}


class Scored(NamedTuple):
    """What a method makes of held-out normal rows and of the test."""

    held_out: Floats
    test: Floats
    more: Run


Score = Callable[[Problem, int, Path], Scored]


def both(score: Callable[[Tensor], Floats], problem: Problem, more: Run | None = None) -> Scored:
    """Scores both parts."""
    return Scored(score(problem.held_out), score(problem.test), more or {})


def figures(labels: NDArray[np.int64], scores: Floats, held_out: Floats) -> Run:
    """AUROC, average precision, and precision, recall and F1 at three thresholds."""
    thresholds = {
        "top 20 %": top(scores, SHARE),
        "true ratio": top(scores, float(labels.mean())),
        "held-out 1 %": top(held_out, FALSE_ALARMS),
    }
    return {
        "auroc": auroc(labels, scores),
        "average_precision": average_precision(labels, scores),
        "rows": len(labels),
        "anomalies": int(labels.sum()),
        **{name: flagged(labels, scores, each)._asdict() for name, each in thresholds.items()},
    }


# ------------------------------------------------------------------------------------- MemAE and its variants


def untrained(recipe_of: Callable[[int, int], Recipe]) -> Score:
    """The method that scores by a recipe's model as it was drawn."""

    def method(problem: Problem, seed: int, checkpoint: Path) -> Scored:  # noqa: ARG001 (nothing to resume)
        recipe = recipe_of(problem.training.shape[1], seed)
        model = recipe.build().eval()
        return both(lambda part: errors(model, recipe, part), problem)

    return method


def learned(recipe_of: Callable[[int, int], Recipe], *, longest: bool = False) -> Score:
    """The method that trains a recipe and looks at the test after every epoch, for the curves alone.

    Args:
        recipe_of: of the number of columns and the seed.
        longest: whether it goes through all epochs and keeps the one of the lowest held-out error, instead of the
            first `recipes.on_a_plateau`.
    """

    def method(problem: Problem, seed: int, checkpoint: Path) -> Scored:
        recipe = recipe_of(problem.training.shape[1], seed)
        seen = min(WATCHED, len(problem.halves.test))

        def figure(model: MemAE) -> float:
            scores = errors(model.eval(), recipe, problem.test[:seen])
            return flagged(problem.labels[:seen], scores, top(scores, SHARE)).f1

        ends = None if longest else recipes.on_a_plateau
        model, course = watched(recipe, problem.training, problem.held_out, checkpoint, figure, ends)
        return both(lambda part: errors(model, recipe, part), problem, course)

    return method


@torch.no_grad()
def errors(model: MemAE, recipe: Recipe, rows: Tensor) -> Floats:
    """The recipe's own score of rows in [0, 1] `(n,)`."""
    reduction: Reduction = "absolute" if recipe.score == "absolute" else "sum"
    parts = [
        reconstruction_error(x, recipe.unit(model(recipe.scaled(x)).x_hat), reduction) for x in torch.split(rows, 8192)
    ]
    return torch.cat(parts).double().numpy()


# ------------------------------------------------------------------------------------------------- all others


def fitted(make: Callable[[int], Detector], most: int | None = None) -> Score:
    """The method that fits a baseline, to its first rows if it is quadratic, and scores the test once."""

    def method(problem: Problem, seed: int, checkpoint: Path) -> Scored:  # noqa: ARG001 (short)
        detector = make(seed).fit(problem.training[:most], problem.held_out[:most])
        more = {"held_out_error": detector.history} if hasattr(detector, "history") else {}
        return both(detector.anomaly_score, problem, more)

    return method


def energies(problem: Problem, seed: int, checkpoint: Path) -> Scored:  # noqa: ARG001 (short)
    """DSEBM by its energy; what its reconstruction makes of the protocol stands beside it."""
    detector = DeepStructuredEnergy(tabular.KDDCUP, epochs=EPOCHS["dsebm"], seed=seed, batch=recipes.BATCH)
    detector.fit(problem.training, problem.held_out)
    error = both(lambda part: detector.scores(part, "reconstruction"), problem)
    protocol = problem.sets()["paper"]
    by_error = figures(problem.labels[protocol], error.test[protocol], error.held_out)
    more = {"held_out_error": detector.history, "reconstruction": by_error}
    return both(lambda part: detector.scores(part, "energy"), problem, more)


def untrained_mixture(problem: Problem, seed: int, checkpoint: Path) -> Scored:  # noqa: ARG001 (short)
    """DAGMM with random weights; only its mixture is fitted."""
    detector = DeepAutoencodingGaussianMixture(epochs=0, seed=seed)
    detector.build(problem.training.shape[1])
    detector.eval().fit_mixture(problem.training)
    return both(detector.anomaly_score, problem)


def forest(problem: Problem, seed: int, checkpoint: Path) -> Scored:  # noqa: ARG001 (short)
    """Isolation forest at scikit-learn's defaults."""
    model = IsolationForest(random_state=seed).fit(problem.training.numpy())
    return both(lambda part: -model.score_samples(part.numpy()), problem)


def ours(problem: Problem, seed: int, checkpoint: Path) -> Scored:
    """`TabularMemAE` on the publisher's columns; it holds out by itself, from all normal rows of the learned half."""
    frame = columns_of_publisher()
    split = problem.halves
    detector = TabularMemAE(random_state=seed)
    normal = frame.iloc[np.concatenate([split.training, split.held_out])]
    inside.fit(detector, normal, checkpoint)
    more = {
        "epoch": detector.best_epoch_.epoch,
        "held_out_error": [epoch.held_out_error for epoch in detector.history_],
    }
    test = frame.iloc[split.wider]
    _, first, inverse = np.unique(pd.util.hash_pandas_object(test, index=False), return_index=True, return_inverse=True)
    scores = detector.anomaly_score(test.iloc[first])[inverse]  # most rows are repeated, and have one score
    return Scored(inside.held_out_scores(detector), scores, more)
