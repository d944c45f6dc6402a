"""How videos were filmed: their shape and pace, which scaled frames no longer show."""

import warnings
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import av

from memae.data import pixels
from memae.data.videos import FRAME_RATE, frame_files
from memae.errors import MemaeWarning, SourceError

SHAPES, RATES = 1.05, 1.25
"""Factors by which ratios of the sides, and frame rates, may differ without a word."""


class Filmed(NamedTuple):
    """A video as it was filmed."""

    height: int
    width: int
    rate: float | None  # frames a second; None where nothing tells, as in a folder of frames

    def unlike(self, known: "Filmed") -> str | None:
        """What a model that learned videos filmed as `known` sees wrongly in this one; None where nothing.

        Example:
            >>> Filmed(480, 720, 25.0).unlike(Filmed(240, 360, None))
            >>> Filmed(240, 360, 12.5).unlike(Filmed(240, 360, 25.0))
            'has 12.5 frames a second, the training videos 25: all moves at another pace; convert it to their rate'
        """
        if not _near(self.height * known.width, self.width * known.height, SHAPES):
            told = f"has frames of {self.height} x {self.width} pixels (h x w), the training videos"
            return f"{told} {known.height} x {known.width}: all is distorted; cut it to their shape"
        if self.rate is not None and known.rate is not None and not _near(self.rate, known.rate, RATES):
            told = f"has {self.rate:.4g} frames a second, the training videos {known.rate:.4g}"
            return f"{told}: all moves at another pace; convert it to their rate"
        return None


def _near(one: float, other: float, factor: float) -> bool:
    return one <= other * factor and other <= one * factor


def filmed(path: Path) -> Filmed | None:
    """How a video file or a folder of frames was filmed, by its header; None where it cannot be read."""
    with suppress(SourceError, av.FFmpegError, OSError):
        if path.is_dir():
            first = next(iter(frame_files(path)), None)
            return None if first is None else Filmed(*pixels.header(first).size, None)
        with av.open(f"file:{path}", "r", metadata_errors="replace") as container:
            for stream in container.streams.video:
                if stream.codec_context:
                    return Filmed(stream.codec_context.height, stream.codec_context.width, stream_rate(stream))
    return None


def stream_rate(stream: av.VideoStream) -> float:
    """Frames a second that a stream tells, where that can be true: what does not know tells its clock's ticks."""
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    return rate if 0.1 < rate < 1000 else FRAME_RATE


def filmed_alike(paths: Iterable[Path]) -> Filmed | None:
    """How all of these videos were filmed; None where they differ, or none can be read."""
    found = [known for path in paths if (known := filmed(path))]
    return found[0] if found and not any(each.unlike(found[0]) for each in found) else None


def warn_if_unlike(path: Path, known: Filmed | None) -> None:
    """Warns of a video that a model sees wrongly which learned videos filmed as `known`."""
    found = None if known is None else filmed(path)
    told = found and known and found.unlike(known)
    if told:
        warnings.warn(f"{path} {told}", MemaeWarning, stacklevel=3)
