"""Settings of MemAE and its variants: model, training and score.

All variants are derived from one autoencoder: network, batch size, learning rate and epochs are the same, and only the
memory differs.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from memae.data.samples import InMemory, Samples, Selection, mapped
from memae.model import MemAE
from memae.options import Epoch, Options, Step, chosen
from memae.spec import MemorySpec, Spec, build
from memae.training import train


@dataclass(frozen=True)
class Recipe:
    """A model, its training and its score.

    Args:
        spec: the model.
        options: its training.
        signed: whether samples in [0, 1] are scaled to [−1, 1].
        score: name of the score that is reported for the method.
    """

    spec: Spec
    options: Options
    signed: bool = False
    score: str = "squared"

    def build(self) -> MemAE:
        """The untrained model, the same for the same seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.options.seed)
            return build(self.spec)

    def train(
        self,
        model: MemAE,
        training: Tensor | Samples,
        held_out: Tensor | Samples,
        checkpoint: Path,
        history: list[Epoch] | None = None,
    ) -> Iterator[Step | Epoch]:
        """Trains the model on normal samples in [0, 1]; resumes from the checkpoint if it exists."""
        return train(
            model,
            mapped(samples(training), self.scaled),
            mapped(samples(held_out), self.scaled),
            self.options,
            checkpoint=checkpoint,
            resume=True,
            identity=repr(self),
            history=history,
        )

    def scaled(self, samples: Tensor) -> Tensor:
        """Samples in [0, 1], scaled for the model."""
        return samples * 2 - 1 if self.signed else samples

    def unit(self, samples: Tensor) -> Tensor:
        """The inverse of `scaled`."""
        return samples / 2 + 0.5 if self.signed else samples


def samples(normal: Tensor | Samples) -> Samples:
    """Rows of a tensor as samples; samples unchanged."""
    return Selection(InMemory(normal)) if isinstance(normal, Tensor) else normal


def as_printed(plain: Recipe, items: int, *, per_position: bool = False) -> Recipe:
    """MemAE as printed: cosine similarity, λ = 1/N, Eq. 8 as score.

    The upper end of the paper's range of λ, 3/N, would set all weights of every query to 0, since cosine similarity
    without a temperature gives no item a weight above about 2.72/N (NOTE[DIFF] lower-end: λ = 1/N).
    """
    memory = MemorySpec(items, on_empty="zero", per_position=per_position)
    return replace(plain, spec=replace(plain.spec, memory=memory))


def without_sparsity(plain: Recipe, items: int) -> Recipe:
    """MemAE-nonSpar: `as_printed` without shrinkage and entropy."""
    memory = MemorySpec(items, shrinkage=0.0)
    return replace(plain, spec=replace(plain.spec, memory=memory), options=replace(plain.options, alpha=0.0))


def as_authors(plain: Recipe, items: int) -> Recipe:
    """MemAE as the authors' code for video: dot product, λ = 0.0025, inputs in [−1, 1], means, absolute error as score.

    Addressing weights start nearly uniform there. If λ exceeds 1/N, all would be shrunk to 0 from the first step and
    never learn; so a query without surviving weights reads its strongest item.
    """
    memory = MemorySpec(items, similarity="dot", shrinkage=0.0025 * items)
    options = replace(plain.options, reduction="mean")
    return Recipe(replace(plain.spec, memory=memory), options, signed=True, score="absolute")


def watched(
    recipe: Recipe,
    training: Tensor | Samples,
    held_out: Tensor | Samples,
    checkpoint: Path,
    figure: Callable[[MemAE], float],
    ends: Callable[[list[Epoch]], bool] | None = None,
    *,
    every: int = 1,
    device: torch.device | str = "cpu",
) -> tuple[MemAE, dict[str, Any]]:
    """Trains a recipe and evaluates the test after its epochs, only for the curve.

    Args:
        recipe: the recipe to train.
        training: normal samples in [0, 1].
        held_out: normal samples that select the epoch.
        checkpoint: path of the checkpoint to resume from; the curve is stored beside it.
        figure: evaluates the test.
        ends: tells after every epoch whether to stop and keep its weights; None runs all epochs and keeps those that
            the recipe's options select.
        every: epochs between two evaluations of the test.
        device: device to train on.

    Returns:
        The model of the selected epoch, and the facts about the training for the record.
    """
    model, history, curve = recipe.build().to(device), list[Epoch](), Curve(checkpoint.with_suffix(".curve"))
    for event in recipe.train(model, training, held_out, checkpoint, history):
        if isinstance(event, Epoch):
            if event.epoch % every == 0:
                curve.add(event.epoch, figure(model))
            if ends is not None and ends(history):
                best = history[-1]
                break
    else:  # all epochs were run; the weights are those of the selected epoch
        best = chosen(history, recipe.options)
    curve.path.unlink(missing_ok=True)
    return model, {
        "epoch": best.epoch,
        "held_out_error": [epoch.held_out_error for epoch in history],
        "curve": curve.values(len(history)),
        "fallback_rate": best.health.fallback_rate if best.health else None,
        "survivors": best.health.survivors if best.health else None,
    }


class Curve:
    """A figure of the test by epoch, stored beside the checkpoint so that a resumed run has all values."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self.points = {int(epoch): float(value) for epoch, value in (line.split() for line in lines)}

    def add(self, epoch: int, value: float) -> None:
        """Adds the value of an epoch."""
        self.points[epoch] = value
        with self.path.open("a") as file:
            file.write(f"{epoch} {value!r}\n")

    def values(self, epochs: int) -> list[float | None]:
        """The values by epoch; None for epochs not evaluated, or lost when a run was interrupted."""
        return [self.points.get(epoch) for epoch in range(1, epochs + 1)]
