"""Watches a camera and prints alarms as they happen.

    python examples/camera.py                             # a generated street, on which someone cycles
    python examples/camera.py model.memae 0               # camera 0, with a model of `memae fit video`
    python examples/camera.py model.memae rtsp://door/1   # or any source that `memae watch` takes

Ctrl-C stops it. `memae watch` does the same, and also writes thumbnails, a list of alarms and an overlay video.
"""

import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

import numpy as np

from memae import VideoMemAE, load
from memae.data.streams import Lost, Opened, Skipped, Unread, View, read_source
from memae.demo import street
from memae.watch.overlay import film_writer
from memae.watch.watching import Ended, Started, alarms, rule_of, watch


def generated(folder):
    """A detector that has learned walking people, and a video in which someone cycles from frame 60 to 105."""
    detector = VideoMemAE(60, size="native", widths=(16, 32), epochs=3).fit([street(90, seed) for seed in (1, 2, 3)])
    detector.recalibrate(detector.anomaly_score(street(120, seed=4)), false_alarm_rate=0.02)  # another normal day
    path = folder / "street.mp4"
    with film_writer(path, 25) as writer:
        for frame in street(150, seed=9, cyclist=(60, 105)):
            writer.add(np.repeat(frame[..., None], 3, axis=2))
    return detector, str(path)


def message(item):
    """A line about an event; None for a single frame."""
    match item:
        case Opened(name, rate):
            return f"{name} is open, {rate:g} frames a second"
        case Lost(name, reason) | Unread(name, reason):
            return f"{name}: {reason}{'; reconnecting' if isinstance(item, Lost) else ''}"
        case Skipped(frames):
            return f"{frames} frames were skipped, to keep up"
        case Started(alarm):
            return f"alarm {alarm.number} began at {alarm.start.time:.2f} s, score {alarm.peak.score:.3g} so far"
        case Ended(alarm):
            row, column = np.unravel_index(int(alarm.peak.error_map.mean(0).argmax()), alarm.peak.error_map.shape[1:])
            return (
                f"alarm {alarm.number} is over: {alarm.start.time:.2f} to {alarm.end.time:.2f} s, peak at frame "
                f"{alarm.peak.frame}, p-value {alarm.peak.p_value:.3f}, at x {column}, y {row}"
            )
    return None


def main(detector, source):
    """Prints a line whenever something happens."""
    stop = Event()
    frames = read_source(source, View(detector.channels, detector.size_), stop)
    with suppress(KeyboardInterrupt):
        for item in alarms(watch(detector, frames), rule_of(detector)):
            if line := message(item):
                print(f"{datetime.now():%H:%M:%S} {line}", flush=True)
    stop.set()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        main(load(sys.argv[1]), sys.argv[2])
    else:
        with TemporaryDirectory() as folder:
            main(*generated(Path(folder)))
