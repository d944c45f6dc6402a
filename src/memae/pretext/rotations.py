"""Rotated images, whose rotation is predicted from the memory read-out.

A model of normal images predicts their rotation well, and that of anomalies badly (Golan and El-Yaniv, Deep Anomaly
Detection Using Geometric Transformations, NeurIPS 2018; Hendrycks et al., NeurIPS 2019). Not in the MemAE paper.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from memae.pretext import Pretext, PretextSpec, Views
from memae.randomness import BatchRandom


@dataclass(frozen=True)
class RotationSpec(PretextSpec):
    """Rotates images and predicts the rotation.

    Args:
        rotations: number of rotations, 2 or 4, that the rotation head predicts from the memory read-out.
    """

    rotations: int

    def build(self, code: tuple[int, ...], shape: tuple[int, ...]) -> Pretext:  # noqa: ARG002 (any shape)
        """The task with a fresh rotation head."""
        return Rotations(math.prod(code), self.rotations)

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuses samples that are not images, and 4 rotations of images that are not square."""
        if len(shape) != 3 or self.rotations not in (2, 4) or self.rotations > rotations_of(shape[1:]):
            raise ValueError(f"{self.rotations} rotations do not fit samples of {shape}")


class Rotations(Pretext):
    """Encodes images in every rotation, restores the upright ones, and predicts the rotation of each.

    Args:
        features: number of features of a whole code.
        rotations: 2 or 4.
    """

    def __init__(self, features: int, rotations: int) -> None:
        super().__init__()
        self.rotations = rotations
        self.head = nn.Linear(features, rotations)

    def views(self, x: Tensor, random: BatchRandom | None = None) -> Views:  # noqa: ARG002 (all of them, always)
        """Images in every rotation, upright first: `(rotations · b, c, h, w)`."""
        return Views(rotated(x, self.rotations))

    def restored(self, decode: Callable[[Tensor], Tensor], read: Tensor, count: int, views: Views) -> Tensor:  # noqa: ARG002
        """The reconstructions of the upright images; of the others only the rotation is predicted."""
        return decode(read[:count])

    def surprise(self, read: Tensor, views: Views) -> Tensor | None:  # noqa: ARG002 (their order is known)
        """Cross-entropy of the rotation head `(b,)`, nats."""
        return cross_entropy(self.head(read.flatten(1)), self.rotations)


def rotations_of(space: Sequence[int]) -> int:
    """Number of rotations that keep the size `(h, w)` of an image: 4 if it is square, else 2."""
    return 4 if space[0] == space[1] else 2


def rotated(x: Tensor, rotations: int) -> Tensor:
    """Images `(b, c, h, w)` → `(rotations · b, c, h, w)`: all upright, then all rotated once, and so on.

    Example:
        >>> rotated(torch.tensor([[[[1.0, 2.0]]]]), 2).flatten(1).tolist()
        [[1.0, 2.0], [2.0, 1.0]]
    """
    return torch.cat([torch.rot90(x, number * 4 // rotations, (2, 3)) for number in range(rotations)])


def cross_entropy(logits: Tensor, rotations: int) -> Tensor:
    """Cross-entropy of predicted rotations in nats, mean over the rotations: `(rotations · b, rotations)` → `(b,)`.

    A uniform guess has log(rotations).

    Example:
        >>> cross_entropy(torch.zeros(4, 2), 2)
        tensor([0.6931, 0.6931])
    """
    each = logits.reshape(rotations, -1, rotations)
    predicted = each.log_softmax(2).diagonal(dim1=0, dim2=2)  # (b, rotations), log-probability of the true one
    return -predicted.mean(1)
