"""What `memae fit` says about a threshold: how rough it is, and what would make it less so."""

from pathlib import Path
from typing import Any

from memae.scoring.calibration import Calibration
from memae.scoring.drift import enough, promised_band

FEW, NEXT = 100, 10_000
"""Number of images below which a threshold is rough, and number of new samples of which it is told how rough."""
TIMES = 2.0
"""Upper end of the share of normal frames that are flagged, as a multiple of the false-alarm rate, that is enough."""


def told(detector: Any, output: Path) -> str:
    """Lines on the threshold of a fitted detector, written to `output`; empty if there is nothing to say."""
    described = detector.spec_.features is not None
    if detector.kind != "video":
        return of_photos(detector.calibration_) if described else ""
    begin = of_film(detector) if described else "the held-out samples are the ends of these videos, and "
    return (
        f"{begin}frames of another day, with other people, often score higher: learn videos of several days, and "
        "before relying on the threshold, set it with normal videos of one more, "
        f"`memae recalibrate {output} VIDEOS -o …`\n"
    )


def of_photos(calibration: Calibration) -> str:
    """A line on how rough a threshold is that few photos set; empty for more."""
    if len(calibration.scores) >= FEW:
        return ""
    low, high = promised_band(calibration, NEXT)
    return (
        f"with {len(calibration.scores)} images the threshold is rough: of {NEXT:,} new normal ones it will flag "
        f"{low:.1%} to {high:.1%}, with a probability of 95 %; more images narrow this\n"
    )


def of_film(detector: Any) -> str:
    """A line on what the film that a detector has seen can promise, and on how much more would be enough."""
    calibration, worth = detector.calibration_, detector.independent_
    rate, frames = calibration.false_alarm_rate, detector.learned_
    low, high = promised_band(calibration, NEXT, independent=worth)
    more = frames * enough(rate, TIMES) / worth - frames
    further = f"; about {_long(detector, more)} more narrow this to {TIMES * rate:.2g} at most" * (more > 0)
    return (
        f"{_long(detector, frames)} of film are worth {worth} independent scores, since neighbouring frames are alike: "
        f"they can promise a false-alarm rate of {1 / (worth + 1):.2g} at best. Of other normal film like it, "
        f"{low:.1%} to {high:.1%} will be flagged, with a probability of 95 %{further}\n"
    )


def _long(detector: Any, frames: float) -> str:
    """A number of frames as seconds or minutes; as frames where their rate is unknown."""
    rate = detector.format_ and detector.format_.rate
    if not rate:
        return f"{frames:,.0f} frames"
    seconds = frames / rate
    return f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.0f} minutes"
