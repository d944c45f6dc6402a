"""What the compared methods for whole films share: their form, optical flow, and the cells of a frame.

A film is an array of grey frames `(t, h, w)`. A method divides frames into cells and gives each cell of each frame a
score; that of a frame is by default the highest of its cells.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from memae.errors import MissingExtraError
from memae.scoring import Floats

Film = NDArray[np.uint8]
"""Frames `(t, h, w)` in grey levels 0..255."""
Cells = NDArray[np.float32]
"""Values of the cells of frames `(t, rows, columns, …)`."""
CELL = 12
"""Side of a cell, in pixels: on Ped2 about the width of a person."""


class FilmScores(NamedTuple):
    """Scores of a film, higher = more anomalous."""

    score: Floats  # (t,), of each frame
    maps: Cells  # (t, rows, columns), of each cell
    parts: Mapping[str, Floats] = MappingProxyType({})  # by name, scores (t,) of what a method adds up


class FilmDetector(Protocol):
    """A compared method: it is fitted on normal films and scores any."""

    def fit(self, training: Sequence[Film], held_out: Sequence[Film], checkpoint: Path | None = None) -> Self:
        """Learns normal films.

        Args:
            training: films of one size.
            held_out: other normal films, to choose an epoch by.
            checkpoint: file from which an interrupted training goes on, for methods that train for long.
        """
        ...

    def anomaly_score(self, film: Film) -> FilmScores:
        """Scores of each frame, and of its cells."""
        ...


def highest(maps: Cells) -> FilmScores:
    """The scores of a method whose frames are as anomalous as their most anomalous cell."""
    return FilmScores(maps.max((1, 2)).astype(np.float64), maps)


def flow(film: Film) -> Cells:
    """Optical flow into each frame from the one before, in pixels, right and down `(t, h, w, 2)`; 0 has that of 1.

    By OpenCV's dense inverse search (Kroeger et al., ECCV 2016) at its preset "medium".

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    try:
        import cv2  # noqa: PLC0415 (of the extra bench)
    except ModuleNotFoundError as error:
        raise MissingExtraError("optical flow needs OpenCV: pip install -e '.[bench]'") from error
    cv2.setNumThreads(1)
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    found = np.zeros((*film.shape, 2), np.float32)
    for number in range(1, len(film)):
        found[number] = search.calc(film[number - 1], film[number], found[number].copy())
    found[0] = found[min(1, len(film) - 1)]
    return found


def over_cells(pixels: NDArray[np.float32], cell: int = CELL) -> Cells:
    """Mean of the pixels of each cell: `(t, h, w, …)` → `(t, rows, columns, …)`, less a border narrower than a cell."""
    frames, height, width = pixels.shape[:3]
    rows, columns = height // cell, width // cell
    apart = pixels[:, : rows * cell, : columns * cell].reshape(frames, rows, cell, columns, cell, *pixels.shape[3:])
    found: Cells = apart.mean((2, 4))
    return found


def over_time(values: Cells, length: int) -> Cells:
    """Mean of each `length` consecutive frames `(t, …)` → `(t // length, …)`; of a shorter film, the mean of all."""
    count = max(len(values) // length, 1)
    found: Cells = values[: count * length].reshape(count, -1, *values.shape[1:]).mean(1)
    return found


def each_frame(values: Cells, frames: int, length: int) -> Cells:
    """The inverse of `over_time`: each frame gets the values of its stretch, those after the last the last one's."""
    return values[np.minimum(np.arange(frames) // length, len(values) - 1)]
