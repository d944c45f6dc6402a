"""Sets of images as one-class problems: folders in the layout of MVTec AD, and classes of MNIST and CIFAR-10.

A folder holds `train/good`, `test/good` and `test/<kind of defect>`, and masks of the defects; see `memae.data.layout`.
"""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memae.data.images import find_images
from memae.data.layout import defects_from_layout, masks_from_layout
from memae.data.pixels import decode, resize, with_channels
from memae.data.samples import digest
from memae.errors import SourceError
from reproduction import datasets
from reproduction.datasets import Images
from reproduction.protocol import one_class

Photos = list[Path] | NDArray[np.uint8]
"""Files of any sizes, or an array `(n, h, w)` or `(n, h, w, 3)`."""

GOOD = "good"
GROUPS: dict[str, dict[str, tuple[str, ...]]] = {"magnetic_tiles": {"blowholes_and_cracks": ("blowhole", "crack")}}
"""Kinds of defects that have a figure of their own together. The masks of the other kinds of magnetic tiles cover whole
regions, of which often only the edge looks unusual."""


class Problem(NamedTuple):
    """Normal photos to learn, and a test."""

    training: Photos
    test: Photos
    kinds: tuple[str, ...]  # of each photo of the test: "good", or the kind of its defect
    masks: list[Path | None] | None  # of each photo of the test, None for a good one; None without masks
    checksum: str  # of the data

    @property
    def labels(self) -> NDArray[np.int64]:
        """1 for anomalies `(n,)`."""
        return np.array([kind != GOOD for kind in self.kinds], np.int64)


# ------------------------------------------------------------------------------------------------------ folders


def names(root: Path) -> list[str]:
    """The folders in `root` that have the layout.

    Raises:
        SourceError: there is none.
    """
    found = sorted(each.parent.parent.name for each in root.glob(f"*/train/{GOOD}"))
    if not found:
        raise SourceError(
            f"{root} holds no set in the layout of MVTec AD; expected folders such as bottle/train/good, bottle/test "
            "and bottle/ground_truth. Name another folder with --root"
        )
    return found


def folder(root: Path, name: str) -> Problem:
    """One set in the layout of MVTec AD; its split into training and test is the publisher's.

    Raises:
        SourceError: photos are missing.
    """
    place = root / name
    training, test = find_images(place / "train" / GOOD), find_images(place / "test")
    kinds = tuple(kind or GOOD for kind in defects_from_layout(test, place))
    masks = masks_from_layout(test, place)
    every = [*training, *test]
    checksum = digest(f"{path.relative_to(place)} {path.stat().st_size}".encode() for path in every)
    return Problem(training, test, kinds, masks, checksum)


# ------------------------------------------------------------------------------------------------------ classes

READERS = {"cifar10": datasets.cifar10, "mnist": datasets.mnist}
FEWER = 1333
"""Training images a class in the small form of a set, a third of those of CIFAR-10."""
CLASSES = {
    "cifar10": ("cifar10", None),
    f"cifar10_{FEWER}": ("cifar10", FEWER),
    "mnist": ("mnist", None),
    f"mnist_{FEWER}": ("mnist", FEWER),
}
"""Name → data set, and the number of training images at most; the split is that of Table 1."""
TITLES = {"cifar10": "CIFAR-10 (JPEG copies)", "mnist": "MNIST"}


@functools.cache
def _read(dataset: str) -> tuple[Images, str]:
    images = READERS[dataset]()
    return images, digest([images.pixels.tobytes()])


def one_of_ten(name: str, normal: int, seed: int) -> Problem:
    """One class is normal; see `protocol.one_class`. Nothing is held out, since our detector does so itself.

    Args:
        name: one of `CLASSES`.
        normal: the class that is normal, 0 to 9.
        seed: of the split.
    """
    dataset, most = CLASSES[name]
    images, checksum = _read(dataset)
    split = one_class(images, normal, seed)
    kinds = tuple(f"class {kind}" if label else GOOD for kind, label in zip(split.classes, split.labels, strict=True))
    return Problem(np.concatenate([split.training, split.held_out])[:most], split.test, kinds, None, checksum)


# -------------------------------------------------------------------------------------------------------- photos


def few(photos: Photos, count: int, seed: int) -> Photos:
    """`count` of the photos, sampled by seed."""
    chosen = np.random.default_rng(seed).permutation(len(photos))[:count]
    return [photos[index] for index in chosen] if isinstance(photos, list) else photos[chosen]


def tiles(photos: Photos, size: int, batch: int = 4) -> Iterator[Tensor]:
    """Photos as RGB in grey levels 0 … 255, scaled to `(b, 3, size, size)` whatever their aspect.

    In small batches, whose feature maps are not given back to the system after each, which would take as long as they.
    """
    for start in range(0, len(photos), batch):
        part = photos[start : start + batch]
        yield torch.cat([resize(pixels.float(), (size, size)) for pixels in _pixels(part)])


def _pixels(photos: Photos) -> Iterator[Tensor]:
    """Each photo `(1, 3, h, w)`."""
    if isinstance(photos, list):
        yield from (decode(path, 3)[None] for path in photos)
        return
    for each in photos:
        pixels = torch.from_numpy(np.atleast_3d(each)).permute(2, 0, 1)[None]
        yield with_channels(pixels, 3)
