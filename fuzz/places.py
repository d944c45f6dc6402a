"""Temporary files for targets, and the small detectors that score them."""

import atexit
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from memae.cli.score_table import scored
from memae.cli.writing import write
from memae.estimators import Estimator, ImageMemAE, TabularMemAE, VideoMemAE

SMALL: dict[str, Any] = {
    "epochs": 1,
    "warmup": 0,
    "n_items": 4,
    "init": "uniform",
    "false_alarm_rate": 0.2,
    "device": "cpu",
}
SIDE = 12
CHUNK = 8  # samples computed at once; the default for such small samples is hundreds


@cache
def folder() -> Path:
    """The temporary folder of this process."""
    made = tempfile.TemporaryDirectory(prefix="memae-fuzz-")
    atexit.register(made.cleanup)
    return Path(made.name)


def put(name: str, data: bytes) -> Path:
    """Writes a file of this name in the temporary folder."""
    path = folder() / name
    path.write_bytes(data)
    return path


def scored_into(detector: Estimator, source: Path, ending: str, ignore: Sequence[str] = (), **more: Any) -> None:
    """Scores a source as `memae score` does."""
    write(scored(detector, detector.kind_.ignoring(ignore), source, **more), folder() / f"scores{ending}")


def begun(detector: Estimator, source: Path) -> None:
    """Runs `memae fit` up to its first step: everything is read, split, scaled and built."""
    steps: Iterator[Any] = detector.fit_steps(source)
    next(steps)
    steps.close()  # type: ignore[attr-defined]  # a generator


def _random() -> np.random.Generator:
    return np.random.default_rng(0)


def quick(detector: Any, X: Any) -> Any:
    """The detector, fitted, so that it computes few samples at once."""
    detector.fit(X)
    detector.scorer_.chunk = CHUNK
    return detector


def rows(count: int = 40) -> pd.DataFrame:
    """A table with the columns of `table_detector`."""
    random = _random()
    numbers = pd.DataFrame(random.normal(size=(count, 3)).round(3), columns=list("abc"))
    return numbers.assign(kind=random.choice(["x", "y", "grün"], count))


def pixels(*shape: int) -> Any:
    """Noise, uint8."""
    return _random().integers(0, 255, shape).astype(np.uint8)


@cache
def table_detector() -> TabularMemAE:
    """A detector for the columns a, b, c, kind."""
    return TabularMemAE(widths=(4,), ignore=("id",), **SMALL).fit(rows().assign(id=0))


@cache
def image_detector() -> ImageMemAE:
    """A detector for images of any size."""
    net: dict[str, Any] = {"widths": (4,), "strides": ((2, 2),), "size": (SIDE, SIDE), "channels": 3}
    detector: ImageMemAE = quick(ImageMemAE(**net, **SMALL), pixels(20, SIDE, SIDE))
    return detector


def new_video_detector() -> VideoMemAE:
    """A video detector before `fit`."""
    net: dict[str, Any] = {"widths": (4,), "strides": ((2, 2),), "size": (SIDE, SIDE), "length": 3, "smooth": 3}
    return VideoMemAE(**net, speeds=False, **SMALL)


@cache
def video_detector() -> VideoMemAE:
    """A detector for video of any size."""
    detector: VideoMemAE = quick(new_video_detector(), pixels(60, SIDE, SIDE))
    return detector
