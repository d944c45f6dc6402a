"""Splits videos into training parts and held-out ends, in memory or as a stream."""

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
    """Height and width of the first frame with its shorter side scaled down to `shorter`; None without frames."""
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
    """Cuts each video into a training part and a held-out end, without overlap.

    A video that is too short for both is used for training as a whole.

    Args:
        videos: whole.
        least: minimum frames of each part.
        held: (frames of a video, number of videos) → frames to hold out.
        room: maximum frames to hold out of a video, but no less than `least`; None for no maximum.
        advice: end of the error message if all videos are too short.

    Raises:
        SchemaError: all videos are too short.
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
        raise SchemaError(
            f"the longest video has {longest} frames; one of at least {2 * least} is needed to train on its beginning "
            f"and calibrate on its end. {advice}"
        )
    return training, held_out


def read_ends(parts: Iterable[Footage], videos: Sequence[Video], training: Sequence[Video]) -> list[Video]:
    """Reads the held-out ends of videos that `ends` has cut without their pixels into memory."""
    held_out = []
    for part, whole, begin in zip(parts, videos, training, strict=True):
        if len(begin.frames) < len(whole.frames):
            blocks = between(part.blocks, len(begin.frames), len(whole.frames))
            frames, times = zip(*((frames.clone(), times) for frames, times in blocks), strict=True)
            held_out.append(Video(whole.name, torch.cat(frames), torch.cat(times)))
    return held_out


def streamed(parts: Callable[[], Iterator[Footage]], clips: Clips, buffer: int) -> Streamed:
    """Clips of videos that do not fit into memory, decoded in each pass and shuffled through a buffer.

    Args:
        parts: starts a new pass over the videos.
        clips: of the same videos, cut to their training parts, without pixels.
        buffer: size of the shuffle buffer in bytes.
    """

    def decoded() -> Iterator[Tensor]:
        for part, video in zip(parts(), clips.videos, strict=True):
            if len(video.frames) >= clips.length:
                frames = (frames for frames, _ in between(part.blocks, 0, len(video.frames)))
                yield from (clip.to(clips.dtype) for _, clip in sliding(frames, clips.length, clips.step))

    size = math.prod(clips.shape) * clips.dtype.itemsize
    return Streamed(decoded, len(clips), max(buffer // size, 1))
