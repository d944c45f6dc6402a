"""The detectors whose results are recorded, as data: class, parameters, and the generator of their seeded data."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

Kind = Literal["table", "image", "video"]


class Data(NamedTuple):
    """What a detector learns from, and what it scores afterwards."""

    normal: Any
    seen: Any
    later: Any = None  # tables: further normal rows, to update with


@dataclass(frozen=True)
class Case:
    """One detector.

    Attributes:
        kind: of data, which names the class.
        data: makes the data.
        parameters: of the class, by the names that `reading` knows.
        paper: whether they change the paper's preset, and not the defaults.
        tolerances: relative to the largest value of a result, by the result's name; "*" stands for all others. A
            result that has none must be the same bit for bit. Where the order of operations has to change, this is
            the place to say by how much.
    """

    kind: Kind
    data: Callable[[], Data]
    parameters: dict[str, Any] = field(default_factory=dict)
    paper: bool = False
    tolerances: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Stored:
    """One model file, which nobody writes anew: it was written by the code of its time.

    Attributes:
        case: whose data its scores are recorded for.
        loose: tolerance on other machines than that of the recording.
        tolerances: as in `Case`.
    """

    case: str
    loose: float
    tolerances: dict[str, float] = field(default_factory=dict)


# ------------------------------------------------------------------------------------------------ data


def _rows(seed: int, count: int, shift: float = 0.0) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Six columns, of which three follow from the others."""
    random = np.random.default_rng(seed)
    free = random.normal(shift, 1.0, (count, 3))
    noise = random.normal(0.0, 0.1, (count, 3))
    return np.concatenate([free, free @ np.array([[1.0, 0.5, 0.0], [0.0, -2.0, 1.0], [0.3, 0.0, 4.0]]) + noise], 1)


def numbers() -> Data:
    """Normal rows; ten more and six of which one column does not fit."""
    odd = _rows(1, 16)
    odd[10:, 4] += 6.0
    return Data(_rows(0, 120), odd)


def growing() -> Data:
    """The same, and rows that come later."""
    return numbers()._replace(later=_rows(2, 80, 0.5))


def spoilt() -> Data:
    """The same with six anomalous rows among those to learn."""
    rows = _rows(0, 120)
    rows[::20] *= -7.0
    return Data(rows, numbers().seen)


def _goods(seed: int, count: int) -> pd.DataFrame:
    """Numbers with gaps, and two columns of categories, one of them with gaps."""
    random = np.random.default_rng(seed)
    size = random.normal(10, 2, count)
    shop = random.choice(["north", "south", "west"], count)
    frame = pd.DataFrame({"size": size, "weight": 3 * size + (shop == "west") + random.normal(0, 0.3, count)})
    frame["shop"] = shop
    frame["grade"] = np.where(size > 11, "large", np.where(size > 9, "middle", "small")).astype(object)
    frame["pieces"] = random.integers(0, 9, count)
    frame.loc[::17, "weight"] = np.nan
    frame.loc[5::23, "grade"] = None
    return frame


def goods() -> Data:
    """A table with categories and missing values; among the rows to score are unknown categories and wrong values."""
    seen = _goods(1, 14)
    seen.loc[11, "weight"] = 90.0
    seen.loc[12, "shop"] = "east"
    seen.loc[13, "grade"] = "small" if seen.loc[13, "grade"] == "large" else "large"
    return Data(_goods(0, 130), seen, _goods(2, 80))


def _bars(seed: int, count: int, size: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Pictures of a slanted bar; the last four of those of an odd seed have a second one across."""
    random = np.random.default_rng(seed)
    images = random.normal(60, 6, (count, *size))
    for image, left in zip(images, random.integers(1, size[1] - 6, count), strict=True):
        image[2 : size[0] - 2, left : left + 3] += 90
        image[2:5, left : left + 5] += 50
    if seed % 2:
        images[-4:, size[0] // 2 :, 1:-1] += 80
    return images.clip(0, 255)


def grey(size: tuple[int, int] = (16, 16)) -> Data:
    """Grey pictures of 8 bits."""
    return Data(_bars(0, 60, size).astype(np.uint8), _bars(1, 12, size).astype(np.uint8))


def wide() -> Data:
    """Pictures that are not square, of which two rotations are told."""
    return grey((12, 16))


def small() -> Data:
    """Square pictures of 12 × 12."""
    return grey((12, 12))


def floats() -> Data:
    """The same as numbers with a fraction, whose range is that of the training data."""
    return Data(*((_bars(seed, count, (12, 12)) / 7.0).astype(np.float32) for seed, count in ((0, 60), (1, 12))))


def colour() -> Data:
    """RGB pictures, channels last."""
    shades = np.array([1.0, 0.6, 0.3])
    return Data(*((_bars(seed, n, (16, 16))[..., None] * shades).astype(np.uint8) for seed, n in ((0, 60), (1, 12))))


def photos() -> Data:
    """Photos of 8 bits and 64 × 64, which features of a pretrained network describe."""
    return grey((64, 64))


def _film(seed: int, frames: int, side: int, odd: tuple[int, int] = (0, 0)) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A square that moves along; in the frames `odd` it is larger and jumps."""
    random = np.random.default_rng(seed)
    video = random.normal(100, 4, (frames, side, side))
    for frame in range(frames):
        left = (frame + 5 * seed) % (side - 4)
        if odd[0] <= frame < odd[1]:
            left = int(random.integers(0, side - 9))
            video[frame, 2:-2, left : left + 9] = 230
        else:
            video[frame, side // 3 : side // 3 + 5, left : left + 4] = 200
    return video.clip(0, 255).astype(np.uint8)


def films(side: int = 16) -> Data:
    """Two videos of 60 frames to learn; one with an odd stretch and a short one to score."""
    return Data([_film(0, 60, side), _film(1, 60, side)], [_film(2, 26, side, (12, 18)), _film(3, 19, side)])


def film() -> Data:
    """The same with one video to score, which takes half as long."""
    return Data(films().normal, [_film(2, 22, 16, (12, 18))])


def larger() -> Data:
    """The same at 24 × 24."""
    return films(24)


# ------------------------------------------------------------------------------------------------ detectors

_TABLE: dict[str, Any] = {"n_items": 12, "epochs": 4, "warmup": 2}
_IMAGE: dict[str, Any] = {"n_items": 8, "epochs": 3, "warmup": 1}
_SLIM: dict[str, Any] = _IMAGE | {"widths": (6, 8), "strides": ((2, 2), (2, 2))}
_VIDEO: dict[str, Any] = {"n_items": 10, "epochs": 3, "size": "native"}
_CLIPS: dict[str, Any] = _VIDEO | {"length": 5, "step": 3, "widths": (8, 8), "strides": ((2, 2), (2, 2)), "smooth": 3}
_SOLID: dict[str, Any] = {"widths": (6, 8), "strides": ((1, 2, 2), (2, 2, 2)), "length": 8, "step": 4}

CASES: dict[str, Case] = {
    "table": Case("table", growing, _TABLE),
    "table-learned-defaults": Case("table", growing, {"n_items": 50}),
    "table-unmasked": Case("table", numbers, _TABLE | {"masked_columns": False}),
    "table-mean": Case("table", numbers, _TABLE | {"masked_columns": False, "reduction": "mean"}),
    "table-absolute": Case("table", growing, _TABLE | {"reduction": "absolute", "scaling": "minmax"}),
    "table-categories": Case("table", goods, _TABLE | {"keep_examples": True}),
    "table-categories-slim": Case("table", goods, _TABLE | {"widths": (16, 6), "keep_examples": True}),
    "table-categories-unmasked": Case("table", goods, _TABLE | {"masked_columns": False, "kept_samples": 0}),
    "table-contamination": Case("table", spoilt, _TABLE | {"contamination": 0.05, "keep_examples": True}),
    "table-no-kept": Case("table", numbers, _TABLE | {"kept_samples": 0}),
    "table-few-kept": Case("table", growing, _TABLE | {"kept_samples": 20}),
    "table-no-memory": Case("table", numbers, _TABLE | {"n_items": 0}),
    "table-learnt-temperature": Case("table", numbers, _TABLE | {"learn_temperature": True, "temperature": 0.2}),
    "table-dot": Case("table", numbers, _TABLE | {"similarity": "dot", "temperature": 1.0, "init": "samples"}),
    "table-revived": Case("table", numbers, _TABLE | {"revive": True, "n_items": 60, "choose": "last", "decay": False}),
    "table-paper": Case("table", numbers, {"n_items": 12, "epochs": 4, "batch_size": 24}, paper=True),
    "table-all-defaults": Case("table", growing),
    "table-keeping-categories": Case("table", goods, {"keep_examples": True}),
    "table-keeping-few": Case("table", growing, {"kept_samples": 40, "scaling": "minmax"}),
    "table-keeping-contamination": Case("table", spoilt, {"contamination": 0.05}),
    "image": Case("image", grey, _IMAGE),
    "image-colour": Case("image", colour, _IMAGE | {"epochs": 2}),
    "image-floats": Case("image", floats, _SLIM),
    "image-two-rotations": Case("image", wide, _SLIM),
    "image-four-rotations": Case("image", small, _SLIM),
    "image-no-kept": Case("image", small, _SLIM | {"kept_samples": 0, "keep_examples": False}),
    "image-few-kept": Case("image", small, _SLIM | {"kept_samples": 10, "erase": 0.0}),
    "image-per-position": Case("image", small, _SLIM | {"per_position": True}),
    "image-error": Case("image", small, _SLIM | {"criterion": "error", "rotations": False}),
    "image-absolute": Case("image", small, _SLIM | {"criterion": "error", "reduction": "absolute"}),
    "image-no-memory": Case("image", small, _SLIM | {"n_items": 0}),
    "image-learnt-temperature": Case("image", small, _SLIM | {"learn_temperature": True}),
    "image-dot": Case("image", small, _SLIM | {"similarity": "dot", "temperature": 1.0, "shrinkage": 0.0}),
    "image-paper": Case("image", grey, {"n_items": 8, "epochs": 3, "batch_size": 12}, paper=True),
    "image-paper-colour": Case("image", colour, {"n_items": 8, "epochs": 2, "batch_size": 12}, paper=True),
    "image-photos": Case("image", photos, {"features": "efficientnet-lite0", "size": (64, 64), "kept_samples": 50}),
    "video": Case("video", larger, _VIDEO | {"epochs": 2, "step": 3, "length": 9}),
    "video-slim": Case("video", films, _CLIPS),
    "video-sparse": Case("video", films, _CLIPS | {"score_step": 3, "smooth": 1}),
    "video-no-speeds": Case("video", film, _CLIPS | {"speeds": False}),
    "video-no-kept": Case("video", film, _CLIPS | {"kept_samples": 0}),
    "video-only-motion": Case("video", film, _CLIPS | {"kept_samples": 0, "speeds": False}),
    "video-few-kept": Case("video", film, _CLIPS | {"kept_samples": 30, "keep_examples": False}),
    "video-no-memory": Case("video", film, _CLIPS | {"n_items": 0}),
    "video-colour-of-grey": Case("video", film, _CLIPS | {"channels": 3, "size": (12, 14), "similarity": "dot"}),
    "video-in-time": Case("video", film, _VIDEO | _SOLID),
    "video-in-time-no-memory": Case("video", film, _VIDEO | _SOLID | {"n_items": 0, "smooth": 1}),
    "video-paper": Case(
        "video", film, {"n_items": 8, "size": (16, 16), "epochs": 2, "step": 22, "batch_size": 2}, paper=True
    ),
}
"""By name. The names of the parameters are those of `reading`."""

STORED: dict[str, Stored] = {
    "format-1-table": Stored("table-categories-slim", 1e-12),
    "format-1-image": Stored("image-four-rotations", 1e-5),
    "format-1-video": Stored("video-slim", 1e-5),
    "format-2-table": Stored("table-categories-slim", 1e-12),
    "format-2-table-paper": Stored("table-paper", 1e-12),
    "format-2-image-two-rotations": Stored("image-two-rotations", 1e-5),
    "format-2-image-four-rotations": Stored("image-four-rotations", 1e-5),
    "format-2-image-error": Stored("image-error", 1e-5),
    "format-2-video": Stored("video-slim", 1e-5),
    "format-2-video-in-time": Stored("video-in-time", 1e-5),
    "format-3-table": Stored("table-categories-slim", 1e-12),
    "format-3-table-paper": Stored("table-paper", 1e-12),
    "format-3-image": Stored("image-four-rotations", 1e-5),
    "format-3-video": Stored("video-slim", 1e-5),
    "format-4-table": Stored("table-keeping-categories", 1e-9),
}
"""Model files of this folder, by name.

Those of format 1 were written by commit 5422593 from the data and parameters of their cases, less `keep_examples`,
which it did not know; those of format 2 by 31d34f9; those of format 3 by 8e84ac9.
"""
