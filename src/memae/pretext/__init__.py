"""Pretext tasks: what a model solves besides reconstruction. `Pretext` itself is no task, as in the paper.

A pretext task is solved from the memory read-out. That works for normal samples and fails for anomalies, whose read-out
consists of normal items. A new task is one module here, with a `PretextSpec`, which is stored, and a `Pretext`, which
computes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from memae.randomness import BatchRandom


class Views(NamedTuple):
    """Transformed samples, the input of the model."""

    samples: Tensor  # (v · b, …): all samples in one view, then all in the next
    key: Tensor | None = None  # the transformation of each, if it varies: a mask, a speed
    per_sample: int = 1  # number of views that are combined to a sample's reconstruction


class Pretext(nn.Module):
    """No pretext task: the model restores the sample that it sees, as in the paper. Base class of all tasks."""

    mean: Callable[[Tensor], Tensor] = staticmethod(torch.mean)
    """Mean of what was computed for all samples of a batch; of those of other processes as well, see `memae.joint`."""

    def views(self, x: Tensor, random: BatchRandom | None = None) -> Views:  # noqa: ARG002 (subclasses sample)
        """The views of samples `(b, *shape)` that a forward pass takes.

        Args:
            x: samples.
            random: samples the views in training; None takes the deterministic views of scoring.
        """
        return Views(x)

    def all_views(self, x: Tensor) -> Views:
        """The deterministic views whose codes initialise memory items and are kept for distances."""
        return self.views(x)

    def presented(self, views: Views) -> Tensor:
        """The encoder's input for views; for `Views(x)` the whole x, with nothing masked."""
        return views.samples

    def as_scored(self, x: Tensor) -> Tensor:
        """The part of training samples that scoring takes; they may be longer than samples to score."""
        return x

    def target(self, x: Tensor) -> Tensor:
        """What x̂ reconstructs, `(b, *target)`."""
        return x

    def restored(self, decode: Callable[[Tensor], Tensor], read: Tensor, count: int, views: Views) -> Tensor:  # noqa: ARG002
        """The reconstructions x̂ `(count, *target)` from the memory read-out of the views of `count` samples."""
        return decode(read)

    def surprise(self, read: Tensor, views: Views) -> Tensor | None:  # noqa: ARG002 (nothing is predicted)
        """How badly the task is solved from the memory read-out, `(b,)` or `(b, h, w)`; None without a task."""
        return None

    def loss(self, surprise: Tensor, error: Tensor) -> Tensor:
        """The term that the surprise adds to the objective, Eq. 10.

        Its weight is the mean reconstruction error, so that both count alike for data of any size and scale.

        Args:
            surprise: see `surprise`.
            error: R of each sample `(b,)`.
        """
        return self.mean(error.detach()) * surprise.mean()

    def restored_well(self, raw: Tensor, x_hat: Tensor) -> Tensor:  # noqa: ARG002 (clips need them)
        """Raw samples that the model restores well, for comparing engines: here x̂, the reconstructions of `raw`."""
        return x_hat

    def check(self, tensors: Mapping[str, Tensor]) -> None:
        """Refuses tensors of a model file that do not fit the task.

        Args:
            tensors: by their names in this module's state.

        Raises:
            ValueError: they do not fit.
        """


@dataclass(frozen=True)
class PretextSpec:
    """A pretext task as data, without weights. This base class describes no task."""

    @property
    def by_position(self) -> bool:
        """Whether the task is solved at each position of the code, so that positions are queries, not whole codes."""
        return False

    @property
    def views(self) -> int:
        """Number of decoded views that are combined to one reconstruction: scoring takes that many times the memory."""
        return 1

    def presented(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the encoder's input for a sample of `shape`."""
        return shape

    def target(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the decoder's output for a sample of `shape`."""
        return shape

    def build(self, code: tuple[int, ...], shape: tuple[int, ...]) -> Pretext:  # noqa: ARG002 (subclasses need them)
        """The task with fresh weights, for codes `(c, *space)` of samples of `shape`."""
        return Pretext()

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuses samples of a shape that the task cannot take.

        Raises:
            ValueError: the shape does not fit.
        """
