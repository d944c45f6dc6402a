"""Pictures: those recorded by a run, as PNG files beside its record, and figures of a page."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Grey = NDArray[np.uint8]
"""Grey levels of several pictures of one size, (n, h, w)."""


def write(record: Path, pictures: Mapping[str, Grey]) -> dict[str, int]:
    """Writes pictures beside the record of their run, one PNG per name, stacked vertically.

    Args:
        record: path of the record; the pictures "items" of "ae-2.json" go to "ae-2.items.png".
        pictures: pictures by name; nothing is written for a name without pictures.

    Returns:
        The number of pictures of each name, for `read`.
    """
    for name, each in pictures.items():
        if len(each):
            Image.fromarray(np.concatenate(each)).save(_path(record, name), optimize=True)
    return {name: len(each) for name, each in pictures.items()}


def read(record: Path, counts: Mapping[str, int]) -> dict[str, Grey]:
    """The pictures written by `write`, by name; a name without pictures is left out."""
    found = {name: np.asarray(Image.open(_path(record, name))) for name, count in counts.items() if count}
    return {name: each.reshape(counts[name], -1, each.shape[1]) for name, each in found.items()}


def _path(record: Path, name: str) -> Path:
    return record.with_suffix(f".{name}.png")


def figure(width: float, height: float) -> "Figure":
    """An empty figure for a page, its size in inches."""
    from matplotlib.figure import Figure  # noqa: PLC0415 (of the extra bench; not needed for measuring)

    return Figure(figsize=(width, height), layout="constrained")


def save(figure: "Figure", path: Path, dpi: int) -> None:
    """Writes a figure of a page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=dpi)
