"""Plays a video at the frame rate of the training videos, so that speeds are the same whatever the camera's rate."""

import math
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from memae.data.videos import Blocks
from memae.kinds.following import Seen

LONGEST = 2.0
"""Seconds between two frames beyond which nothing is interpolated: what happened between them was not filmed."""
EARLY = 0.3
"""Share of an interval by which a frame may come early: times jitter, and files round them to milliseconds."""


class _Frame(NamedTuple):
    """A frame as filmed, and the number of the frame at the other rate that it counts as."""

    tick: int
    time: float  # seconds
    pixels: Tensor  # (c, h, w)


class Paced:
    """A video at a constant rate, by the times of its frames.

    Of a film with more frames a second some are taken; for one with fewer, frames are interpolated linearly
    between those filmed. At the rate itself, blocks pass as they are.

    Args:
        blocks: frames `(k, c, h, w)` and their times `(k,)` in seconds, to be read once.
        rate: frames a second.
    """

    def __init__(self, blocks: Blocks, rate: float) -> None:
        self.given = blocks
        self.rate = rate
        self.waiting: deque[_Frame] = deque()  # frames as filmed, without a score

    def blocks(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The frames at the constant rate, and their times."""
        tick, start = -1, 0.0
        last: _Frame | None = None
        for frames, seconds in self.given:
            played, same = list[Tensor](), True
            for pixels, time in zip(frames, seconds.tolist(), strict=True):
                if last is None or time - last.time > LONGEST:
                    start = time - (tick + 1) / self.rate
                here = max(math.floor((time - start) * self.rate + EARLY), tick)
                same = same and here == tick + 1
                if last is not None and here > tick:
                    played += [_between(last.pixels, pixels, (k - tick) / (here - tick)) for k in range(tick + 1, here)]
                if here > tick:
                    played.append(pixels)
                    tick = here
                last = _Frame(here, time, pixels)
                self.waiting.append(last)
            if played:
                times = torch.arange(tick + 1 - len(played), tick + 1, dtype=torch.float64) / self.rate
                yield (frames if same else torch.stack(played)), times

    def as_filmed(self, found: Iterable[tuple[Seen, float]]) -> Iterator[tuple[Seen, float]]:
        """The frames as filmed, each with what was found for the frame at the constant rate that it counts as.

        Args:
            found: frames of `blocks`, all and in order, and their scores.
        """
        number = 0
        for tick, (seen, score) in enumerate(found):
            while self.waiting and self.waiting[0].tick == tick:
                frame = self.waiting.popleft()
                own = seen.frame._replace(frame=number, time=frame.time)
                yield seen._replace(frame=own, pixels=frame.pixels), score
                number += 1


def _between(before: Tensor, after: Tensor, share: float) -> Tensor:
    """A frame between two, `share` of the way."""
    mixed = torch.lerp(before.float(), after.float(), share)
    return mixed.to(before.dtype) if before.is_floating_point() else mixed.round().to(before.dtype)
