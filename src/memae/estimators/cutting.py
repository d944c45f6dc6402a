"""Videos → what trains and the ends that are held out, in memory or as a stream."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from memae.data.clips import Clips, sliding
from memae.data.samples import Streamed
from memae.data.videos import Video, between
from memae.errors import SchemaError
from memae.kinds.following import Footage


def scaled_size(parts: Iterator[Footage], shorter: int) -> tuple[int, int] | None:
    """Height and width of the first frame, its shorter side scaled down to `shorter`; None where there is no frame."""
    first = next(parts, None)
    block = None if first is None else next(iter(first.blocks), None)
    if block is None:
        return None
    height, width = block[0].shape[2:]
    share = min(shorter / min(height, width), 1.0)
    return round(height * share), round(width * share)


def ends(
    videos: Sequence[Video],
    least: int,
    held: Callable[[int, int], int],
    room: int | None = None,
    advice: str = "Give longer ones",
) -> tuple[list[Video], list[Video]]:
    """Each video cut in two: what trains, and the end that is held out; one too short for both trains as a whole.

    No frame is in both.

    Args:
        videos: whole.
        least: frames that either part must have.
        held: how many frames to hold out of a video of so many, among so many videos.
        room: frames of a video that may be held out, where more than `least`; None for any number.
        advice: what to do where all videos are too short.

    Raises:
        SchemaError: nothing could be held out.
    """
    training, held_out = [], []
    for video in videos:
        frames = len(video.frames)
        wanted = held(frames, len(videos))
        cut = frames - max(least, wanted if room is None else min(wanted, room))
        if cut < least:
            training.append(video)
            continue
        training.append(Video(video.name, video.frames[:cut], video.times[:cut]))
        held_out.append(Video(video.name, video.frames[cut:], video.times[cut:]))
    if not held_out:
        longest = max((len(video.frames) for video in videos), default=0)
        told = f"the longest video has {longest} frames; one of at least {2 * least} is needed"
        raise SchemaError(f"{told} to train on its beginning and calibrate on its end. {advice}")
    return training, held_out


def read_ends(parts: Iterable[Footage], videos: Sequence[Video], training: Sequence[Video]) -> list[Video]:
    """What `ends` holds out of videos that are not in memory, read into it."""
    found = []
    for part, whole, begin in zip(parts, videos, training, strict=True):
        if len(begin.frames) < len(whole.frames):
            blocks = between(part.blocks, len(begin.frames), len(whole.frames))
            frames, times = zip(*((frames.clone(), times) for frames, times in blocks), strict=True)
            found.append(Video(whole.name, torch.cat(frames), torch.cat(times)))
    return found


def streamed(parts: Callable[[], Iterator[Footage]], clips: Clips, buffer: int) -> Streamed:
    """Clips of videos that do not fit into memory, decoded in each pass and shuffled through a buffer.

    Args:
        parts: starts a new pass over the videos.
        clips: of the same videos without their pixels, cut to what trains.
        buffer: bytes.
    """

    def decoded() -> Iterator[Tensor]:
        for part, video in zip(parts(), clips.videos, strict=True):
            if len(video.frames) >= clips.length:
                frames = (frames for frames, _ in between(part.blocks, 0, len(video.frames)))
                yield from (clip.to(clips.dtype) for _, clip in sliding(frames, clips.length, clips.step))

    size = math.prod(clips.shape) * clips.dtype.itemsize
    return Streamed(decoded, len(clips), max(buffer // size, 1))
