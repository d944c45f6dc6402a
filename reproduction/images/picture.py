"""The picture of docs/photos.png: defects on real photos, found by `ImageMemAE()`."""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from memae import ImageMemAE
from memae.data.pixels import decode
from memae.kinds.kind import sample_at
from recording import records
from reproduction import datasets

SHOWN = (
    "blowhole/exp1_num_108719.jpg",
    "crack/exp1_num_249594.jpg",
    "uneven/exp3_num_155360.jpg",
    "break/exp3_num_62592.jpg",
)
HEIGHT, GAP = 280, 6
"""Height of a photo in the picture, and the space between two, in pixels."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the folder of the set."""
    shown = "the magnetic tiles, in the layout of MVTec AD; by default %(default)s"
    parser.add_argument("root", type=Path, nargs="?", default=datasets.DATA / "magnetic_tiles", help=shown)


def main(arguments: argparse.Namespace) -> None:
    """Draws the picture."""
    draw(arguments.root)


def draw(root: Path, photos: tuple[str, ...] = SHOWN, path: Path = records.ROOT / "docs" / "photos.png") -> None:
    """Fits the magnetic tiles and draws some of their defects, each beside the same photo under its map.

    Args:
        root: folder of the set.
        photos: to show, below its folder test.
        path: of the picture.
    """
    detector = ImageMemAE().fit(root / "train" / "good")
    kind, scorer = detector.kind_, detector.scorer_
    pairs = []
    for part in kind.scored(scorer, kind.open([root / "test" / each for each in photos]), maps=True):
        for index, where in enumerate(kind.located(scorer, part)):
            sample = sample_at(part.names, index)
            pairs.append((np.asarray(decode(sample["path"], 3)).transpose(1, 2, 0), kind.picture(where, sample)))
    Image.fromarray(np.concatenate([_scaled(each) for pair in pairs for each in pair], 1)).save(path)


def _scaled(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A photo at the height of the picture, with a white edge."""
    image = Image.fromarray(photo)
    scaled = image.resize((round(image.width * HEIGHT / image.height), HEIGHT), Image.Resampling.BICUBIC)
    return np.pad(np.asarray(scaled), ((0, 0), (0, GAP), (0, 0)), constant_values=255)
