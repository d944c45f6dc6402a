"""What is kept of videos that are watched: a curve and the highest moment of each, and the alarms with a picture."""

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
"""Videos and alarms that are kept, those with the highest scores: a page has an end."""

TOGETHER = 1024
"""Frames that are told of at once."""
NOTHING = torch.empty(0)


class Moment(NamedTuple):
    """A frame that is worth a look."""

    video: str
    frame: int
    time: float
    score: float
    p_value: float
    picture: Pixels | None = None  # (h, w, 3): the frame under its heat map


class Kept(NamedTuple):
    """An alarm."""

    number: int
    video: str
    start: float  # seconds
    end: float
    peak: Moment


@dataclass
class Film:
    """One video."""

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
    films: list[Film] = field(default_factory=list)  # in their order, as are the alarms
    alarms: list[Kept] = field(default_factory=list)
    videos: int = 0  # in all
    alarmed: int = 0  # alarms in all
    short: list[str] = field(default_factory=list)  # videos that are too short to be scored
    seconds: float = 0.0

    @classmethod
    def of(cls, detector: VideoMemAE) -> Self:
        """Nothing yet, of videos whose alarms are those of this detector."""
        return cls(rule_of(detector))

    def open(self, name: str) -> None:
        """A video begins."""
        self._settle()
        self.films.append(Film(name))

    def end(self, alarm: Alarm, picture: Pixels | None) -> None:
        """An alarm of the video is over; of too many the lowest is forgotten."""
        self.alarmed += 1
        film = self.films[-1]
        film.alarms += 1
        film.curve.mark(alarm.start.frame, alarm.end.frame)
        peak = _moment(alarm.peak)._replace(picture=picture)
        self.alarms.append(Kept(alarm.number, film.name, alarm.start.time, alarm.end.time, peak))
        if len(self.alarms) > ALARMS:
            self.alarms.remove(min(self.alarms, key=lambda kept: kept.peak.score))

    def close(self) -> None:
        """There are no more videos."""
        self._settle()

    def _settle(self) -> None:
        """Counts the last video; one too short to be scored, or the lowest of too many, is forgotten."""
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
        """The peaks of so many alarms with their numbers, and of calm videos where there are fewer; highest first."""
        peaks = _highest((kept.peak, kept.number) for kept in self.alarms)
        calm = _highest((film.peak, None) for film in self.films if not film.alarms)
        return _highest([*peaks, *calm][:wanted])


def _highest(moments: Iterable[tuple[Moment, int | None]]) -> list[tuple[Moment, int | None]]:
    return sorted(moments, key=lambda moment: -moment[0].score)


def _moment(frame: Watched) -> Moment:
    return Moment(frame.source, frame.frame, frame.time, frame.score, frame.p_value)


def filmed(detector: VideoMemAE, source: Path, films: Films, notes: Notes) -> Iterator[tuple[Path, list[Watched]]]:
    """Watches all videos of a file or folder, as `memae watch` does, and gives their frames, some at a time.

    Args:
        detector: fitted.
        source: a file or folder; no camera, for a report has an end.
        films: keeps what is to be shown.
        notes: receives videos that cannot be read, or not to their end, and those that are too short. One that is alone
            is an error.

    Raises:
        SourceError: there is no video, or none can be read.
        SchemaError: the only one is too short to be scored.
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
        notes.unread.setdefault(Path(name), f"{name} has fewer than {detector.length} frames, the clip length")
    if not films.videos and len(videos) > 1:
        raise none_read(notes.unread)
    if not films.videos:
        raise SchemaError(
            f"{source} has no video of {detector.length} frames, the model's clip length; give longer ones"
        )


def _one(detector: VideoMemAE, video: Path, films: Films, notes: Notes | None) -> Iterator[tuple[Path, list[Watched]]]:
    """The frames of one video; where it is damaged further on, it ends."""
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
    """The same; the end of what can be read is noted, unless it is an error."""
    try:
        yield from shots
    except SourceError as error:
        if notes is None:
            raise
        notes.unread[video] = str(error)
