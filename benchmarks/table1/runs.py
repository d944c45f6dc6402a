"""One run of Table 1: one method, one normal class, one seed."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import datasets
from benchmarks.baselines import Detector
from benchmarks.baselines.dsebm import DeepStructuredEnergy
from benchmarks.baselines.kde import KernelDensity
from benchmarks.baselines.neighbours import NearestNeighbour
from benchmarks.baselines.ocsvm import OneClassSVM
from benchmarks.baselines.pca import PrincipalComponents
from benchmarks.baselines.pixelcnn import PixelCNN
from benchmarks.baselines.vae import VariationalAutoencoder
from benchmarks.datasets import Images
from benchmarks.protocol import OneClass, one_class, tensor
from benchmarks.recipe import Recipe, watched
from benchmarks.table1 import recipes
from benchmarks.table1.recipes import SETS
from benchmarks.table1.scores import SCORES
from memae.data.samples import digest
from memae.estimators import ImageMemAE
from memae.metrics import auroc, average_precision
from memae.model import MemAE
from memae.scoring import Floats

Found = dict[str, Any]

EPOCHS = {
    "vae": {"mnist": 20, "cifar10": 15},
    "dsebm": {"mnist": 15, "cifar10": 10},
    "pixelcnn": {"mnist": 3, "cifar10": 3},
}
"""Passes of the deep baselines, as many as two to four minutes of a core allow."""


@functools.cache
def load(dataset: str) -> tuple[Images, str]:
    """A data set and the checksum of its pixels."""
    images = {"mnist": datasets.mnist, "cifar10": datasets.cifar10}[dataset]()
    return images, digest([images.pixels.tobytes()])


def measure(dataset: str, method: str, normal: int, seed: int, checkpoint: Path) -> Found:
    """AUROC and average precision of one method on one problem.

    Args:
        dataset: "mnist" or "cifar10".
        method: one of `METHODS`.
        normal: the class that is normal.
        seed: of drawing, weights and order.
        checkpoint: from which a training goes on.
    """
    images, checksum = load(dataset)
    problem = one_class(images, normal, seed)
    return {"data": checksum} | METHODS[method](dataset, problem, seed, checkpoint)


def figures(labels: np.ndarray[Any, Any], scores: dict[str, Floats]) -> Found:
    """Both figures under each score; the first score is the method's own."""
    return {
        "score": next(iter(scores)),
        "auroc": {name: auroc(labels, each) for name, each in scores.items()},
        "average_precision": {name: average_precision(labels, each) for name, each in scores.items()},
    }


# ------------------------------------------------------------------------------------- MemAE and its variants


def learned(recipe_of: Callable[[str, int], Recipe]) -> Callable[[str, OneClass, int, Path], Found]:
    """The method that trains a recipe and looks at the test after every epoch, for the curves alone."""

    def method(dataset: str, problem: OneClass, seed: int, checkpoint: Path) -> Found:
        recipe = recipe_of(dataset, seed)
        training, held_out, test = (tensor(part) for part in (problem.training, problem.held_out, problem.test))
        test = recipe.scaled(test)

        def figure(model: MemAE) -> float:
            return auroc(problem.labels, _scored(model, test, recipe, own=True)[recipe.score])

        model, told = watched(recipe, training, held_out, checkpoint, figure)
        return figures(problem.labels, _scored(model, test, recipe)) | told

    return method


@torch.no_grad()
def _scored(model: MemAE, test: Tensor, recipe: Recipe, *, own: bool = False) -> dict[str, Floats]:
    """Scores of the test images: the recipe's own first, and unless that is asked for alone, every other."""
    model.eval()
    names = [recipe.score, *(() if own else (name for name in SCORES if name != recipe.score))]
    parts: list[list[Tensor]] = []
    for x in torch.split(test, 256):
        x_hat = model(x).x_hat
        unit = recipe.unit(x), recipe.unit(x_hat)
        parts.append([SCORES[name](*unit) for name in names])
    return {name: torch.cat(each).numpy() for name, each in zip(names, zip(*parts, strict=True), strict=True)}


# ------------------------------------------------------------------------------------------------- all others


def fitted(make: Callable[[str, int], Detector]) -> Callable[[str, OneClass, int, Path], Found]:
    """The method that fits a baseline and scores the test once."""

    def method(dataset: str, problem: OneClass, seed: int, checkpoint: Path) -> Found:  # noqa: ARG001 (short)
        training, held_out, test = (tensor(part) for part in (problem.training, problem.held_out, problem.test))
        detector = make(dataset, seed).fit(training, held_out)
        scores = {"": detector.anomaly_score(test)}
        if isinstance(detector, DeepStructuredEnergy):
            scores = {each: detector.scores(test, each) for each in ("reconstruction", "energy")}
        if isinstance(detector, OneClassSVM):  # what the choice of γ makes of it
            scores |= {f"γ × {width:g}": each for width, each in detector.scores(test).items()}
        history = {"held_out_error": detector.history} if hasattr(detector, "history") else {}
        return figures(problem.labels, scores) | history

    return method


def ours(**options: Any) -> Callable[[str, OneClass, int, Path], Found]:
    """The method that is `ImageMemAE`; it holds out by itself, so that it is given both parts of the normal images."""

    def method(dataset: str, problem: OneClass, seed: int, checkpoint: Path) -> Found:  # noqa: ARG001 (short)
        detector = ImageMemAE(**options, random_state=seed)
        normal = np.concatenate([problem.training, problem.held_out])
        for _ in detector.fit_steps(normal, checkpoint=checkpoint, resume=True):
            pass
        parts = list(detector.scores(problem.test, reasons=False))
        measures, weights = torch.cat([part.measures for part in parts]), detector.scorer_.weights
        assert weights is not None  # noqa: S101 (the default has three measures)
        scores = {"": torch.cat([part.score for part in parts]).numpy()}
        scores |= dict(zip(detector.scorer_.measured, measures.numpy().T, strict=True))
        return figures(problem.labels, scores) | {
            "epoch": detector.best_epoch_.epoch,
            "held_out_error": [epoch.held_out_error for epoch in detector.history_],
            "weights": weights.tolist(),
            "in_use": detector.health_.in_use if detector.health_ else None,
        }

    return method


METHODS: dict[str, Callable[[str, OneClass, int, Path], Found]] = {
    "ocsvm": fitted(lambda *_: OneClassSVM()),
    "kde": fitted(lambda *_: KernelDensity()),
    "vae": fitted(lambda data, seed: VariationalAutoencoder(SETS[data].layout, epochs=EPOCHS["vae"][data], seed=seed)),
    "pixelcnn": fitted(lambda data, seed: PixelCNN(epochs=EPOCHS["pixelcnn"][data], seed=seed)),
    "dsebm": fitted(
        lambda data, seed: DeepStructuredEnergy(SETS[data].layout, epochs=EPOCHS["dsebm"][data], seed=seed)
    ),
    "ae": learned(recipes.autoencoder),
    "memae_nonspar": learned(recipes.without_sparsity),
    "memae_paper": learned(recipes.paper),
    "memae_authors": learned(recipes.authors),
    "pca_8": fitted(lambda *_: PrincipalComponents(8)),
    "pca_32": fitted(lambda *_: PrincipalComponents(32)),
    "pca_128": fitted(lambda *_: PrincipalComponents(128)),
    "neighbour": fitted(lambda *_: NearestNeighbour()),
    "ours": ours(),
    "ours_without_memory": ours(n_items=0, warmup=0),
}
"""Every method of Table 1, the controls, and ours."""
