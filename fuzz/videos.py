"""Video: every kind of container and codec that memae opens, with faults in header, index and frames."""

from collections.abc import Sequence
from contextlib import closing
from fractions import Fraction
from functools import cache, partial
from pathlib import Path
from random import Random
from threading import Event
from typing import Any, NamedTuple

import av
import numpy as np

from fuzz import mutations, places
from fuzz.formats import Format, taken
from memae.cli.score_table import Places
from memae.data.streams import View, read_source
from memae.estimators import VideoMemAE
from memae.watch.watching import alarms, rule_of, watch

HEIGHT, WIDTH, FRAMES = 32, 48, 10


class Kind(NamedTuple):
    """A container and a codec."""

    ending: str
    codec: str
    pixels: str = "yuv420p"
    options: dict[str, str] = {}  # noqa: RUF012 (never changed)


KINDS = (
    Kind(".mp4", "libx264", options={"g": "4", "bf": "2"}),
    Kind(".mp4", "libx264", options={"g": "4", "movflags": "frag_keyframe+empty_moov"}),
    Kind(".mp4", "mpeg4"),
    Kind(".mov", "mjpeg", "yuvj420p"),
    Kind(".mov", "qtrle", "rgb24"),
    Kind(".avi", "mpeg4"),
    Kind(".avi", "mjpeg", "yuvj420p"),
    Kind(".avi", "rawvideo", "bgr24"),
    Kind(".avi", "huffyuv", "yuv422p"),
    Kind(".mkv", "libx264", options={"bf": "0"}),
    Kind(".mkv", "ffv1", "gray16le"),
    Kind(".mkv", "ffv1", "bgr0"),
    Kind(".mkv", "libvpx"),
    Kind(".webm", "libvpx-vp9"),
    Kind(".mpg", "mpeg1video"),
    Kind(".mpg", "mpeg2video"),
    Kind(".wmv", "wmv2"),
)
ENDINGS = (
    (0, b"RIFF", ".avi"),
    (0, b"\x1a\x45\xdf\xa3", ".mkv"),
    (0, b"\0\0\1\xba", ".mpg"),
    (0, b"0&\xb2u", ".wmv"),
    (4, b"ftypqt", ".mov"),
)


def target(data: bytes) -> int:
    """Uses a video for fit, score and watch."""
    ending = next((each for at, word, each in ENDINGS if data[at : at + len(word)] == word), ".mp4")
    path = places.put(f"a{ending}", data)
    detector = places.video_detector()
    return taken(
        partial(places.begun, places.new_video_detector(), path),
        partial(places.scored_into, detector, path, ".csv", places=Places(places.folder() / "maps")),
        partial(_watched, detector, path),
    )


def _watched(detector: VideoMemAE, path: Path) -> None:
    """Watches a video as `memae watch` does, with pictures."""
    frames = read_source(str(path), View(detector.channels, detector.size_, picture=40), Event())
    with closing(alarms(watch(detector, frames), rule_of(detector, release=1.0, after=None))) as seen:  # type: ignore[type-var]  # a generator
        for _ in seen:
            pass


# --------------------------------------------------------------------------------------------------------- valid files


@cache
def seeds() -> tuple[bytes, ...]:
    """A short video of each kind."""
    return tuple(filmed(kind) for kind in KINDS)


def filmed(kind: Kind, size: tuple[int, int] = (HEIGHT, WIDTH), frames: int = FRAMES, rate: Any = 25) -> bytes:
    """A video of a moving square."""
    path = places.folder() / f"seed{kind.ending}"
    with av.open(str(path), "w", options={"fflags": "bitexact"} | _muxer(kind)) as container:
        stream: Any = container.add_stream(kind.codec, rate=Fraction(rate))
        (stream.height, stream.width), stream.pix_fmt = size, kind.pixels
        stream.options = {"threads": "1", "flags": "+bitexact"} | _encoder(kind)
        for number in range(frames):
            container.mux(stream.encode(_frame(number, *size)))
        container.mux(stream.encode())
    return path.read_bytes()


def _muxer(kind: Kind) -> dict[str, str]:
    return {name: value for name, value in kind.options.items() if name == "movflags"}


def _encoder(kind: Kind) -> dict[str, str]:
    quick = {"preset": "ultrafast"} if kind.codec == "libx264" else {}
    return quick | {name: value for name, value in kind.options.items() if name != "movflags"}


def _frame(number: int, height: int, width: int) -> av.VideoFrame:
    picture = np.full((height, width), 90, dtype=np.uint8)
    left = 3 * number % max(width - 8, 1)
    picture[height // 3 : height // 3 + 8, left : left + 8] = 220
    return av.VideoFrame.from_ndarray(picture, "gray")


@cache
def bombs() -> tuple[bytes, ...]:
    """Small files with large or many frames, or a tiny frame rate."""
    kind = KINDS[0]
    return (
        filmed(kind, (4320, 7680), 3),
        filmed(Kind(".avi", "mjpeg", "yuvj420p"), (9000, 9000), 2),
        filmed(kind, (16, 16), 800),
        filmed(Kind(".mkv", "libx264"), (16, 16), 5, Fraction(1, 1000)),
        filmed(Kind(".mkv", "ffv1", "gray16le"), (2160, 3840), 2),
        filmed(kind, (16, 16), 3).replace(b"\0\x10\0\x10", b"\xff\xff\xff\xff"),
    )


# ------------------------------------------------------------------------------------------------------------- spoiling


def spoiled(files: Sequence[bytes], random: Random) -> bytes:
    """A video with faults, often in the boxes of its container."""
    data = random.choice(files)
    if random.random() < 0.5:
        data = _boxes(data, random)
    return data if random.random() < 0.3 else mutations.spoiled(data, files, random)


BOXES = (
    *(b"moov", b"mvhd", b"tkhd", b"mdhd", b"hdlr", b"stsd", b"stts", b"ctts", b"stsc", b"stsz", b"stco", b"stss"),
    *(b"avcC", b"elst", b"moof", b"trun", b"tfhd", b"mdat", b"avc1", b"mp4v", b"esds"),
    *(b"avih", b"strh", b"strf", b"movi", b"idx1", b"00dc", b"LIST"),
    *(b"\xb0", b"\xba", b"\x2a\xd7\xb1", b"\x44\x89", b"\xae", b"\x63\xa2", b"\xa3", b"\x1f\x43\xb6\x75"),
)


def _boxes(data: bytes, random: Random) -> bytes:
    """Changes numbers near the names of boxes, chunks and elements: sizes, counts, rates and types."""
    out = bytearray(data)
    known = [offset for name in BOXES for offset in _found(data, name)]
    for _ in range(random.choice((1, 1, 2, 3)) if known else 0):
        start = random.choice(known) + random.choice((-4, 0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44))
        size = random.choice((1, 2, 4, 4, 8))
        if start >= 0:
            out[start : start + size] = mutations.number(random, size)
    return bytes(out)


def _found(data: bytes, name: bytes) -> list[int]:
    first = data.find(name)
    return [] if first < 0 else [first, data.rfind(name)]


FORMAT = Format("video", seeds, spoiled, target, bombs, rare=100)
