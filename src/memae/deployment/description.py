"""The description of an exported detector: what a program must know to use it, as JSON inside the file."""

import json
from dataclasses import asdict, dataclass
from importlib.metadata import version

from memae.data.tables import TableEncoder
from memae.estimators import Estimator, ImageMemAE, TabularMemAE, VideoMemAE

FORMAT = 1
"""Version of the description."""


@dataclass(frozen=True)
class Place:
    """How a column of the user's table is encoded in a row of numbers."""

    name: str
    kind: str  # number or category
    at: int  # index of its first number
    fill: float | None = None  # of a number column: the number for a missing value
    marked: bool = False  # whether the number at index `at` + 1 is 1 for a missing value, else 0
    categories: tuple[str, ...] = ()  # one-hot in this order, followed by one for any other value; missing is ""


@dataclass(frozen=True)
class Description:
    """An exported detector, as data."""

    memae: str  # version of memae that wrote it
    kind: str  # table, image or video
    shape: tuple[int, ...]  # of one raw sample: (width,), (c, h, w) or (c, t, h, w)
    dtype: str  # of raw samples
    threshold: float  # scores above it are flagged
    false_alarm_rate: float  # share of normal samples above the threshold
    held_out: int  # number of held-out scores behind p-values; for video, of frames
    unit: str = "numbers"  # of pixels: "grey levels" from 0 to 255, or numbers as in training
    columns: tuple[Place, ...] = ()  # for tables
    score_step: int = 1  # for video: frames from one clip to the next
    smooth: int = 1  # for video: number of frames over which scores are averaged
    held_out_scores: tuple[float, ...] = ()  # for video, whose frame scores are computed outside of the graph
    format: int = FORMAT

    def as_json(self) -> str:
        """The description as one line of JSON."""
        return json.dumps(asdict(self))


def describe(detector: Estimator) -> Description:
    """The description of a fitted detector."""
    scorer, calibration = detector.scorer_, detector.calibration_
    video = detector if isinstance(detector, VideoMemAE) else None
    return Description(
        version("memae"),
        detector.kind,
        detector.spec_.shape,
        str(scorer.scaling.center.dtype).removeprefix("torch."),
        calibration.threshold(),
        calibration.false_alarm_rate,
        len(calibration.scores),
        unit=detector.unit_ if isinstance(detector, ImageMemAE | VideoMemAE) else "numbers",
        columns=_places(detector.encoder_) if isinstance(detector, TabularMemAE) else (),
        score_step=video.score_step if video else 1,
        smooth=video.smooth if video else 1,
        held_out_scores=tuple(calibration.scores.tolist()) if video else (),
    )


def _places(encoder: TableEncoder) -> tuple[Place, ...]:
    columns = []
    for column, at in zip(encoder.columns, encoder.places.tolist(), strict=True):
        if column.kind == "category":
            columns.append(Place(column.name, column.kind, at, categories=column.categories))
        else:
            columns.append(Place(column.name, column.kind, at, fill=column.mean, marked=column.missing > 0))
    return tuple(columns)
