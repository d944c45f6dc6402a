"""What is compared, in one form: ours, and the methods over the same pretrained features."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from memae import ImageMemAE
from memae.data.pixels import header, resize
from memae.engines.runtimes import Engine
from memae.networks.efficientnet_lite import read_lite
from memae.scoring import Floats
from reproduction import inside
from reproduction.baselines.photos import Features, PhotoDetector, kept_bytes
from reproduction.images.sets import Photos, tiles

SIZE = 224
"""Side of the photos that the network sees, in pixels."""
STAGES = (3, 5)
"""Stages of EfficientNet-Lite0 whose features all methods get: 80 channels at 1/16 of the size, and 192 at 1/32."""

Map = NDArray[np.float32]


class Detector(Protocol):
    """A method that is compared."""

    def fit(self, photos: Photos) -> Self:
        """Learns normal photos."""
        ...

    def scores(self, photos: Photos) -> Floats:
        """Score of each photo `(n,)`, higher = more anomalous."""
        ...

    def maps(self, photos: list[Path]) -> Iterator[Map] | None:
        """Map of each photo `(h, w)` at its own size; None if the method tells no place."""
        ...

    def file_bytes(self) -> int:
        """Size of what must be stored."""
        ...

    def use(self, engine: Engine) -> None:
        """Computes with another engine from now on."""
        ...


class Ours:
    """`ImageMemAE`.

    Args:
        make: the class, or one that differs in what is no parameter.
        options: its parameters.
    """

    def __init__(self, make: type[ImageMemAE] = ImageMemAE, **options: Any) -> None:
        self.detector = make(**options)

    def fit(self, photos: Photos) -> Self:
        """Learns normal photos."""
        self.detector.fit(photos)
        return self

    def scores(self, photos: Photos) -> Floats:
        """Score of each photo."""
        return self.detector.anomaly_score(photos)

    def maps(self, photos: list[Path]) -> Iterator[Map]:
        """Map of each photo."""
        return inside.maps(self.detector, photos)

    def file_bytes(self) -> int:
        """Size of the model file."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.memae"
            self.detector.save(path)
            return path.stat().st_size

    def use(self, engine: Engine) -> None:
        """Computes with another engine from now on."""
        self.detector.use_engine(engine)


def random_items(patches: Tensor, most: int, random: torch.Generator) -> Tensor:
    """Indices of `most` random patches of `(n, p)`, or of all; see `memae.patches.spread_out`."""
    return torch.randperm(len(patches), generator=random)[:most].sort().values


class RandomItems(ImageMemAE):
    """`ImageMemAE` whose kept patches are random, instead of spread out."""

    choose_patches = staticmethod(random_items)


class OverFeatures:
    """A method over the features of the pretrained network.

    Args:
        make: the method, of these features.
    """

    def __init__(self, make: Callable[[Features], PhotoDetector]) -> None:
        self.network: nn.Module = read_lite(0, STAGES).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.detector = make(self.network)

    def fit(self, photos: Photos) -> Self:
        """Learns normal photos."""
        self.detector.fit(tiles(photos, SIZE))
        return self

    def scores(self, photos: Photos) -> Floats:
        """Score of each photo."""
        return np.concatenate([self.detector.located(part).score for part in tiles(photos, SIZE)])

    def maps(self, photos: list[Path]) -> Iterator[Map] | None:
        """Map of each photo."""
        told = self.detector.located(next(tiles(photos[:1], SIZE))).maps is not None
        return self._maps(photos) if told else None

    def _maps(self, photos: list[Path]) -> Iterator[Map]:
        found = (self.detector.located(next(tiles([path], SIZE))).maps for path in photos)
        for path, each in zip(photos, found, strict=True):
            yield np.asarray(resize(torch.from_numpy(each), header(path).size)[0])

    def file_bytes(self) -> int:
        """Size of the network's weights and of what is kept of the photos."""
        return sum(each.nbytes for each in self.network.parameters()) + kept_bytes(self.detector)

    def use(self, engine: Engine) -> None:
        """Computes with torch alone.

        Raises:
            ValueError: another engine.
        """
        if engine != "torch":
            raise ValueError(f"the compared methods run with torch alone; got engine {engine!r}")
