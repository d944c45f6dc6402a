"""A setting of MemAE or of a variant: a model, how it learns, and what is made of its reconstruction.

The variants follow from an autoencoder: network, batch, rate and epochs stay, and the memory alone makes a difference.
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
    """A model, how it learns, and what is made of its reconstruction.

    Args:
        spec: the model.
        options: its training.
        signed: whether samples in [0, 1] are scaled to [−1, 1].
        score: name of the one that is reported as the method's own.
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
        """Trains the model on normal samples in [0, 1]; goes on from the checkpoint if it is there."""
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
        """Samples in [0, 1] as the model takes them."""
        return samples * 2 - 1 if self.signed else samples

    def unit(self, samples: Tensor) -> Tensor:
        """The inverse of `scaled`."""
        return samples / 2 + 0.5 if self.signed else samples


def samples(normal: Tensor | Samples) -> Samples:
    """Rows of a tensor as samples; samples as they are."""
    return Selection(InMemory(normal)) if isinstance(normal, Tensor) else normal


def as_printed(plain: Recipe, items: int, *, per_position: bool = False) -> Recipe:
    """MemAE as printed: cosine similarity, λ = 1/N, Eq. 8 as score.

    The upper end of the paper's range of λ, 3/N, would leave every row empty, since a cosine without temperature
    addresses no item by more than about 2.72/N (NOTE[DIFF] lower-end: λ = 1/N).
    """
    memory = MemorySpec(items, on_empty="zero", per_position=per_position)
    return replace(plain, spec=replace(plain.spec, memory=memory))


def without_sparsity(plain: Recipe, items: int) -> Recipe:
    """MemAE-nonSpar: `as_printed` without shrinkage and entropy."""
    memory = MemorySpec(items, shrinkage=0.0)
    return replace(plain, spec=replace(plain.spec, memory=memory), options=replace(plain.options, alpha=0.0))


def as_authors(plain: Recipe, items: int) -> Recipe:
    """MemAE as the authors' code for video: dot product, λ = 0.0025, inputs in [−1, 1], means, absolute error as score.

    Rows start nearly uniform there; where λ exceeds 1/N all would be empty from the first step and never learn, so that
    a query without survivors reads its strongest item.
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
    """Trains a recipe and looks at the test after its epochs, for the curve alone.

    Args:
        recipe: what is trained.
        training: normal samples in [0, 1].
        held_out: those that choose the epoch.
        checkpoint: from which the training goes on; the curve lies beside it.
        figure: of the test.
        ends: asked after every epoch whether its weights are the ones to keep; None goes through all epochs and keeps
            what the recipe's options choose.
        every: epochs from one look at the test to the next.
        device: to train on.

    Returns:
        the model of the chosen epoch, and what a record keeps of the training.
    """
    model, history, curve = recipe.build().to(device), list[Epoch](), Curve(checkpoint.with_suffix(".curve"))
    for event in recipe.train(model, training, held_out, checkpoint, history):
        if isinstance(event, Epoch):
            if event.epoch % every == 0:
                curve.add(event.epoch, figure(model))
            if ends is not None and ends(history):
                best = history[-1]
                break
    else:  # to the end, where the weights are those of the chosen epoch
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
    """A figure of the test by epoch, kept beside the checkpoint so that a resumed run has all of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self.points = {int(epoch): float(value) for epoch, value in (line.split() for line in lines)}

    def add(self, epoch: int, value: float) -> None:
        """Notes the value of an epoch."""
        self.points[epoch] = value
        with self.path.open("a") as file:
            file.write(f"{epoch} {value!r}\n")

    def values(self, epochs: int) -> list[float | None]:
        """By epoch; None where nobody looked, or a run was broken off between the checkpoint and this file."""
        return [self.points.get(epoch) for epoch in range(1, epochs + 1)]
