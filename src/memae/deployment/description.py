"""What a program must know to use an exported detector, as JSON inside the file."""

import json
from dataclasses import asdict, dataclass
from importlib.metadata import version

from memae.data.tables import TableEncoder
from memae.estimators import Estimator, ImageMemAE, TabularMemAE, VideoMemAE

FORMAT = 1
"""Version of the description."""


@dataclass(frozen=True)
class Place:
    """Where a column of the user's table lies in a row of numbers."""

    name: str
    kind: str  # number or category
    at: int  # position of its first number
    fill: float | None = None  # of a number: what stands for a missing one
    marked: bool = False  # whether the next position is 1 where one is missing, else 0
    categories: tuple[str, ...] = ()  # each has a position, 1 or 0, and after them any other value; missing is ""


@dataclass(frozen=True)
class Description:
    """An exported detector, as data."""

    memae: str  # version that wrote it
    kind: str  # table, image or video
    shape: tuple[int, ...]  # of one raw sample: (width,), (c, h, w) or (c, t, h, w)
    dtype: str  # of raw samples
    threshold: float  # scores above it are flagged
    false_alarm_rate: float  # share of normal samples that this flags
    held_out: int  # scores of normal samples that p-values count; of video, of frames
    unit: str = "numbers"  # what pixels are: "grey levels" from 0 to 255, or numbers as in training
    columns: tuple[Place, ...] = ()  # of tables
    score_step: int = 1  # of video: frames from one clip to the next
    smooth: int = 1  # of video: frames whose mean score a frame gets
    held_out_scores: tuple[float, ...] = ()  # of video, where scores of frames are made outside of the graph
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
    places = []
    for column, at in zip(encoder.columns, encoder.places.tolist(), strict=True):
        if column.kind == "category":
            places.append(Place(column.name, column.kind, at, categories=column.categories))
        else:
            places.append(Place(column.name, column.kind, at, fill=column.mean, marked=column.missing > 0))
    return tuple(places)
