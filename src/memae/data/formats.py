"""Aspect ratio and frame rate of videos as filmed, which scaled frames no longer show."""

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
"""Factors by which aspect ratios and frame rates may differ without a warning."""


class VideoFormat(NamedTuple):
    """Size of the frames of a video, and their rate."""

    height: int
    width: int
    rate: float | None  # frames a second; None if unknown, as for a folder of frames

    def unlike(self, known: "VideoFormat", *, paced: bool = True) -> str | None:
        """How this format misleads a model that was trained on videos of the format `known`; None if it does not.

        Args:
            known: of the training videos.
            paced: whether the model judges how things move, so that another frame rate is another speed.

        Example:
            >>> VideoFormat(480, 720, 25.0).unlike(VideoFormat(240, 360, None))
            >>> VideoFormat(240, 360, 12.5).unlike(VideoFormat(240, 360, 25.0))
            'has 12.5 frames a second, training videos 25'
        """
        differences = []
        if not _near(self.height * known.width, self.width * known.height, SHAPES):
            size, other = f"{self.height} x {self.width}", f"{known.height} x {known.width}"
            differences.append(f"has frames of {size} pixels (h x w), training videos {other}: everything is distorted")
        if paced and self.rate is not None and known.rate is not None and not _near(self.rate, known.rate, RATES):
            differences.append(f"has {self.rate:.4g} frames a second, training videos {known.rate:.4g}")
        return "; it ".join(differences) or None


def _near(one: float, other: float, factor: float) -> bool:
    return one <= other * factor and other <= one * factor


def format_of(path: Path) -> VideoFormat | None:
    """The format of a video file or a folder of frames, from its header; None if it cannot be read."""
    with suppress(SourceError, av.FFmpegError, OSError):
        if path.is_dir():
            first = next(iter(frame_files(path)), None)
            return None if first is None else VideoFormat(*pixels.header(first).size, None)
        with av.open(f"file:{path}", "r", metadata_errors="replace") as container:
            for stream in container.streams.video:
                if stream.codec_context:
                    return VideoFormat(stream.codec_context.height, stream.codec_context.width, stream_rate(stream))
    return None


def stream_rate(stream: av.VideoStream) -> float:
    """Frames a second that a stream states, if plausible, else `FRAME_RATE`.

    A stream of unknown rate states the ticks of its clock instead, such as 90,000.
    """
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    return rate if 0.1 < rate < 1000 else FRAME_RATE


def common_format(paths: Iterable[Path], *, paced: bool = True) -> VideoFormat | None:
    """The format of training videos; None if none can be read, or, with a warning, if they differ; see `unlike`."""
    known: list[VideoFormat] = []
    for path in paths:
        if (own := format_of(path)) is None:
            continue
        for other in known:
            if difference := own.unlike(other, paced=paced):
                alike = "shape and rate" if paced else "shape"
                warnings.warn(f"{path} {difference}. Learn videos of one {alike}", MemaeWarning, stacklevel=3)
                return None
        known += [] if own in known else [own]
    return known[0] if known else None


def misfit(own: VideoFormat, known: VideoFormat, *, paced: bool, live: bool = False) -> str | None:
    """How a video differs from the training videos, and what is done or to be done about it; None if nothing.

    Args:
        own: format of the video.
        known: of the training videos.
        paced: whether the model judges how things move; films are then played at the rate of the training videos.
        live: whether the video comes from a camera, whose frames are scored as they arrive.
    """
    if shape := own.unlike(known, paced=False):
        return f"{shape}. Convert it"
    rate = own.unlike(known, paced=paced)
    if rate is None or own.rate is None or known.rate is None:
        return None
    if live:
        return f"{rate}: everything moves at another speed. Set the camera to that rate"
    done = (
        "some of them are scored, and count for their neighbours"
        if own.rate > known.rate
        else "frames in between are interpolated"
    )
    return f"{rate}; {done}, so that speeds stay the same"


def warn_if_unlike(path: Path, known: VideoFormat | None, *, paced: bool) -> None:
    """Warns if the format of a video differs from that of the training videos; see `misfit`."""
    own = None if known is None else format_of(path)
    difference = own and known and misfit(own, known, paced=paced)
    if difference:
        warnings.warn(f"{path} {difference}", MemaeWarning, stacklevel=3)
