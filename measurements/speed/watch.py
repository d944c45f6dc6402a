"""`memae watch` on UCSD Ped2: frames a second, delay of a score at the video's own rate, memory over an hour of frames.

Delay and memory are measured with as many clips as one core computes in time; `score_step` in the record says how many.
MEMAE_WATCH_FRAMES sets the number of frames of the long run, 90,000 by default, an hour at 25 frames a second;
MEMAE_WATCH_MODEL takes a model file instead of fitting one, and MEMAE_WATCH_SOURCE another video.
"""

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import av
import torch

from measurements.speed.video_file import encode
from memae import VideoMemAE
from memae.data.videos import FRAME_RATE, find_videos, read_video
from memae.estimators.video import KEPT_POSITIONS
from recording.records import figure
from reproduction.datasets import DATA

PED2 = DATA / "UCSD_Anomaly_Dataset.v1p2" / "UCSDped2"
HOUR = 90_000
LONG = int(os.environ.get("MEMAE_WATCH_FRAMES", HOUR))
SHORT = min(500, LONG)
"""Frames of the runs that measure rate and delay."""
START = min(500, LONG // 10)
"""Frames after which all one-time allocations have been made."""


class Reported(NamedTuple):
    """One frame, as the command reports it."""

    clock: float  # when it was reported
    delay: float  # seconds from reading it to reporting its score
    memory: float  # MiB that the process held then, of every hundredth frame; else 0


def measure() -> dict[str, Any]:
    """The command in a process of its own, on one core."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = Path(os.environ.get("MEMAE_WATCH_MODEL") or fitted(folder / "m.memae"))
        source = Path(os.environ.get("MEMAE_WATCH_SOURCE") or filmed(folder / "ped2.mp4"))
        short, long = repeated(source, SHORT, folder / "short.mp4"), repeated(source, LONG, folder / "long.mp4")
        rates = {engine: rate(model, short, engine) for engine in ("torch", "openvino")}
        step = max(math.ceil(1.2 * FRAME_RATE / rates["torch"]), 1)  # keeps up, with something to spare
        every = ("--score-step", str(step))
        delays = [frame.delay for frame in watched(model, short, "--realtime", *every)]
        memory = [frame.memory for frame in watched(model, long, *every) if frame.memory]
    figures = {
        "speed/watch/frames_per_second": figure(rates["torch"]),
        "speed/watch/frames_per_second/openvino": figure(rates["openvino"]),
        "speed/watch/delay_seconds": figure(statistics.median(delays), statistics.stdev(delays), len(delays)),
    }
    held = [memory[quarter * (len(memory) - 1) // 4] for quarter in range(5)]
    if LONG == HOUR:
        figures["speed/watch/memory_growth_mib"] = figure(held[-1] - held[0])
    cases = {
        "score_step": step,
        "delay_seconds": {"longest": max(delays), "frames": len(delays), "skipped": SHORT - len(delays)},
        "memory": {"frames": LONG, "mib_at_start_and_each_quarter": [round(each, 1) for each in held]},
    }
    return {"figures": figures, "frames": SHORT, "cases": cases}


def fitted(path: Path) -> Path:
    """The default detector after one short pass over the training videos: enough to measure its speed."""
    detector = VideoMemAE(step=16, epochs=1, warmup=0, init="uniform").fit(PED2 / "Train")
    kept = detector.scorer_.kept
    assert kept is not None  # noqa: S101 (as by default)
    assert len(kept.items) == KEPT_POSITIONS  # noqa: S101 (fewer would be looked through in less time)
    detector.save(path)
    return path


def filmed(path: Path) -> Path:
    """The test videos one after another, as H.264."""
    encode(torch.cat([read_video(each).frames for each in find_videos(PED2 / "Test")]), path)
    return path


def repeated(source: Path, frames: int, path: Path) -> Path:
    """A video of a given number of frames, made by repeating another one without encoding it again."""
    with av.open(str(path), "w") as written:
        stream, count, begin = None, 0, 0
        while count < frames:
            end = begin
            with av.open(str(source)) as container:
                video = container.streams.video[0]
                stream = stream or written.add_stream_from_template(video)
                for packet in container.demux(video):
                    if packet.dts is None or packet.pts is None or count == frames:
                        break
                    packet.pts, packet.dts = packet.pts + begin, packet.dts + begin
                    end, count = max(end, packet.pts + (packet.duration or 0)), count + 1
                    packet.stream = stream
                    written.mux(packet)
            begin = end
    return path


def rate(model: Path, source: Path, engine: str) -> float:
    """Frames a second from the first frame that is read to the last score."""
    frames = list(watched(model, source, "--engine", engine))
    return len(frames) / (frames[-1].clock - frames[0].clock + frames[0].delay)


def watched(model: Path, source: Path, *options: str) -> Iterator[Reported]:
    """Each frame as it is reported."""
    command = [str(Path(sys.executable).with_name("memae")), "watch", str(model), str(source), "--frames", *options]
    with _process(command) as process:
        number = 0
        for line in process.stdout or ():
            event = json.loads(line)
            if event["event"] == "frame":
                number += 1
                seen = number >= START and (number - START) % 100 == 0
                yield Reported(time.time(), event["delay"], resident(process.pid) if seen else 0.0)


@contextmanager
def _process(command: list[str]) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:  # noqa: S603
        yield process
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")


def resident(process: int) -> float:
    """MiB of memory that a process holds now."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
