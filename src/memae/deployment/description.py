"""What a program must know to use an exported detector, as JSON inside the file."""

import json
from dataclasses import asdict, dataclass
from importlib.metadata import version

from memae.estimators import Estimator
from memae.kinds.tables import Place

FORMAT = 1
"""Version of the description."""


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
    return Description(
        version("memae"),
        detector.kind,
        detector.spec_.shape,
        str(scorer.scaling.center.dtype).removeprefix("torch."),
        calibration.threshold(),
        calibration.false_alarm_rate,
        len(calibration.scores),
        **detector.kind_.exported(calibration),
    )
