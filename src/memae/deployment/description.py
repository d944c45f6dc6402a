"""The description of an exported detector: what a program must know to use it, as JSON inside the file."""

import json
from dataclasses import asdict, dataclass
from importlib.metadata import version

from memae.data.tiles import Cutting
from memae.estimators import Estimator
from memae.kinds.tables import Place

FORMAT = 1
"""Version of the description."""


@dataclass(frozen=True)
class Description:
    """An exported detector, as data."""

    memae: str  # version of memae that wrote it
    kind: str  # table, image or video
    shape: tuple[int, ...]  # of one raw sample: (width,), (c, h, w) or (c, t, h, w); of photos, a tile scaled to that
    dtype: str  # of raw samples
    threshold: float  # scores above it are flagged
    false_alarm_rate: float  # share of normal samples above the threshold
    held_out: int  # number of normal scores behind p-values; for video, of frames
    unit: str = "numbers"  # of pixels: "grey levels" from 0 to 255, or numbers as in training
    columns: tuple[Place, ...] = ()  # for tables
    score_step: int = 1  # for video: frames from one clip to the next
    smooth: int = 1  # for video: number of frames over which scores are averaged
    held_out_scores: tuple[float, ...] = ()  # for video, whose frame scores are computed outside of the graph
    tiles: Cutting | None = None  # for photos, of which a sample is one tile: a photo has the score of its highest
    map_threshold: float | None = None  # for photos: positions of the error map above it are anomalous
    format: int = FORMAT

    def as_json(self) -> str:
        """The description as one line of JSON."""
        return json.dumps(asdict(self))


def describe(detector: Estimator) -> Description:
    """The description of a fitted detector."""
    scorer, calibration = detector.scorer_, detector.calibration_
    return Description(
        version("memae"),
        detector.kind,
        detector.spec_.raw,
        str(scorer.scaling.center.dtype).removeprefix("torch."),
        calibration.threshold(),
        calibration.false_alarm_rate,
        len(calibration.scores),
        map_threshold=None if scorer.peaks is None else scorer.peaks.threshold(),
        **detector.kind_.exported(calibration),
    )
