"""Watching: frames are scored as they arrive, and scores that stay high raise alarms.

Everything is a generator over the items of `memae.data.streams`: the score of a frame comes out some frames after it
went in, and the marks between frames (a source that opens, a gap) keep their positions.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from memae.data.streams import Item, Mark, Opened, Picture, Shot, Skipped
from memae.data.videos import FRAME_RATE
from memae.errors import MemaeError, OptionError
from memae.estimators.video import VideoMemAE
from memae.frames import Causal
from memae.kinds.following import Footage, FrameScore
from memae.kinds.pixel_units import check_unit

AFTER = 0.2
"""Default number of seconds that the score must stay high before an alarm, so that flicker raises none."""


class Watched(NamedTuple):
    """One frame and its score."""

    source: str
    frame: int  # from 0; skipped frames count
    time: float  # seconds from the first frame of the source
    wall: float  # when it was read, seconds since 1970
    score: float  # higher = more anomalous
    normalised: float  # the score scaled to 0..1; see `memae.frames.causal`
    p_value: float
    error_map: Tensor  # (c, h, w)
    picture: Picture | None  # (h, w, 3)


class Rule(NamedTuple):
    """When the scores of frames raise an alarm.

    The two thresholds (hysteresis) keep a score that fluctuates about one of them from raising many alarms.
    """

    above: float  # an alarm starts when the score exceeds this …
    below: float  # … and ends when the score has not exceeded this …
    release: float = 1.0  # … for this number of seconds
    after: int | None = None  # consecutive frames that must exceed `above`; None for about 0.2 s

    def frames(self, rate: float) -> int:
        """Consecutive frames that start an alarm, at `rate` frames a second."""
        return max(round(AFTER * rate), 1) if self.after is None else self.after


class Alarm(NamedTuple):
    """A stretch of frames with high scores; its end is the last frame above the lower threshold."""

    number: int
    start: Watched
    end: Watched
    peak: Watched
    frames: int  # from start to end

    def lengthened(self, frame: Watched) -> "Alarm":
        """The alarm extended to this frame."""
        peak = frame if frame.score > self.peak.score else self.peak
        return self._replace(end=frame, peak=peak, frames=frame.frame - self.start.frame + 1)


class Started(NamedTuple):
    """The score has been high for long enough; `alarm` is the alarm so far."""

    alarm: Alarm


class Ended(NamedTuple):
    """The score has been low for long enough, or the source has ended."""

    alarm: Alarm


def rule_of(detector: VideoMemAE, *, release: float = 1.0, after: int | None = None) -> Rule:
    """The rule of a calibrated detector, from its false-alarm rate α: an alarm starts at p ≤ α and lasts while p ≤ 2 α.

    Raises:
        OptionError: `release` is negative, or `after` is below 1.
    """
    if release < 0:
        raise OptionError(f"release must be 0 seconds or more; got {release:g}")
    if after is not None and after < 1:
        raise OptionError(f"after must be 1 frame or more; got {after}")
    calibration = detector.calibration_
    rate = calibration.false_alarm_rate
    return Rule(calibration.threshold(), calibration.threshold(min(2 * rate, (1 + rate) / 2)), release, after)


def watch(detector: VideoMemAE, items: Iterable[Item]) -> Iterator[Watched | Mark]:
    """The score of each frame of a source, `VideoMemAE.delay` frames after it, in constant memory.

    Frames between two gaps are scored as a separate video; if they are fewer than a clip, they count as skipped.
    The range of `Watched.normalised` is initialised with that of held-out normal frames, for each video file.

    Args:
        detector: a detector fitted on files or on pixels from 0 to 255.
        items: frames of the model's size, see `memae.data.streams.read_source`.

    Raises:
        SchemaError: the model was fitted on numbers that are not grey levels, or on frames of another size.
    """
    check_unit(detector.unit_, Path())
    return _watch(detector, iter(items))


def _watch(detector: VideoMemAE, items: Iterator[Item]) -> Iterator[Watched | Mark]:
    calibration = detector.calibration_
    low, high = float(calibration.scores[0]), float(calibration.scores[-1])
    source, number, causal = "", 0, Causal(low, high)
    for found in _scored(detector, items):
        if isinstance(found, Opened) and found.name != source:
            source, number, causal = found.name, 0, Causal(low, high)
        if isinstance(found, Skipped):
            number += found.frames
        if not isinstance(found, _Scored):
            yield found
            continue
        shot, frame = found
        judged = calibration.judge(torch.tensor(frame.score, dtype=torch.float64))
        values = (frame.score, causal(frame.score), float(judged.p_value), frame.error_map)
        yield Watched(source, number, shot.time, shot.wall, *values, shot.picture)
        number += 1


class _Scored(NamedTuple):
    shot: Shot
    frame: FrameScore


def _scored(detector: VideoMemAE, items: Iterator[Item]) -> Iterator[_Scored | Mark]:
    """The scores of each run of frames, and the marks between the runs."""
    name, live, marks = "", False, list[Mark]()
    while True:
        run = _run(items, marks)
        first = list(islice(run, detector.shape_[1]))
        if len(first) == detector.shape_[1]:
            yield from _followed(detector, name, chain(first, run), live=live)
        elif first:
            yield Skipped(len(first))
        if not marks:
            return
        mark = marks.pop()
        if isinstance(mark, Opened):
            name, live = mark.name, mark.live
        yield mark


def _run(items: Iterator[Item], marks: list[Mark]) -> Iterator[Shot]:
    """The frames up to the next mark, which is appended to `marks`."""
    for item in items:
        if not isinstance(item, Shot):
            marks.append(item)
            return
        yield item


def _followed(detector: VideoMemAE, name: str, shots: Iterable[Shot], *, live: bool) -> Iterator[_Scored]:
    waiting: deque[Shot] = deque()  # frames without a score yet; scores come in the same order

    def blocks() -> Iterator[tuple[Tensor, Tensor]]:
        for shot in shots:
            waiting.append(shot)
            yield shot.pixels[None], torch.tensor([shot.time], dtype=torch.float64)

    for frame in detector.follow(Footage(name, blocks(), live)):
        yield _Scored(waiting.popleft(), frame)


# ------------------------------------------------------------------------------------------------------------- alarms


def alarms(
    watched: Iterable[Watched | Mark], rule: Rule, *, first: int = 1
) -> Iterator[Watched | Mark | Started | Ended]:
    """All items, with `Started` or `Ended` before a frame that starts or ends an alarm.

    Skipped frames do not end an alarm. A lost connection, another source, the end of the source and an error do.

    Args:
        watched: frames in order, with marks between them.
        rule: when scores raise an alarm.
        first: number of the first alarm.
    """
    state = _State(rule, first)
    try:
        for item in watched:
            yield from state.frame(item) if isinstance(item, Watched) else state.mark(item)
            yield item
    except MemaeError:
        yield from state.end()
        raise
    yield from state.end()


class _State:
    """The current alarm, or the frames in a row that may become one."""

    def __init__(self, rule: Rule, number: int) -> None:
        self._rule = rule
        self._after = rule.frames(FRAME_RATE)
        self._number = number
        self._alarm: Alarm | None = None
        self._started = False
        self._low = 0.0  # time since which the score has been low during an alarm
        self._was_low = False

    def frame(self, frame: Watched) -> Iterator[Started | Ended]:
        if not self._started:
            yield from self._await(frame)
        elif frame.score > self._rule.below:
            assert self._alarm is not None  # noqa: S101 (started)
            self._alarm, self._was_low = self._alarm.lengthened(frame), False
        else:
            self._low = self._low if self._was_low else frame.time
            self._was_low = True
            if frame.time - self._low >= self._rule.release - 1e-6:  # allows for rounded times
                yield from self.end()

    def _await(self, frame: Watched) -> Iterator[Started]:
        """Counts consecutive frames above the threshold before an alarm."""
        if frame.score <= self._rule.above:
            self._alarm = None
            return
        began = self._alarm or Alarm(self._number, frame, frame, frame, 1)
        self._alarm = began.lengthened(frame)
        if self._alarm.frames >= self._after:
            self._started, self._was_low = True, False
            yield Started(self._alarm)

    def mark(self, mark: Mark) -> Iterator[Ended]:
        if isinstance(mark, Opened):
            self._after = self._rule.frames(mark.rate)
        if not isinstance(mark, Skipped):
            yield from self.end()
        elif not self._started:
            self._alarm = None

    def end(self) -> Iterator[Ended]:
        if self._started and self._alarm is not None:
            yield Ended(self._alarm)
            self._number += 1
        self._alarm, self._started = None, False
