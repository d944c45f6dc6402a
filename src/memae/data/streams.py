"""Frames of a watched source: files as fast as they decode, cameras and addresses in real time.

A source is an iterator of frames (`Shot`) and of events between them (`Mark`): the source was opened, frames were
skipped, the connection was lost, a video cannot be read. An event between two frames is a gap, which no clip may span.
"""

import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from itertools import chain
from pathlib import Path
from threading import Condition, Event, Thread
from typing import Any, NamedTuple

import av
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memae.data import pixels
from memae.data.addresses import Live, live_source
from memae.data.ahead import ahead
from memae.data.formats import VideoFormat, format_of, stream_rate
from memae.data.videos import FRAME_RATE, MAX_PIXELS, decoded, find_videos, frame_files, frame_pixels
from memae.errors import SourceError

BACKLOG = 2.0
"""Seconds of frames that may wait for the model; a live source that is further behind skips to the newest."""
SILENCE = 10.0
"""Seconds without data after which a connection counts as lost."""
WAITS = (0.5, 30.0)
"""Seconds before the first attempt to reconnect, and the maximum; the wait doubles with each attempt."""
AHEAD = 16
"""Frames of a file that are prefetched."""

Picture = NDArray[np.uint8]


class View(NamedTuple):
    """The form in which a source delivers its frames."""

    channels: int  # 1 for grey, 3 for RGB
    size: tuple[int, int] | None  # height and width for the model; None for those of the source
    picture: int = 0  # longest side in pixels of the picture for people; 0 for no picture


class Shot(NamedTuple):
    """One frame."""

    time: float  # seconds from the first frame of the source
    wall: float  # when it was read, seconds since 1970
    pixels: Tensor  # (c, h, w), for the model, in grey levels
    picture: Picture | None  # (h, w, 3), for people


class Opened(NamedTuple):
    """A source has started, or is connected again."""

    name: str
    rate: float  # frames a second
    live: bool  # whether it does not wait for the reader, so that frames are skipped if the model is too slow
    format: VideoFormat | None = None


class Skipped(NamedTuple):
    """Frames that are not scored."""

    frames: int


class Lost(NamedTuple):
    """The connection is lost; an `Opened` follows when it is back."""

    name: str
    reason: str


class Unread(NamedTuple):
    """A video of a folder cannot be read to its end; the next one follows."""

    name: str
    reason: str


Mark = Opened | Skipped | Lost | Unread
Item = Shot | Mark


def read_source(
    source: str, view: View, stop: Event, *, realtime: bool = False, patience: float | None = None
) -> Iterator[Item]:
    """The frames of any source, until it ends or `stop` is set.

    Files and folders deliver every frame. A live source that is more than `BACKLOG` seconds behind skips all waiting
    frames at once. The frames delivered thus remain consecutive, and motion in a clip keeps the speed that the model
    learned; dropping every other frame would double it.

    Args:
        source: a video file, a folder of frames, a folder of either; a camera's number; or an address.
        view: form of the frames.
        stop: ends the source when set.
        realtime: plays files and folders at their own rate, as if they were live.
        patience: seconds after which a lost connection is given up; None for never.

    Raises:
        SourceError: the source cannot be opened or read, or a lost connection did not come back. If there are several
            videos, those that cannot be read give `Unread` instead.
        OptionError: see `live_source`.
    """
    live = live_source(source)
    if live is None:
        played = _played(Path(source), view)
        return _as_they_come(_paced(played, stop), stop) if realtime else _until(played, stop)
    return _as_they_come(_connected(live, view, stop, patience), stop)


# -------------------------------------------------------------------------------------------------- files and folders


def _played(path: Path, view: View) -> Iterator[Item]:
    """All videos of a path in order. A single video must be readable to its end; of several, `Unread` marks damage."""
    videos = find_videos(path)
    for video in videos:
        try:
            shots = ahead((_pictures if video.is_dir() else _film)(video, view), AHEAD)
            first, known = next(shots, None), format_of(video)
            yield Opened(str(video), (known and known.rate) or FRAME_RATE, live=False, format=known)
            yield from () if first is None else chain([first], shots)
        except SourceError as error:
            if len(videos) == 1:
                raise
            yield Unread(str(video), str(error))


def _film(path: Path, view: View) -> Iterator[Shot]:
    begin: float | None = None
    for frame, seconds in decoded(path):
        begin = seconds if begin is None else begin
        yield _shot(frame, seconds - begin, view)


def _pictures(folder: Path, view: View) -> Iterator[Shot]:
    files = frame_files(folder)
    deep = any(pixels.header(file).deep for file in files)
    for number, file in enumerate(files):
        whole = pixels.decode(file, 3 if view.picture else view.channels)
        frame = pixels.with_channels(whole, view.channels)
        seen = _small(whole, view.picture) if view.picture else None
        yield Shot(number / FRAME_RATE, time.time(), _sized(frame.float() if deep else frame, view), seen)


def _shot(frame: av.VideoFrame, seconds: float, view: View) -> Shot:
    share = min(view.picture / max(frame.width, frame.height), 1.0)
    size = max(round(frame.height * share), 1), max(round(frame.width * share), 1)
    seen: Any = pixels.frame_array(frame, "rgb24", size) if view.picture else None
    return Shot(seconds, time.time(), _sized(frame_pixels(frame, view.channels), view), seen)


def _sized(frame: Tensor, view: View) -> Tensor:
    return frame if view.size is None else pixels.resize(frame, view.size)


def _small(frame: Tensor, longest: int) -> Picture:
    """The picture of pixels (3, h, w), scaled so that its longest side is at most `longest`."""
    height, width = frame.shape[1:]
    share = min(longest / max(height, width), 1.0)
    scaled = pixels.resize(frame, (max(round(height * share), 1), max(round(width * share), 1)))
    return np.ascontiguousarray(scaled.round().to(torch.uint8).numpy().transpose(1, 2, 0))


def _until(items: Iterator[Item], stop: Event) -> Iterator[Item]:
    for item in items:
        if stop.is_set():
            return
        yield item


def _paced(items: Iterable[Item], stop: Event) -> Iterator[Item]:
    """The same items, each shot delayed until its time of play."""
    began = 0.0
    for item in items:
        if isinstance(item, Opened):
            began = time.monotonic()
            yield item._replace(live=True)
        elif isinstance(item, Shot):
            stop.wait(max(began + item.time - time.monotonic(), 0.0))
            yield item._replace(wall=time.time())
        else:
            yield item


# ----------------------------------------------------------------------------------------------- cameras and addresses


def _connected(live: Live, view: View, stop: Event, patience: float | None) -> Iterator[Item]:
    """The frames of a live source, which reconnects whenever the connection is lost.

    A failure of the very first connection is an error, since the address may be mistyped.
    """
    begin: float | None = None
    gone, wait = 0.0, WAITS[0]
    while not stop.is_set():
        tried, opened, reason = time.monotonic(), None, ""
        try:
            for item in _frames(live, view):
                if isinstance(item, Opened):
                    opened = item
                if isinstance(item, Shot):
                    begin = item.time if begin is None else begin
                    yield item._replace(time=item.time - begin)
                else:
                    yield item
        except av.FFmpegError as error:
            reason = _reason(error)
        if begin is None:
            message = f"cannot watch {live.name} ({reason or 'it has no video'})"
            raise SourceError(f"{message}; is it on, and is the address right?")
        if opened and not opened.live:
            if reason:
                raise SourceError(f"{live.name} broke off ({reason}); watch it again, or copy it first")
            return
        if opened:
            yield Lost(live.name, reason or "it ended")
            gone = time.monotonic()
            wait = WAITS[0] if gone - tried > wait else wait
        left = float("inf") if patience is None else gone + patience - time.monotonic()
        if left <= 0:
            raise SourceError(f"{live.name} did not come back for {patience:g} s ({reason}); is it on?")
        stop.wait(min(wait, left))
        wait = min(2 * wait, WAITS[1])


def _frames(live: Live, view: View) -> Iterator[Item]:
    """The frames of one connection, from the first that can be decoded.

    The time of a frame is its arrival by the monotonic clock, since time stamps of streams may stall or jump. A
    recording behind an address, recognised by its known duration, keeps its own time stamps.
    """
    more: Any = {"options": live.options, "timeout": SILENCE, "metadata_errors": "replace"}
    with av.open(live.url, "r", format=live.format, **more) as container:
        stream = next(iter(container.streams.video), None)
        if stream is None:
            return
        stream.thread_type = "SLICE"  # frame threading would delay frames
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        flows, opened, rate = container.duration is None, False, stream_rate(stream)
        for packet in container.demux(stream):
            for frame in _intact(packet):
                if not opened and frame is not None:
                    # the rate that a live stream states is not reliable
                    shape = VideoFormat(frame.height, frame.width, None if flows else rate)
                    yield Opened(live.name, rate, flows, shape)
                    opened = True
                if frame is None:
                    yield Skipped(1)
                else:
                    yield _shot(frame, time.monotonic() if flows or frame.time is None else frame.time, view)


def _intact(packet: Any) -> list[av.VideoFrame | None]:
    """The frames of a packet; None for each that is damaged."""
    try:
        return [None if frame.is_corrupt else frame for frame in packet.decode() if isinstance(frame, av.VideoFrame)]
    except av.error.InvalidDataError:
        return [None]


def _reason(error: av.FFmpegError) -> str:
    if isinstance(error, av.error.ExitError):
        return f"silent for {SILENCE:g} s"
    return str(error.strerror or error).lower()


# ---------------------------------------------------------------------------------------------------- the reader thread


class _Over(NamedTuple):
    error: BaseException | None


class _Inbox:
    """A bounded queue from the reader thread to the consumer.

    When it is full, a live source drops all waiting frames; for any other source, `put` blocks.
    """

    def __init__(self) -> None:
        self._items: deque[Item | _Over] = deque()
        self._changed = Condition()
        self._opened = Opened("", FRAME_RATE, live=True)
        self._shots = 0  # how many of the items are shots
        self._closed = False

    def put(self, item: Item | _Over) -> bool:
        """Appends an item; False once the inbox is closed."""
        with self._changed:
            if isinstance(item, Opened):
                self._opened = item
            if isinstance(item, Shot):
                self._make_room()
                self._shots += 1
            self._items.append(item)
            self._changed.notify_all()
            return not self._closed

    def get(self, seconds: float) -> Item | _Over | None:
        """The next item, or None after `seconds` without one."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._items, seconds):
                return None
            item = self._items.popleft()
            self._shots -= isinstance(item, Shot)
            self._changed.notify_all()
            return item

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _make_room(self) -> None:
        room = max(round(BACKLOG * self._opened.rate), 1)
        if not self._opened.live:
            self._changed.wait_for(lambda: self._shots < room or self._closed)
        elif self._shots >= room:
            self._items = deque(_emptied(self._items))
            self._shots = 0


def _emptied(items: Iterable[Item | _Over]) -> Iterator[Item | _Over]:
    """The items in order, with each run of frames replaced by one `Skipped`."""
    gone = 0
    for item in items:
        if isinstance(item, Shot | Skipped):
            gone += item.frames if isinstance(item, Skipped) else 1
            continue
        if gone:
            yield Skipped(gone)
        gone = 0
        yield item
    if gone:
        yield Skipped(gone)


def _as_they_come(items: Iterator[Item], stop: Event) -> Iterator[Item]:
    """The items, read in a thread that does not wait for the consumer if the source is live."""
    inbox = _Inbox()
    # A daemon, so that a read that hangs cannot keep the interpreter from ending.
    thread = Thread(target=_hand_over, args=(items, inbox), name="memae reader", daemon=True)
    del items  # the connection is closed by the thread that reads from it
    thread.start()
    try:
        while not stop.is_set():
            item = inbox.get(0.1)
            if isinstance(item, _Over):
                if item.error is not None:
                    raise item.error
                return
            if item is not None:
                yield item
    finally:
        inbox.close()
        thread.join(1.0)


def _hand_over(items: Iterator[Item], inbox: _Inbox) -> None:
    try:
        for item in items:
            if not inbox.put(item):
                return
        inbox.put(_Over(None))
    except BaseException as error:  # raised again in the consumer
        inbox.put(_Over(error))
    finally:
        if isinstance(items, Generator):
            items.close()
