"""Events of `memae watch`, one JSON line each, and the list of alarms with thumbnails."""

import csv
import io
import json
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image

from memae.data.streams import Lost, Opened, Skipped, Unread
from memae.errors import OutputError
from memae.estimators import VideoMemAE
from memae.files import Lines, replacing
from memae.pictures import Pixels
from memae.watch.overlay import hot
from memae.watch.watching import Alarm, Ended, Started, Watched

Event = dict[str, Any]
Seen = Watched | Opened | Lost | Unread | Skipped | Started | Ended
LISTED = (
    *("alarm", "source", "start", "end", "start_wall", "end_wall", "frames"),
    *("peak_frame", "peak_time", "peak_score", "p_value", "thumbnail"),
)
"""Columns of alarms.csv."""
EVENT = '{"event": "'
"""The beginning of every line of alarms.jsonl."""


def as_event(item: Seen, alarm: int | None, last: float, source: str | None) -> Event:
    """An item as an event: its name, wall-clock time and time in the stream, and its facts.

    Args:
        item: what has happened.
        alarm: number of the current alarm, if any.
        last: time of the last frame, for items without a time.
        source: name of the open source, for items that do not name it.
    """
    match item:
        case Watched():
            facts = {"frame": item.frame, "alarm": alarm, **_judged(item), "delay": round(time.time() - item.wall, 3)}
            return _event("frame", item.wall, item.time, item.source, facts)
        case Started(alarm=begun):
            facts = {"alarm": begun.number, "frame": begun.start.frame, **_judged(begun.start)}
            return _event("start", begun.start.wall, begun.start.time, begun.start.source, facts)
        case Ended(alarm=over):
            return _event("end", over.end.wall, over.end.time, over.end.source, _listed(over))
        case Opened():
            return _event("opened", time.time(), last, item.name, {"rate": round(item.rate, 3)})
        case Lost() | Unread():
            name = "lost" if isinstance(item, Lost) else "unread"
            return _event(name, time.time(), last, item.name, {"reason": item.reason})
        case Skipped():
            return _event("skipped", time.time(), last, source, {"frames": item.frames})


def _event(name: str, wall: float, seconds: float, source: str | None, facts: Event) -> Event:
    return {"event": name, "wall": _clock(wall), "time": round(seconds, 3), "source": source} | facts


def _judged(frame: Watched) -> Event:
    return {
        "score": float(f"{frame.score:.6g}"),
        "normalised": round(frame.normalised, 4),
        "p_value": round(frame.p_value, 6),
    }


def _listed(alarm: Alarm) -> Event:
    return {
        "alarm": alarm.number,
        "start": round(alarm.start.time, 3),
        "end": round(alarm.end.time, 3),
        "start_wall": _clock(alarm.start.wall),
        "end_wall": _clock(alarm.end.wall),
        "frames": alarm.frames,
        "peak_frame": alarm.peak.frame,
        "peak_time": round(alarm.peak.time, 3),
        "peak_score": float(f"{alarm.peak.score:.6g}"),
        "p_value": round(alarm.peak.p_value, 6),
    }


def _clock(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Ledger:
    """The output folder of a watch: alarms.jsonl with all events, alarms.csv with a row per alarm, and thumbnails.

    Existing lists are continued, including the numbering of alarms.

    Raises:
        OutputError: the folder cannot be created, or its files are not lists of alarms.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make the folder {folder}: {error.strerror}; give another --output") from error
        self.first = 1 + _known(folder / "alarms.jsonl")
        _check_rows(folder / "alarms.csv")
        with ExitStack() as files:
            self._events = files.enter_context(Lines(folder / "alarms.jsonl"))
            self._rows = files.enter_context(Lines(folder / "alarms.csv"))
            self._files = files.pop_all()
        if self._rows.fresh:
            self._rows.add(_row(LISTED))

    def add(self, event: Event) -> None:
        """Appends an event to alarms.jsonl, and the end of an alarm also to alarms.csv."""
        self._events.add(json.dumps(event))
        if event["event"] == "end":
            self._rows.add(_row([event[name] for name in LISTED]))

    def thumbnail(self, detector: VideoMemAE, alarm: Alarm) -> str | None:
        """Saves the frame at the peak, without and with its heat map, side by side; gives the name of the file."""
        if alarm.peak.picture is None:
            return None
        path = self.folder / f"alarm-{alarm.number:04d}.png"
        both = np.concatenate([alarm.peak.picture, heated(detector, alarm.peak)], 1)
        with replacing(path) as temporary:
            Image.fromarray(both).save(temporary, format="PNG")
        return path.name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()


def _known(path: Path) -> int:
    """The highest alarm number in an existing list, whose last line may be incomplete."""
    highest = 0
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                if line.endswith("\n"):
                    event = json.loads(line)
                    highest = max(highest, int(event.get("alarm") or 0) if event["event"] else 0)
                elif not line.startswith(EVENT[: len(line)]):
                    raise _strange(path)
    except FileNotFoundError:
        return 0
    except (OSError, ValueError, AttributeError, TypeError, KeyError) as error:
        raise _strange(path) from error
    return highest


def _check_rows(path: Path) -> None:
    """Raises OutputError if an existing alarms.csv has other columns."""
    head = f"{_row(LISTED)}\n".encode()
    try:
        with path.open("rb") as rows:
            ours = head.startswith(rows.read(len(head)))
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"{path} cannot be read ({error.strerror}); give another folder as --output") from error
    if not ours:
        raise _strange(path)


def _strange(path: Path) -> OutputError:
    return OutputError(f"{path} exists and is not a list of alarms; give another folder as --output")


def _row(values: Any) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue()


def heated(detector: VideoMemAE, frame: Watched) -> Pixels:
    """The picture of a frame under its heat map; the frame must have a picture."""
    assert frame.picture is not None  # noqa: S101 (requested by the caller)
    return hot(detector.scorer_, frame.picture, frame.error_map)
