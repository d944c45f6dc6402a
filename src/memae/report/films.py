"""What a report keeps of each video: the curve of its scores, its peak, and its alarms with a picture each."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import NamedTuple, Self

import numpy as np
import torch

from memae.data.images import none_read
from memae.data.streams import Item, Opened, View, read_source
from memae.data.videos import find_videos
from memae.errors import SchemaError, SourceError
from memae.estimators import VideoMemAE
from memae.kinds import Notes
from memae.pictures import Pixels
from memae.report.tally import Curve
from memae.watch.overlay import hot
from memae.watch.watching import Alarm, Ended, Rule, Watched, alarms, rule_of, watch

PICTURE = 320
"""Longest side in pixels of the picture of an alarm."""
VIDEOS, ALARMS = 24, 48
"""Maximum numbers of videos and alarms that are kept, those with the highest scores."""

TOGETHER = 1024
"""Frames per part of `filmed`."""
NOTHING = torch.empty(0)


class Moment(NamedTuple):
    """A frame to show."""

    video: str
    frame: int
    time: float
    score: float
    p_value: float
    picture: Pixels | None = None  # (h, w, 3): the frame under its heat map


class Kept(NamedTuple):
    """An alarm to show."""

    number: int
    video: str
    start: float  # seconds
    end: float
    peak: Moment


@dataclass
class Film:
    """What is kept of one video."""

    name: str
    curve: Curve = field(default_factory=Curve)
    seconds: float = 0.0
    peak: Moment = field(default=Moment("", 0, 0.0, -np.inf, 1.0))
    alarms: int = 0

    def add(self, frame: Watched) -> None:
        """Takes the next frame."""
        self.curve.add(frame.score)
        self.seconds = frame.time
        if frame.score > self.peak.score:
            self.peak = _moment(frame)


@dataclass
class Films:
    """All that is kept of the videos of a source."""

    rule: Rule
    films: list[Film] = field(default_factory=list)  # in the order of the source, as are the alarms
    alarms: list[Kept] = field(default_factory=list)
    videos: int = 0  # total number, including those not kept
    alarmed: int = 0  # total number of alarms, including those not kept
    short: list[str] = field(default_factory=list)  # videos that are too short to be scored
    seconds: float = 0.0

    @classmethod
    def of(cls, detector: VideoMemAE) -> Self:
        """An empty collection with the alarm rule of a detector."""
        return cls(rule_of(detector))

    def open(self, name: str) -> None:
        """Starts a video."""
        self._settle()
        self.films.append(Film(name))

    def end(self, alarm: Alarm, picture: Pixels | None) -> None:
        """Adds an alarm of the current video; beyond `ALARMS`, the one with the lowest peak is dropped."""
        self.alarmed += 1
        film = self.films[-1]
        film.alarms += 1
        film.curve.mark(alarm.start.frame, alarm.end.frame)
        peak = _moment(alarm.peak)._replace(picture=picture)
        self.alarms.append(Kept(alarm.number, film.name, alarm.start.time, alarm.end.time, peak))
        if len(self.alarms) > ALARMS:
            self.alarms.remove(min(self.alarms, key=lambda kept: kept.peak.score))

    def close(self) -> None:
        """Ends the last video."""
        self._settle()

    def _settle(self) -> None:
        """Counts the last video; drops it if it has no scores, and beyond `VIDEOS` the one with the lowest peak."""
        if not self.films:
            return
        last = self.films[-1]
        if not last.curve.frames:
            self.short.append(self.films.pop().name)
            return
        self.videos += 1
        self.seconds += last.seconds
        if len(self.films) > VIDEOS:
            self.films.remove(min(self.films, key=lambda film: film.peak.score))

    def moments(self, wanted: int) -> list[tuple[Moment, int | None]]:
        """The `wanted` highest peaks: first of alarms, with their numbers, then of videos without one; sorted."""
        peaks = _highest((kept.peak, kept.number) for kept in self.alarms)
        calm = _highest((film.peak, None) for film in self.films if not film.alarms)
        return _highest([*peaks, *calm][:wanted])


def _highest(moments: Iterable[tuple[Moment, int | None]]) -> list[tuple[Moment, int | None]]:
    return sorted(moments, key=lambda moment: -moment[0].score)


def _moment(frame: Watched) -> Moment:
    return Moment(frame.source, frame.frame, frame.time, frame.score, frame.p_value)


def filmed(detector: VideoMemAE, source: Path, films: Films, notes: Notes) -> Iterator[tuple[Path, list[Watched]]]:
    """Scores all videos of a file or folder as `memae watch` does, and gives their frames in parts.

    Args:
        detector: a fitted detector.
        source: a file or folder, not a camera.
        films: receives what the report shows.
        notes: receives videos that cannot be read to their end, and those that are too short. A single video raises an
            error instead.

    Raises:
        SourceError: there is no video, or none can be read.
        SchemaError: the only video is too short to be scored.
    """
    videos = find_videos(source)
    for video in videos:
        try:
            yield from _one(detector, video, films, None if len(videos) == 1 else notes)
        except SchemaError as error:
            if len(videos) == 1:
                raise
            notes.unread[video] = str(error)
    films.close()
    for name in films.short:
        notes.unread.setdefault(Path(name), f"{name} has fewer than {detector.shape_[1]} frames, the clip length")
    if not films.videos and len(videos) > 1:
        raise none_read(notes.unread)
    if not films.videos:
        raise SchemaError(
            f"{source} has no video of {detector.shape_[1]} frames, the model's clip length; give longer ones"
        )


def _one(detector: VideoMemAE, video: Path, films: Films, notes: Notes | None) -> Iterator[tuple[Path, list[Watched]]]:
    """The frames of one video, up to damage if any."""
    view = View(detector.channels, detector.size_, PICTURE)
    shots = read_source(str(video.absolute()), view, Event())
    seen: list[Watched] = []
    for item in alarms(watch(detector, _whole(shots, video, notes)), films.rule, first=films.alarmed + 1):
        match item:
            case Opened():
                films.open(str(video))
            case Watched():
                films.films[-1].add(item)
                seen.append(item._replace(error_map=NOTHING, picture=None))
            case Ended(alarm=alarm):
                shown = alarm.peak.picture
                films.end(alarm, None if shown is None else hot(detector.scorer_, shown, alarm.peak.error_map))
        if len(seen) == TOGETHER:
            yield video, seen
            seen = []
    if seen:
        yield video, seen


def _whole(shots: Iterator[Item], video: Path, notes: Notes | None) -> Iterator[Item]:
    """The items of a video; an error goes to `notes`, if given, and ends the video."""
    try:
        yield from shots
    except SourceError as error:
        if notes is None:
            raise
        notes.unread[video] = str(error)
