"""Clips of videos: indexed samples of videos in memory, or cut from a stream of frames."""

import warnings
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from memae.data.videos import Video
from memae.errors import InputError, MemaeWarning, OptionError, SchemaError


class Clips:
    """All clips of `length` consecutive frames in videos, as indexed samples (c, length, h, w).

    Only the clips of one batch are copied. Videos shorter than a clip are left out with a warning.

    Args:
        videos: videos of one frame size.
        length: frames per clip.
        step: frames from the start of a clip to the start of the next one.

    Attributes:
        origin: (n, 2) index of the video and start frame of each clip.
        shape: (c, length, h, w) of a clip.

    Raises:
        InputError: no videos are given.
        SchemaError: all videos are shorter than a clip, or frames of two videos differ in shape.
        OptionError: `length` or `step` is below 1.
    """

    def __init__(self, videos: Sequence[Video], length: int, step: int = 1) -> None:
        if length < 1 or step < 1:
            raise OptionError(f"length and step of clips must be at least 1 frame; got {length} and {step}")
        if not videos:
            raise InputError("no videos are given; at least one is needed")
        _check_shapes(videos)
        _check_lengths(videos, length)
        self.videos = list(videos)
        self.length = length
        self.step = step
        channels, height, width = videos[0].frames.shape[1:]
        self.shape = (channels, length, height, width)
        self.dtype = max((video.frames.dtype for video in videos), key=lambda dtype: dtype.itemsize)
        self.origin = torch.tensor(
            [
                (number, start)
                for number, video in enumerate(videos)
                for start in range(0, len(video.frames) - length + 1, step)
            ]
        )

    def __len__(self) -> int:
        return len(self.origin)

    def take(self, index: Tensor) -> Tensor:
        """The clips at the indices `index` (k,), as (k, c, length, h, w)."""
        return torch.stack([self._clip(video, start) for video, start in self.origin[index].tolist()])

    def _clip(self, video: int, start: int) -> Tensor:
        """One clip (c, length, h, w); a view where the dtypes agree."""
        return self.videos[video].frames.unfold(0, self.length, 1)[start].movedim(-1, 1).to(self.dtype)


def sliding(blocks: Iterable[Tensor], length: int, step: int) -> Iterator[tuple[int, Tensor]]:
    """Clips of a stream of frames, in constant memory; the same clips that `Clips` gives.

    Args:
        blocks: consecutive frames (k, c, h, w); blocks may differ in k.
        length: frames per clip.
        step: frames from the start of a clip to the start of the next one.

    Yields:
        The start frame of each clip (0, step, 2 * step, ...) and the clip (1, c, length, h, w).
    """
    held: Tensor | None = None
    first, start = 0, 0  # frame number of held[0], and of the next clip
    for block in blocks:
        held = block if held is None else torch.cat([held, block])
        while start + length <= first + len(held):
            yield start, held[start - first : start - first + length].transpose(0, 1)[None]
            start += step
        gone = min(max(start - first, 0), len(held))
        held, first = held[gone:], first + gone


def chunks(clips: Iterable[tuple[int, Tensor]], size: int, starts: list[int]) -> Iterator[Tensor]:
    """Clips `(1, c, length, h, w)` in batches of `size`; the start frame of each is appended to `starts`."""
    waiting: list[Tensor] = []
    for start, clip in clips:
        starts.append(start)
        waiting.append(clip)
        if len(waiting) == size:
            yield torch.cat(waiting)
            waiting = []
    if waiting:
        yield torch.cat(waiting)


def _check_shapes(videos: Sequence[Video]) -> None:
    first = videos[0]
    for video in videos:
        if video.frames.shape[1:] != first.frames.shape[1:]:
            shapes = f"{tuple(first.frames.shape[1:])} and those of {video.name} {tuple(video.frames.shape[1:])}"
            message = f"frames (c, h, w) of {first.name} are {shapes}"
            raise SchemaError(f"{message}; scale all videos to one size with --size H W (size=(H, W))")


def _check_lengths(videos: Sequence[Video], length: int) -> None:
    short = [video for video in videos if len(video.frames) < length]
    if not short:
        return
    first = f"{short[0].name} has {len(short[0].frames)} frames"
    if len(short) == len(videos):
        raise SchemaError(f"{first}, a clip needs {length}; give longer videos or a smaller clip length")
    message = f"{len(short)} of {len(videos)} videos are shorter than a clip of {length} frames and left out"
    warnings.warn(f"{message}; the first, {first}", MemaeWarning, stacklevel=3)
