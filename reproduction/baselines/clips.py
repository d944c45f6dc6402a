"""What the autoencoders of clips share: training and scores."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from memae.data.samples import Samples
from reproduction.baselines.descent import descend


class ClipErrors(NamedTuple):
    """Scores of b clips by a method for video, higher = more anomalous."""

    errors: Tensor  # (b,), float64: sum over the clip
    maps: Tensor  # (b, t, h, w), float32: of each pixel of each frame


class ClipAutoencoder(nn.Module, ABC):
    """Restores clips; a clip's score is its squared error.

    Args:
        epochs: passes over the training clips.
        length: frames a clip.
        width: share of the channels that the method's paper has.
        seed: of weights and order.
        rate: first learning rate.
        batch: clips a step.
    """

    def __init__(self, *, epochs: int, length: int, width: float, seed: int, rate: float, batch: int) -> None:
        super().__init__()
        self.epochs, self.length, self.width = epochs, length, width
        self.seed, self.rate, self.batch = seed, rate, batch

    @abstractmethod
    def layers(self) -> None:
        """Sets the layers, with fresh weights."""

    @abstractmethod
    def reconstruct(self, x: Tensor) -> Tensor:
        """Clips `(b, 1, t, h, w)` in [0, 1] → their reconstruction, the same shape."""

    @abstractmethod
    def loss(self, clips: Tensor, random: torch.Generator) -> Tensor:
        """The training loss of each clip in grey levels 0..255 `(b,)`."""

    def build(self) -> None:
        """Initialises the weights by the seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.layers()

    def fit(self, training: Samples, held_out: Samples, checkpoint: Path | None = None) -> Self:
        """Learns normal clips `(n, 1, frames, h, w)` in grey levels 0..255; see `descend` for the checkpoint."""
        self.build()
        self.history = descend(
            self, self.loss, training, held_out,
            epochs=self.epochs, rate=self.rate, seed=self.seed, batch=self.batch, checkpoint=checkpoint,
        )  # fmt: skip
        return self

    @torch.no_grad()
    def clip_error(self, clips: Tensor) -> ClipErrors:
        """Squared error of clips `(b, 1, length, h, w)` in grey levels 0..255.

        One clip at a time, so that its error does not depend on the batch it comes in.
        """
        self.eval()
        x = unit(clips)
        maps = torch.cat([(clip - self.reconstruct(clip)).square()[:, 0] for clip in torch.split(x, 1)])
        return ClipErrors(maps.flatten(1).sum(1, dtype=torch.float64), maps)


def unit(clips: Tensor) -> Tensor:
    """Grey levels 0..255 as float32 in [0, 1]."""
    return clips.float() / 255
