"""Videos: files, folders of frames and arrays as frames in grey levels 0..255."""

import os
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import torch
from av.format import Flags
from torch import Tensor

from memae.data import pixels
from memae.data.samples import digest
from memae.errors import InputError, MemaeWarning, SourceError, memory_guard

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".3gp", ".avi", ".mkv", ".webm", ".ogv", ".flv", ".mpg", ".mpeg", ".wmv", ".asf"}
    | {".ts", ".mts", ".m2ts"}  # of recorders and camcorders
)
FRAME_RATE = 25.0  # frames a second of sources without a rate: folders of frames and arrays
MAX_PIXELS = 2**26  # of a frame, twice those of 8K; decoders hold several
BLOCK_BYTES = 2**27  # of frames read at once, so that large ones take no more memory than small ones

Blocks = Iterable[tuple[Tensor, Tensor]]
"""Consecutive frames `(k, c, h, w)` and their times `(k,)`; can be iterated once."""


class Video(NamedTuple):
    """A video in memory.

    Attributes:
        name: the path as given, or the position in a list of arrays.
        frames: (t, c, h, w) uint8, or float32 if the source has more than 8 bits.
        times: (t,) float64 seconds; index / `FRAME_RATE` for folders of frames and arrays.
    """

    name: str
    frames: Tensor
    times: Tensor


def is_video(path: Path) -> bool:
    """Whether `path` has the file ending of a video.

    >>> is_video(Path("a.MP4")), is_video(Path("a.png"))
    (True, False)
    """
    return path.suffix.lower() in VIDEO_SUFFIXES


def find_videos(source: Path) -> list[Path]:
    """The videos of `source`: video files, and folders with frames (images) directly inside, in natural order.

    `source` may be a video file, a folder of frames, or a folder that holds several of either at any depth.
    Hidden entries and folders ending in `_gt` (labels) are skipped.

    Raises:
        SourceError: `source` does not exist, is or holds no video, or frames lie beside videos.
    """
    expected = "files ending in " + ", ".join(sorted(VIDEO_SUFFIXES)) + " or folders of images"
    if source.is_dir():
        found = list(_videos_below(source, ()))
        if not found:
            raise SourceError(f"{source} holds no video; {expected} are expected")
        return found
    pixels.check_readable(source)
    if not is_video(source):
        raise SourceError(f"{source} is not a video file; {expected} are expected")
    return [source]


def _videos_below(folder: Path, above: tuple[str, ...]) -> Iterator[Path]:
    """Videos at any depth; `above` holds the real paths of the parent folders, to stop at loops of links."""
    real = os.path.realpath(folder)
    if real in above:
        return
    frame, videos = None, []
    for entry in pixels.visible(folder):
        if entry.is_dir():
            videos += [] if entry.name.endswith("_gt") else list(_videos_below(entry, (*above, real)))
        elif is_video(entry):
            videos.append(entry)
        elif pixels.is_image(entry) and frame is None:
            frame = entry
    if frame and videos:
        raise SourceError(f"the frame {frame} lies beside the video {videos[0]}; move them into separate folders")
    yield from [folder] if frame else videos


def frame_blocks(
    path: Path, *, channels: int = 1, size: tuple[int, int] | None = None, block: int = 64
) -> Iterator[tuple[Tensor, Tensor]]:
    """The frames of a video, decoded in constant memory.

    Args:
        path: a video file or a folder of frames, which are taken in natural order.
        channels: 1 for grey (luma, full range), 3 for RGB.
        size: height and width to scale to; None for the size of the video.
        block: frames per block, fewer if they exceed `BLOCK_BYTES`; the last block may be shorter.

    Yields:
        Frames (k, c, h, w), uint8, or float32 if grey or RGB is stored with more than 8 bits, and their
        times (k,) in seconds from the first frame, as stated in the file.

    Raises:
        SourceError: the path is not a video, has no frames, a damaged or missing part, or frames of several sizes.
    """
    pixels.check_channels(channels)
    first: Tensor | None = None
    begin = 0.0
    frames: list[Tensor] = []
    times: list[float] = []
    damage: list[SourceError] = []
    for number, (frame, time) in enumerate(_to_damage((_folder if path.is_dir() else _file)(path, channels), damage)):
        if first is None:
            first, begin = frame, time
        if frame.shape != first.shape:
            sizes = f"{_by(frame)} pixels (h x w) and earlier ones {_by(first)}"
            raise SourceError(f"{path}: frame {number} has {sizes}; split or scale the video to a single size")
        with memory_guard("scale the video down, or give the model a smaller --size"):
            frames.append((frame if size is None else pixels.resize(frame, size)).to(first.dtype))
        times.append(time - begin)
        if len(frames) >= min(block, BLOCK_BYTES // frames[0].nbytes):
            yield torch.stack(frames), torch.tensor(times, dtype=torch.float64)
            frames, times = [], []
    if frames:
        yield torch.stack(frames), torch.tensor(times, dtype=torch.float64)
    if damage:
        raise damage[0]
    if first is None:
        raise SourceError(f"{path} has no frames; record or convert it again")


def _to_damage(frames: Iterator[tuple[Tensor, float]], damage: list[SourceError]) -> Iterator[tuple[Tensor, float]]:
    """Frames up to the first that cannot be read; `damage` receives its error, to be raised after these frames."""
    try:
        yield from frames
    except SourceError as error:
        damage.append(error)


def _by(frame: Tensor) -> str:
    return f"{frame.shape[-2]} x {frame.shape[-1]}"


def frame_files(folder: Path) -> list[Path]:
    """The frames of a folder of frames, in their order."""
    return [entry for entry in pixels.visible(folder) if pixels.is_image(entry) and entry.is_file()]


def _folder(path: Path, channels: int) -> Iterator[tuple[Tensor, float]]:
    """Frames of a folder with their times; all are float32 if any of them has 16 bits."""
    files = frame_files(path)
    deep = any(map(_deep, files))
    for number, file in enumerate(files):
        frame = pixels.decode(file, channels)
        yield frame.float() if deep else frame, number / FRAME_RATE


def _deep(file: Path) -> bool:
    """Whether a frame has 16 bits; not if its header is damaged, which is reported when the frame is decoded."""
    try:
        return pixels.header(file).deep
    except SourceError:
        return False


def _file(path: Path, channels: int) -> Iterator[tuple[Tensor, float]]:
    """Frames of a video file with their times."""
    return ((frame_pixels(frame, channels), time) for frame, time in decoded(path))


def decoded(path: Path) -> Iterator[tuple[av.VideoFrame, float]]:
    """Frames of a video file as FFmpeg decodes them, with their times in seconds; its errors become SourceErrors."""
    pixels.check_readable(path)
    number, end, promised = 0, 0.0, 0.0
    try:
        # "file:" keeps FFmpeg from taking a name with a colon for a network address
        with av.open(f"file:{path}", "r", metadata_errors="replace") as container:
            stream = _stream(container, path)
            stream.thread_type = "AUTO"
            # do not conceal damaged parts, nor allocate memory for a size that a later damaged header claims
            stream.codec_context.options = {"err_detect": "explode", "max_pixels": str(MAX_PIXELS)}
            rate = float(stream.average_rate or FRAME_RATE)  # thousands for a high-speed camera
            promised = _promised(container.format.name, stream, rate)
            for frame in container.decode(stream):
                if frame.is_corrupt:
                    raise _damaged(path, number, end, "the decoder flags the next frame as corrupt")
                time = number / rate if frame.time is None else float(frame.time)
                yield frame, time
                number, end = number + 1, time + _duration(frame, rate)
    except av.FFmpegError as error:
        raise _damaged(path, number, end, str(error.strerror)) from error
    if number and end < promised - 2 / rate:
        raise _damaged(path, number, end, f"its header promises {promised:.2f} s")


def _stream(container: Any, path: Path) -> Any:
    """The first video stream; raises SourceError if it cannot be decoded, or the container's header is damaged."""
    stream = next((stream for stream in container.streams.video if stream.codec_context), None)
    if stream is None:
        raise SourceError(f"{path} has no video stream that can be decoded; convert it to H.264")
    height, width = stream.codec_context.height, stream.codec_context.width
    if height * width > MAX_PIXELS:
        message = f"{path} has frames of {height} x {width} pixels (h x w), over the limit of {MAX_PIXELS:,} pixels"
        raise SourceError(f"{message}; scale it down")
    # FFmpeg takes a container without a readable header for a bare stream, and silently loses frames
    bare = container.format.flags & Flags.no_timestamps.value
    if bare and path.suffix.lower() not in (".mpg", ".mpeg", ".m4v"):
        raise _damaged(path, 0, 0.0, f"it is a bare {container.format.name} stream")
    return stream


def _damaged(path: Path, number: int, seconds: float, reason: str) -> SourceError:
    if not number:
        message = f"{path} cannot be read as a video ({reason}); it is damaged, cut off or of another kind"
        return SourceError(f"{message}: copy or record it again")
    message = f"{path} can be read for {number} frames ({seconds:.2f} s) and no further ({reason})"
    return SourceError(f"{message}; cut or re-encode it, for instance `ffmpeg -i {path} -c:v libx264 fixed.mp4`")


def _promised(container: str, stream: Any, rate: float) -> float:
    """Duration in seconds that the header states, by which a cut-off file is recognised; 0 if it states none."""
    tag = re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", stream.metadata.get("DURATION", ""))
    if tag:  # Matroska
        return int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])
    return stream.frames / rate if container == "avi" else 0.0


def _duration(frame: av.VideoFrame, rate: float) -> float:
    known = frame.time_base and getattr(frame, "duration", None)
    return float(known * frame.time_base) if known and frame.time_base else 1 / rate


def frame_pixels(frame: av.VideoFrame, channels: int) -> Tensor:
    """Pixels (c, h, w) of a decoded frame; grey from RGB as for images, grey from YUV is its luma in full range."""
    kind = frame.format
    deep = kind.components[0].bits > 8 and (kind.is_rgb or kind.name.startswith("gray"))
    colour = channels == 3 or kind.is_rgb or kind.name == "pal8"
    array = pixels.frame_array(
        frame, ("rgb48le" if colour else "gray16le") if deep else ("rgb24" if colour else "gray")
    )
    planes = array.transpose(2, 0, 1) if colour else array[None]
    return pixels.with_channels(pixels.pixels_of_array(planes, "frame"), channels)


def read_video(path: Path, *, channels: int = 1, size: tuple[int, int] | None = None) -> Video:
    """A whole video in memory; see `frame_blocks` and `joined`."""
    return joined(str(path), frame_blocks(path, channels=channels, size=size))


def joined(name: str, blocks: Blocks) -> Video:
    """A whole video from its blocks of frames and times. Warns if its frame rate varies."""
    frames, parts = zip(*blocks, strict=True)
    times = torch.cat(parts)
    steps = times.diff()
    # containers round times, often to 1 ms
    if len(steps) and (steps - steps.median()).abs().max() > 0.1 * steps.median() + 0.001:
        intervals = f"frames follow each other after {steps.min():.3f} to {steps.max():.3f} s"
        advice = "clips treat them as evenly spaced; re-encode at a constant rate if that matters"
        warnings.warn(f"{name} has a variable frame rate ({intervals}); {advice}", MemaeWarning, stacklevel=2)
    return Video(name, frames[0] if len(frames) == 1 else torch.cat(frames), times)


def read_videos(parts: Iterable[tuple[str, Blocks]], most: float) -> tuple[list[Video], str]:
    """Whole videos one after another, and the checksum of all their frames.

    Args:
        parts: name and blocks of each video.
        most: bytes that all frames may take together. If they take more, all are tensors on torch's device "meta",
            which have a shape but no content; such videos are decoded again for each pass, in constant memory.
    """
    videos: list[Video] = []

    def seen() -> Iterator[Tensor]:
        size = 0
        for name, blocks in parts:
            kept: list[Tensor] = []
            times: list[Tensor] = []
            for frames, seconds in blocks:
                yield frames
                size += frames.nbytes
                kept.append(frames)
                times.append(seconds)
                if size > most:
                    kept = [each.to("meta") for each in kept]
            videos.append(joined(name, zip(kept, times, strict=True)))
            if size > most:
                videos[:] = [video._replace(frames=video.frames.to("meta")) for video in videos]

    return videos, digest(seen())


def between(blocks: Blocks, start: int, stop: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Frames `start` to `stop` (exclusive) of a video, and their times; later frames are not decoded."""
    first = 0
    for frames, times in blocks:
        part = slice(max(start - first, 0), stop - first)
        if part.start < len(frames):
            yield frames[part], times[part]
        first += len(frames)
        if first >= stop:
            return


def videos_of_array(X: Any) -> list[Video]:
    """Videos "0", "1", ... of one array (t, h, w), (t, c, h, w) or (t, h, w, c) with c 1 or 3, or of a list of them.

    Raises:
        InputError: an array has another shape or type, or values that are not finite.

    >>> [video.frames.shape for video in videos_of_array(np.zeros((40, 8, 9)))]
    [torch.Size([40, 1, 8, 9])]
    """
    several = isinstance(X, list | tuple) or np.ndim(X) == 5
    arrays = [pixels.array_of(part, "a video") for part in (X if several else [X])]
    if not arrays:
        raise InputError("no videos are given; at least one array (t, h, w) is needed")
    return [_video_of_array(array, str(number)) for number, array in enumerate(arrays)]


def _video_of_array(array: np.ndarray[Any, Any], name: str) -> Video:
    given = array.shape
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[1] not in (1, 3) and array.shape[3] in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    if array.ndim != 4 or array.shape[1] not in (1, 3) or 0 in array.shape:
        raise InputError(
            f"a video must be (t, h, w), (t, c, h, w) or (t, h, w, c) with c 1 or 3; video {name} is {given}. "
            "Join single frames with np.stack(frames)."
        )
    times = torch.arange(len(array), dtype=torch.float64) / FRAME_RATE
    return Video(name, pixels.pixels_of_array(array, f"video {name}"), times)
