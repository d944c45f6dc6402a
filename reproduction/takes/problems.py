"""The problems of the study: classes of MNIST and CIFAR-10, drawings of KDDCUP, and MNIST as JPEG copies."""

import functools
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from memae.metrics import auroc
from memae.networks import tabular
from memae.networks.convolutional import Layout
from memae.scoring import Floats
from reproduction.datasets import Images
from reproduction.protocol import flagged, one_class, tensor, top
from reproduction.table1 import recipes, runs
from reproduction.table1.scores import absolute, squared
from reproduction.table3 import recipes as tables
from reproduction.table3 import runs as rows
from reproduction.takes.settings import Range

QUALITY = 75
"""Of the JPEG copies of CIFAR-10, as their quantisation tables tell."""
WATCHED = 50_000
"""Test rows of KDDCUP that curves look at."""

Score = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Problem:
    """One problem, not yet scaled.

    Args:
        training: normal samples `(n, *shape)`, images in [0, 1].
        held_out: normal samples.
        test: samples.
        labels: of the test, 1 for anomalies.
        data: checksum of the data set.
        figure: labels and scores → AUROC, or F1 of the fifth with the highest scores.
        watched: number of test samples that the curve looks at.
    """

    training: Tensor
    held_out: Tensor
    test: Tensor
    labels: NDArray[np.int64]
    data: str
    figure: Callable[[NDArray[np.int64], Floats], float]
    watched: int


def of_class(dataset: str, normal: int, seed: int) -> Problem:
    """A class of MNIST, of its JPEG copies, or of CIFAR-10, as in Table 1."""
    images, checksum = runs.load(dataset.removesuffix("_jpeg"))
    data = one_class(_copies(dataset) if dataset.endswith("_jpeg") else images, normal, seed)
    training, held_out, test = (tensor(part) for part in (data.training, data.held_out, data.test))
    return Problem(training, held_out, test, data.labels, checksum, auroc, len(data.labels))


def of_rows(dataset: str, part: int, seed: int) -> Problem:  # noqa: ARG001 (as of images)
    """A drawing of KDDCUP's halves as in Table 3; parts are drawings, and the seed is that of the training alone."""
    table, checksum = rows.load(120)
    drawn = rows.Problem.draw(table, part)
    protocol = len(drawn.halves.test)
    labels = drawn.labels[:protocol]
    return Problem(drawn.training, drawn.held_out, drawn.test[:protocol], labels, checksum, _f1, WATCHED)


def _f1(labels: NDArray[np.int64], scores: Floats) -> float:
    return flagged(labels, scores, top(scores, rows.SHARE)).f1


@functools.cache
def _copies(dataset: str) -> Images:
    """A data set of which each image has been through JPEG, as the copies of CIFAR-10 have."""
    images, _ = runs.load(dataset.removesuffix("_jpeg"))
    return Images(np.stack([through_jpeg(each) for each in images.pixels]), images.labels)


def through_jpeg(pixels: NDArray[np.uint8], quality: int = QUALITY) -> NDArray[np.uint8]:
    """An image, grey `(h, w)` or RGB `(h, w, 3)`, compressed and read again."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


class Scaling:
    """The range of the input, learned from the training samples; see `Setting.range`."""

    def __init__(self, training: Tensor, to: Range) -> None:
        self.to = to
        across = [0] if training.ndim == 2 else list(range(training.ndim))
        self.mean, self.deviation = training.mean(across), training.std(across).clamp_min(1e-3)

    def __call__(self, x: Tensor) -> Tensor:
        """Samples as the model sees them."""
        if self.to == "unit":
            return x
        if self.to == "signed":
            return x * 2 - 1
        if self.to == "standardised":
            return (x - self.mean) / self.deviation
        flat = x.flatten(1)
        mean, deviation = flat.mean(1, keepdim=True), flat.std(1, keepdim=True).clamp_min(1e-3)
        return ((flat - mean) / deviation).reshape(x.shape)


def _clipped(x: Tensor, x_hat: Tensor) -> Tensor:
    """Eq. 8 of the reconstruction, cut to the range of the image."""
    flat = x.flatten(1)
    least, most = (each[:, None, None, None] for each in (flat.amin(1), flat.amax(1)))
    return squared(x, x_hat.clamp(least, most))


def _stretched(x: Tensor, x_hat: Tensor) -> Tensor:
    """Eq. 8 after both images are stretched to [0, 1], each by its own darkest and brightest pixel."""
    return squared(_unit(x), _unit(x_hat))


def _unit(x: Tensor) -> Tensor:
    flat = x.flatten(1)
    least, most = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
    return (flat - least) / (most - least).clamp_min(1e-6)


OF_ROWS: Mapping[str, Score] = {"squared": squared, "absolute": absolute}
ON_IMAGES: Mapping[str, Score] = {**OF_ROWS, "cut to the image's range": _clipped, "both images stretched": _stretched}
"""Scores by name; the first is Eq. 8. They take what the model sees and what it restores."""


@dataclass(frozen=True)
class Task:
    """What is learned for a set: its problems, the network and N."""

    problem: Callable[[str, int, int], Problem]
    shape: tuple[int, ...]
    layout: Layout | tuple[int, ...]
    items: int
    scores: Mapping[str, Score]


def _images(name: str) -> Task:
    about = recipes.SETS[name]
    return Task(of_class, about.shape, about.layout, about.items, ON_IMAGES)


TASKS: Mapping[str, Task] = {
    "mnist": _images("mnist"),
    "mnist_jpeg": _images("mnist"),
    "cifar10": _images("cifar10"),
    "kddcup": Task(of_rows, (120,), tabular.KDDCUP, tables.ITEMS, OF_ROWS),
}
