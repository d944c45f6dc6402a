"""One run of Table 1: one method, one normal class, one seed."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from memae.data.samples import digest
from memae.engines.runtimes import Engine
from memae.estimators import ImageMemAE
from memae.metrics import auroc, average_precision
from memae.model import MemAE
from memae.scoring import Floats
from reproduction import datasets, inside
from reproduction.baselines import Detector
from reproduction.datasets import Images
from reproduction.protocol import OneClass, tensor
from reproduction.recipe import Recipe, watched
from reproduction.table1.scores import SCORES
from reproduction.tables import Run


class Problem(NamedTuple):
    """A one-class problem and its data set."""

    dataset: str
    data: OneClass


@functools.cache
def load(dataset: str) -> tuple[Images, str]:
    """A data set and the checksum of its pixels."""
    images = {"mnist": datasets.mnist, "cifar10": datasets.cifar10}[dataset]()
    return images, digest([images.pixels.tobytes()])


def figures(labels: np.ndarray[Any, Any], scores: dict[str, Floats]) -> Run:
    """Both figures under each score; the first score is the method's own."""
    return {
        "score": next(iter(scores)),
        "auroc": {name: auroc(labels, each) for name, each in scores.items()},
        "average_precision": {name: average_precision(labels, each) for name, each in scores.items()},
    }


# ------------------------------------------------------------------------------------- MemAE and its variants


def learned(recipe_of: Callable[[str, int], Recipe]) -> Callable[[Problem, int, Path], Run]:
    """The method that trains a recipe and evaluates the test after every epoch, only for the curves."""

    def method(problem: Problem, seed: int, checkpoint: Path) -> Run:
        recipe, data = recipe_of(problem.dataset, seed), problem.data
        training, held_out, test = (tensor(part) for part in (data.training, data.held_out, data.test))
        test = recipe.scaled(test)

        def figure(model: MemAE) -> float:
            return auroc(data.labels, _scored(model, test, recipe, own=True)[recipe.score])

        model, course = watched(recipe, training, held_out, checkpoint, figure)
        return figures(data.labels, _scored(model, test, recipe)) | course

    return method


@torch.no_grad()
def _scored(model: MemAE, test: Tensor, recipe: Recipe, *, own: bool = False) -> dict[str, Floats]:
    """Scores of the test images: the recipe's own first, then all others unless only the first is wanted."""
    model.eval()
    names = [recipe.score, *(() if own else (name for name in SCORES if name != recipe.score))]
    parts: list[list[Tensor]] = []
    for x in torch.split(test, 256):
        x_hat = model(x).x_hat
        unit = recipe.unit(x), recipe.unit(x_hat)
        parts.append([SCORES[name](*unit) for name in names])
    return {name: torch.cat(each).numpy() for name, each in zip(names, zip(*parts, strict=True), strict=True)}


# ------------------------------------------------------------------------------------------------- all others


def alone(detector: Detector, test: Tensor) -> dict[str, Floats]:
    """A detector's own score of the test, and no other."""
    return {"": detector.anomaly_score(test)}


def fitted(
    make: Callable[[str, int], Detector], scores: Callable[[Any, Tensor], dict[str, Floats]] = alone
) -> Callable[[Problem, int, Path], Run]:
    """The method that fits a baseline and scores the test once.

    Args:
        make: the baseline, of a data set and a seed.
        scores: what it makes of the test: its own score first, and those that stand beside it.
    """

    def method(problem: Problem, seed: int, checkpoint: Path) -> Run:  # noqa: ARG001 (short)
        data = problem.data
        training, held_out, test = (tensor(part) for part in (data.training, data.held_out, data.test))
        detector = make(problem.dataset, seed).fit(training, held_out)
        history = {"held_out_error": detector.history} if hasattr(detector, "history") else {}
        return figures(data.labels, scores(detector, test)) | history

    return method


def ours(*, engine: Engine = "torch", **options: Any) -> Callable[[Problem, int, Path], Run]:
    """The method that is `ImageMemAE`; it is given all normal images, since it holds out its own part.

    Args:
        engine: that scores.
        options: parameters.
    """

    def method(problem: Problem, seed: int, checkpoint: Path) -> Run:
        detector, data = ImageMemAE(**options, random_state=seed), problem.data
        normal = np.concatenate([data.training, data.held_out])
        inside.fit(detector, normal, checkpoint)
        detector.use_engine(engine)
        found = inside.measured(detector, data.test)
        return figures(data.labels, {"": found.score} | found.measures) | {
            "epoch": detector.best_epoch_.epoch,
            "held_out_error": [epoch.held_out_error for epoch in detector.history_],
            "weights": found.weights,
            "in_use": detector.health_.in_use if detector.health_ else None,
        }

    return method
