"""A setting of MemAE or of a variant: a model, how it learns, and what is made of its reconstruction."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from memae.data.samples import InMemory, Selection
from memae.model import MemAE, Spec, build
from memae.training import Epoch, Options, Step, train


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
        training: Tensor,
        held_out: Tensor,
        checkpoint: Path,
        history: list[Epoch] | None = None,
    ) -> Iterator[Step | Epoch]:
        """Trains the model on normal samples in [0, 1]; goes on from the checkpoint if it is there."""
        return train(
            model,
            Selection(InMemory(self.scaled(training))),
            Selection(InMemory(self.scaled(held_out))),
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


class Curve:
    """AUROC by epoch, kept beside the checkpoint so that a resumed run has all of it."""

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
        """By epoch; None where a run was broken off between the checkpoint and this file."""
        return [self.points.get(epoch) for epoch in range(1, epochs + 1)]
