"""All uses of a fitted estimator beyond its public methods, in one place, since they depend on its internals."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from memae.estimators import Estimator, ImageMemAE
from memae.scoring import Floats, decoded_items


def fit(detector: Estimator, normal: Any, checkpoint: Path) -> None:
    """Fits an estimator; resumes from the checkpoint if it exists."""
    for _ in detector.fit_steps(normal, checkpoint=checkpoint, resume=True):
        pass


class Measured(NamedTuple):
    """Scores `(n,)`, their measures and the weights of these."""

    score: Floats
    measures: dict[str, Floats]
    weights: list[float]  # of the measures


def measured(detector: ImageMemAE, images: NDArray[np.uint8]) -> Measured:
    """Scores of images, with each measure and its weight."""
    parts = list(detector.scores(images, maps=False))
    measures, weights = torch.cat([part.measures for part in parts]), detector.scorer_.balance.weights
    assert weights is not None  # noqa: S101 (the defaults have several measures)
    named = dict(zip(detector.scorer_.measured, measures.numpy().T, strict=True))
    return Measured(torch.cat([part.score for part in parts]).numpy(), named, weights.tolist())


def maps(detector: ImageMemAE, photos: list[Path]) -> Iterator[NDArray[np.float32]]:
    """The map of each photo `(h, w)`, at the photo's own size, higher = more anomalous."""
    kind = detector.kind_
    for part in kind.scored(detector.scorer_, kind.open(photos), maps=True):
        yield from (np.asarray(where.values, np.float32) for where in kind.located(detector.scorer_, part))


def restored(detector: ImageMemAE, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Reconstructions of images of one channel `(n, h, w)`, in grey levels."""
    return np.asarray(torch.cat([part.x_hat for part in detector.scores(images)])[:, 0])


def most_read(detector: ImageMemAE, count: int) -> NDArray[np.float32]:
    """The most used items, decoded to one channel `(count, h, w)`, in grey levels."""
    memory = detector.scorer_.model.memory
    assert memory is not None  # noqa: S101 (the default has one)
    most = memory.use.argsort(descending=True)[:count]
    return np.asarray(decoded_items(detector.scorer_)[most][:, 0])


def held_out_scores(detector: Estimator) -> Floats:
    """Scores of the normal samples that `fit` held out."""
    return detector.calibration_.scores.double().numpy()
