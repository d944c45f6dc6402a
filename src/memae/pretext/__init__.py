"""What a model is asked besides restoring what it sees; `Pretext` itself asks nothing, which is the paper.

A pretext task is solved from what the memory answers: who knows the normal samples solves it, and an anomaly is
answered as if it were normal, so that the task goes wrong. A new task is one file here: its `PretextSpec`, which is
stored, and its `Pretext`, which computes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Views(NamedTuple):
    """Samples as the model sees them."""

    samples: Tensor  # (v · b, …): all samples in one view, then all in the next
    key: Tensor | None = None  # what was done to each, where that varies: a mask, a speed
    per_sample: int = 1  # v, the views of a sample from which its reconstruction is put together


class Pretext(nn.Module):
    """No pretext task: the model sees a sample and restores it (the paper)."""

    def views(self, x: Tensor, random: torch.Generator | None = None) -> Views:  # noqa: ARG002 (subclasses sample)
        """The views of samples `(b, *shape)` that a forward pass takes.

        Args:
            x: samples.
            random: samples the views in training; None takes those of scoring, without chance.
        """
        return Views(x)

    def all_views(self, x: Tensor) -> Views:
        """The views whose codes the memory's first items and kept codes come from, without chance."""
        return self.views(x)

    def presented(self, views: Views) -> Tensor:
        """What the encoder sees of views. Of `Views(x)` that is everything: x as it is, nothing masked."""
        return views.samples

    def as_scored(self, x: Tensor) -> Tensor:
        """The samples to score inside of training samples, which may be longer."""
        return x

    def target(self, x: Tensor) -> Tensor:
        """What x̂ is the reconstruction of."""
        return x

    def restored(self, decode: Callable[[Tensor], Tensor], read: Tensor, count: int, views: Views) -> Tensor:  # noqa: ARG002
        """The reconstructions x̂ of `count` samples from what the memory answered to the codes of their views."""
        return decode(read)

    def surprise(self, read: Tensor, views: Views) -> Tensor | None:  # noqa: ARG002 (nothing is predicted)
        """How badly the task is solved from what the memory answered, `(b,)` or `(b, h, w)`; None without one."""
        return None

    def loss(self, surprise: Tensor, error: Tensor) -> Tensor:
        """What the surprise adds to the objective, Eq. 10.

        It is weighed by the reconstruction error itself `(b,)`, so that both count alike whatever the data's size and
        scale.
        """
        return error.detach().mean() * surprise.mean()

    def restored_well(self, raw: Tensor, x_hat: Tensor) -> Tensor:  # noqa: ARG002 (clips need them)
        """Raw samples with small errors, to compare engines with: the reconstructions x̂ of other samples `raw`."""
        return x_hat

    def check(self, tensors: Mapping[str, Tensor]) -> None:
        """Refuses tensors of a model file that a task cannot have.

        Args:
            tensors: by their names in the state of this module.

        Raises:
            ValueError: they do not fit.
        """


@dataclass(frozen=True)
class PretextSpec:
    """A pretext task as data, without weights; this one describes none."""

    @property
    def by_position(self) -> bool:
        """Whether the task is solved at each position of the code, which then is no query as a whole."""
        return False

    @property
    def views(self) -> int:
        """Views from which a reconstruction is put together, which take as much memory as so many samples."""
        return 1

    def presented(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of what the encoder sees of a sample of `shape`."""
        return shape

    def target(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of what the decoder restores of a sample of `shape`."""
        return shape

    def build(self, code: tuple[int, ...], shape: tuple[int, ...]) -> Pretext:  # noqa: ARG002 (subclasses need them)
        """The task with fresh weights, for codes `(c, *space)` of samples of `shape`."""
        return Pretext()

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuses samples of a shape that the task cannot take.

        Raises:
            ValueError: it cannot.
        """
