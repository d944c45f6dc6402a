"""The overlay video: each frame under its heat map, a timeline of scores, and a caption."""

import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from memae.errors import OutputError
from memae.evidence import heat
from memae.files import replacing
from memae.pictures import Pixels, blended
from memae.scoring import Scorer

Colour = tuple[int, int, int]

WIDTH = 640
"""Minimum width of a rendered picture in pixels, so that the text below it can be read."""
STRIP, CAPTION, MARGIN = 112, 40, 14
"""Height of the timeline, height of the caption below it, and margin at the sides, in pixels."""
SPAN = 20.0
"""Seconds that the timeline shows."""
GROUND, GRID, TEXT, FAINT = (17, 20, 26), (52, 58, 70), (226, 230, 237), (133, 142, 158)
CURVE, CALM, ALARM, ALARM_GROUND = (120, 190, 255), (74, 160, 110), (255, 92, 80), (84, 32, 34)


def hot(scorer: Scorer, picture: Pixels, error_map: Tensor) -> Pixels:
    """The picture of a frame `(h, w, 3)` under its error map `(c, h', w')`, in the colours of `memae score --maps`."""
    return blended(picture, heat(scorer, error_map).numpy())


class Timeline:
    """A chart of the latest scores, the two thresholds and the alarms, in constant memory.

    Args:
        above: score above which an alarm starts.
        below: score at or below which it ends.
        span: seconds shown.
    """

    def __init__(self, above: float, below: float, span: float = SPAN) -> None:
        self.above = above
        self.below = below
        self.span = span
        self.scores: deque[tuple[float, float]] = deque()  # time, score
        self.alarms: deque[tuple[float, float]] = deque()  # start, end
        self.since: float | None = None  # start of the current alarm

    def add(self, time: float, score: float) -> None:
        """Adds the score of the next frame."""
        self.scores.append((time, score))
        while self.scores[0][0] < time - self.span:
            self.scores.popleft()
        while self.alarms and self.alarms[0][1] < time - self.span:
            self.alarms.popleft()

    def start(self, time: float) -> None:
        """Starts an alarm."""
        self.since = time

    def end(self, time: float) -> None:
        """Ends the current alarm."""
        if self.since is not None:
            self.alarms.append((self.since, time))
        self.since = None

    def clear(self) -> None:
        """Clears the chart for another video."""
        self.scores.clear()
        self.alarms.clear()
        self.since = None

    def drawn(self, width: int) -> Image.Image:
        """The chart as an image of height `STRIP`, with the newest score at its right end."""
        strip = Image.new("RGB", (width, STRIP), GROUND)
        draw = ImageDraw.Draw(strip)
        if not self.scores:
            return strip
        now, (left, right), (top, bottom) = self.scores[-1][0], (MARGIN, width - MARGIN), (22, STRIP - 12)
        values = [score for _, score in self.scores]
        low, high = min(*values, self.below), max(*values, self.above)
        low, high = low - 0.12 * (high - low), high + 0.08 * (high - low)

        def x(time: float) -> float:
            return max(right - (now - time) / self.span * (right - left), left)

        def y(score: float) -> float:
            return bottom - (score - low) / (high - low or 1.0) * (bottom - top)

        for start, end in [*self.alarms, *([] if self.since is None else [(self.since, now)])]:
            draw.rectangle((x(start), top, max(x(end), x(start) + 1), bottom), fill=ALARM_GROUND)
        for second in range(math.ceil(max(now - self.span, 0.0)), math.floor(now) + 1):
            draw.line((x(second), bottom, x(second), bottom + (5 if second % 5 == 0 else 2)), fill=GRID)
        draw.line((left, bottom, right, bottom), fill=GRID)
        for level, colour, dash in ((self.above, TEXT, 8), (self.below, FAINT, 3)):
            for start in range(left, right, 2 * dash):
                draw.line((start, y(level), min(start + dash, right), y(level)), fill=colour)
        points = [(x(time), y(score)) for time, score in self.scores]
        draw.line(points, fill=CURVE, width=2, joint="curve")
        mark, colour = points[-1], ALARM if self.since is not None else CURVE
        draw.ellipse((mark[0] - 4, mark[1] - 4, mark[0] + 4, mark[1] + 4), fill=colour)
        draw.text((left, 4), f"score, last {self.span:g} s", fill=FAINT, font=_font(12))
        rule = f"alarm above {self.above:.4g}, until {self.below:.4g}"
        draw.text((right, 4), rule, fill=FAINT, font=_font(12), anchor="ra")
        return strip


def framed(picture: Pixels, timeline: Timeline, caption: str, figures: str, alarm: int | None) -> Pixels:
    """One frame of the overlay video: picture, timeline, caption; height and width are even, as H.264 requires.

    Args:
        picture: `(h, w, 3)` RGB with its heat map.
        timeline: timeline up to this frame.
        caption: source and time.
        figures: score and p-value as text.
        alarm: number of the alarm that covers the frame, if any.
    """
    height, width = picture.shape[:2]
    scale = max(math.ceil(WIDTH / width), 1)
    width, height = width * scale + width * scale % 2, height * scale
    canvas = Image.new("RGB", (width, height + STRIP + CAPTION + height % 2), GROUND)
    canvas.paste(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))
    canvas.paste(timeline.drawn(width), (0, height))
    draw = ImageDraw.Draw(canvas)
    if alarm is not None:
        draw.rectangle((0, 0, width - 1, height - 1), outline=ALARM, width=4)
    state, colour = ("normal", CALM) if alarm is None else (f"ALARM {alarm}", ALARM)
    middle = height + STRIP + CAPTION // 2 - 4
    badge = MARGIN + draw.textlength(state, font=_font(15)) + 20
    draw.rounded_rectangle((MARGIN, middle - 12, badge, middle + 12), 6, fill=colour)
    draw.text(((MARGIN + badge) / 2, middle), state, fill=GROUND, font=_font(15), anchor="mm")
    draw.text((width - MARGIN, middle), figures, fill=TEXT, font=_font(15), anchor="rm")
    room = width - MARGIN - draw.textlength(figures, font=_font(15)) - badge - 32
    draw.text((badge + 14, middle), _cut(caption, room), fill=FAINT, font=_font(15), anchor="lm")
    return np.asarray(canvas)


def _cut(text: str, room: float) -> str:
    """The end of a text that fits into `room` pixels."""
    if _font(15).getlength(text) <= room:
        return text
    while text and _font(15).getlength(f"…{text}") > room:
        text = text[1:]
    return f"…{text}"


@cache
def _font(size: int) -> Any:
    return ImageFont.load_default(size)


class FilmWriter:
    """Writes a video in constant memory: fragmented H.264, which needs no index of all frames."""

    def __init__(self, container: Any, rate: float) -> None:
        self._container = container
        self._rate = Fraction(rate).limit_denominator(1001)
        self._stream: Any = None

    def add(self, frame: Pixels) -> None:
        """Adds a frame `(h, w, 3)`, h and w even; one of another size is scaled and padded to that of the first."""
        if self._stream is None:
            self._stream = self._container.add_stream("libx264", rate=self._rate)
            self._stream.height, self._stream.width = frame.shape[:2]
            self._stream.pix_fmt = "yuv420p"
            self._stream.options = {"preset": "veryfast", "crf": "20"}
        self._container.mux(self._stream.encode(self._sized(frame)))

    def end(self) -> None:
        """Writes the frames that the encoder still holds."""
        if self._stream is not None:
            self._container.mux(self._stream.encode())

    def _sized(self, frame: Pixels) -> av.VideoFrame:
        size = (self._stream.width, self._stream.height)
        if frame.shape[1::-1] != size:
            frame = np.asarray(ImageOps.pad(Image.fromarray(frame), size, color=GROUND))
        return av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")


@contextmanager
def film_writer(path: Path, rate: float) -> Iterator[FilmWriter]:
    """Writes an .mp4 file of `rate` frames a second; it appears when the block ends without an error.

    Raises:
        OutputError: the file cannot be written; an existing one is kept.
    """
    with replacing(path) as temporary:
        try:
            options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
            with av.open(str(temporary), "w", format="mp4", options=options) as container:
                writer = FilmWriter(container, rate)
                yield writer
                writer.end()
        except av.FFmpegError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}; an existing file is unchanged") from error
