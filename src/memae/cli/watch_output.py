"""Output of `memae watch`: JSON lines, messages, the list of alarms and the overlay video."""

import json
import math
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from memae.data import streams
from memae.data.formats import misfit
from memae.data.streams import Lost, Opened, Skipped, Unread
from memae.errors import SchemaError, SourceError
from memae.estimators import VideoMemAE
from memae.watch.events import Ledger, Seen, as_event, heated
from memae.watch.overlay import FilmWriter, Timeline, film_writer, framed
from memae.watch.watching import Ended, Rule, Started, Watched

MINUTE = 60.0
"""Seconds between two reports of skipped frames."""
MANY = 20
"""Minimum number of frames for the warning that most are above the threshold."""


@dataclass
class Tally:
    """Counts of what was watched."""

    watched: int = 0  # frames
    above: int = 0  # watched frames above the threshold
    skipped: int = 0
    alarms: int = 0
    unread: int = 0  # videos


class WatchOutput:
    """Writes what happens: JSON lines to stdout, sentences to stderr, and the ledger and overlay video if requested.

    Args:
        detector: the detector that scores.
        rule: rule of its alarms.
        folder: folder of the ledger; None for no ledger.
        render: overlay video to write; None for none.
        frames: whether to print a line for each frame.
    """

    def __init__(
        self, detector: VideoMemAE, rule: Rule, *, folder: Path | None, render: Path | None, frames: bool
    ) -> None:
        self._detector = detector
        self._rule = rule
        self._render = render
        self._frames = frames
        self._open = ExitStack()
        self._ledger = None if folder is None else self._open.enter_context(Ledger(folder))
        self._overlay: Overlay | None = None
        self._opened: Opened | None = None
        self._lost: float | None = None  # when the connection was lost
        self._alarm: int | None = None  # number of the current alarm
        self._last = 0.0  # time of the last frame
        self._source: str | None = None
        self._tally, self._minute = Tally(), Tally()
        self._reported = time.monotonic()

    @property
    def first(self) -> int:
        """Number of the first alarm."""
        return 1 if self._ledger is None else self._ledger.first

    def take(self, item: Seen) -> None:
        """Writes an item."""
        self._count(item)
        if self._render is not None:
            self._draw(item, self._render)
        if isinstance(item, Watched) and not self._frames:
            return
        event = as_event(item, self._alarm, self._last, self._source)
        if isinstance(item, Opened | Lost | Unread):
            self._say(item)
        if isinstance(item, Opened):
            seconds = self._detector.delay / item.rate
            event |= {"delay_frames": self._detector.delay, "delay_seconds": round(seconds, 3)}
            event |= {"delay_at_most": round(seconds + streams.BACKLOG, 3)} if item.live else {}
            event |= {"above": self._rule.above, "below": self._rule.below}
        if self._ledger is not None and isinstance(item, Ended):
            event["thumbnail"] = self._ledger.thumbnail(self._detector, item.alarm)
        if self._ledger is not None and not isinstance(item, Watched | Skipped):
            self._ledger.add(event)
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()

    def _count(self, item: Seen) -> None:
        match item:
            case Watched():
                self._last = item.time
                self._tally.watched += 1
                self._tally.above += item.score > self._rule.above
                self._minute.watched += 1
            case Opened() | Unread():
                self._last = self._last if item.name == self._source else 0.0
                self._source = item.name
                self._tally.unread += isinstance(item, Unread)
            case Skipped():
                self._tally.skipped += item.frames
                self._minute.skipped += item.frames
            case Started(alarm=begun):
                self._alarm = begun.number
                self._tally.alarms += 1
            case Ended():
                self._alarm = None
        if time.monotonic() - self._reported >= MINUTE:
            if self._minute.skipped:
                sys.stderr.write(f"in the last minute {self._skipped(self._minute)}\n")
            self._minute, self._reported = Tally(), time.monotonic()

    def _skipped(self, tally: Tally) -> str:
        """How many frames were skipped, and what to do about it."""
        every = math.ceil(1 + tally.skipped / max(tally.watched, 1))
        count = f"{tally.skipped} of {tally.skipped + tally.watched} frames were skipped"
        step = self._detector.step_ * every
        return f"{count}; if the model is too slow, --score-step {step} computes less, or try --engine openvino"

    def _say(self, item: Opened | Lost | Unread) -> None:
        if isinstance(item, Unread):
            sys.stderr.write(f"memae: error: {item.reason}\n")
            return
        if isinstance(item, Lost):
            self._lost = time.monotonic()
            sys.stderr.write(f"{item.name}: lost ({item.reason}); reconnecting\n")
            return
        if self._lost is not None:
            sys.stderr.write(f"{item.name}: back after {time.monotonic() - self._lost:.1f} s\n")
            self._lost = None
            return
        known = self._detector.format_
        paced = self._detector.scorer_.features is None
        if told := item.format and known and misfit(item.format, known, paced=paced, live=item.live):
            sys.stderr.write(f"memae: warning: {item.name} {told}\n")
        frames, delay = self._rule.frames(item.rate), self._detector.delay
        text = f"{item.name}: {item.rate:g} frames a second; a frame's score comes {delay} frames = "
        text += f"{delay / item.rate:.2f} s after it"
        text += f", plus at most {streams.BACKLOG:g} s before frames are skipped" if item.live else ""
        text += f". An alarm starts after {frames} frames above "
        text += f"{self._rule.above:.4g} and ends after {self._rule.release:g} s not above {self._rule.below:.4g}"
        sys.stderr.write(f"{text}\n")

    def _draw(self, item: Seen, path: Path) -> None:
        if isinstance(item, Opened) and self._overlay is None:
            self._opened = item
        elif self._overlay is None and self._opened is not None and isinstance(item, Watched | Started):
            writer = self._open.enter_context(film_writer(path, self._opened.rate))
            self._overlay = Overlay(writer, self._detector, self._rule)
        if self._overlay is not None:
            self._overlay.add(item, self._alarm)

    def sum_up(self, source: str, *, stopped: bool) -> bool:
        """Prints the totals; gives whether everything could be read, or the user stopped it.

        Raises:
            SourceError: nothing could be read.
            SchemaError: no frame could be scored, and the user did not stop it.
        """
        total = self._tally
        if total.unread and not total.watched and not total.skipped and not stopped:
            raise SourceError(f"{source} has no video that can be read")
        if not total.watched and not stopped:
            frames = f"{source} has {total.skipped} frames, the model needs {self._detector.shape_[1]}"
            raise SchemaError(f"{frames} (its clip length) or more; give a longer video")
        counts = f"{total.watched} frames watched, {total.alarms} alarm{'s' * (total.alarms != 1)}"
        sys.stderr.write(f"{counts}{f'; {self._skipped(total)}' if total.skipped else ''}\n")
        if total.above > total.watched / 2 and total.watched >= MANY:
            counts = f"{total.above} of {total.watched} frames are above the threshold; if most should be normal"
            sys.stderr.write(f"{counts}, set it with normal video of this place and hour: `memae recalibrate`\n")
        return stopped or not total.unread

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)


class Overlay:
    """Paints each frame with the scores up to it, and adds it to the overlay video."""

    def __init__(self, writer: FilmWriter, detector: VideoMemAE, rule: Rule) -> None:
        self._writer = writer
        self._detector = detector
        self._timeline = Timeline(rule.above, rule.below)

    def add(self, item: Seen, alarm: int | None) -> None:
        """Takes the next item, in order."""
        match item:
            case Opened():
                self._timeline.clear()
            case Started(alarm=begun):
                self._timeline.start(begun.start.time)
            case Ended(alarm=over):
                self._timeline.end(over.end.time)
            case Watched():
                self._timeline.add(item.time, item.score)
                minutes, seconds = divmod(item.time, 60)
                caption = f"{minutes:02.0f}:{seconds:05.2f}  {item.source}"
                figures = f"score {item.score:.4g}   p {item.p_value:.3f}"
                self._writer.add(framed(heated(self._detector, item), self._timeline, caption, figures, alarm))
