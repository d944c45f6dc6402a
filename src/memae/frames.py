"""Clips → frames, and the scores of frames put on one scale: section 4.2 and Eq. 11 of the paper."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]
T = TypeVar("T")
V = TypeVar("V", float, Tensor)


def spread_over_frames(
    clips: Iterable[tuple[int, T]], length: int, count: Callable[[], int]
) -> Iterator[tuple[int, int, T]]:
    """Gives each frame of a video the clip centred on it (section 4.2), or else the one whose centre is nearest.

    A clip of `length` frames from s is centred on frame s + length // 2. Frames before the first centre and after
    the last get the first and the last clip (NOTE[DIFF] edge-frames: the paper is silent on them).
    Works on a stream: a frame comes as soon as the clip after its own has come.

    Args:
        clips: first frame of each clip, ascending, and what belongs to the clip.
        length: frames a clip.
        count: asked for the number of frames of the video when the clips have ended.

    Yields:
        frame, first frame of its clip, and what belongs to that clip.

    Example:
        >>> [clip for _, clip, _ in spread_over_frames([(0, "a"), (1, "b"), (2, "c")], 4, lambda: 6)]
        [0, 0, 0, 1, 2, 2]
    """
    frame, held = 0, None
    for start, value in clips:
        if held is not None:
            last = (held[0] + start) // 2 + length // 2
            for u in range(frame, last + 1):
                yield u, *held
            frame = last + 1
        held = start, value
    if held is not None:
        for u in range(frame, count()):
            yield u, *held


def normality(errors: Floats) -> Floats:
    """Normality score p_u in [0, 1] of each frame of one whole video, higher = more normal; Eq. 11.

    All 1 where every frame has the same error.

    Example:
        >>> normality(np.array([1.0, 2.0, 3.0])).tolist()
        [1.0, 0.5, 0.0]
    """
    spread = errors.max() - errors.min()
    return np.asarray(1 - (errors - errors.min()) / (spread if spread > 0 else 1.0))


def causal(errors: Floats, low: float, high: float) -> Floats:
    """Anomaly score in [0, 1] of each frame from the frames up to it alone: Eq. 11 for a stream that has no end.

    Minimum and maximum start as those of held-out normal frames and widen as frames come.

    Args:
        errors: error of each frame `(t,)`.
        low: lowest error of held-out normal frames.
        high: highest error of held-out normal frames.

    Example:
        >>> causal(np.array([1.0, 5.0, 3.0]), low=1.0, high=3.0).tolist()
        [0.0, 1.0, 0.5]
    """
    least = np.minimum(np.minimum.accumulate(errors), low)
    most = np.maximum(np.maximum.accumulate(errors), high)
    spread = most - least
    return (errors - least) / np.where(spread > 0, spread, 1.0)


class Causal:
    """`causal`, one frame after another in constant memory.

    Args:
        low: lowest error of held-out normal frames.
        high: highest error of held-out normal frames.

    Example:
        >>> normalise = Causal(low=1.0, high=3.0)
        >>> [normalise(error) for error in (1.0, 5.0, 3.0)]
        [0.0, 1.0, 0.5]
    """

    def __init__(self, low: float, high: float) -> None:
        self.low = low
        self.high = high

    def __call__(self, error: float) -> float:
        """Anomaly score in [0, 1] of the next frame."""
        self.low = min(self.low, error)
        self.high = max(self.high, error)
        spread = self.high - self.low
        return (error - self.low) / (spread if spread > 0 else 1.0)


def smoothed(scores: Iterable[tuple[T, V]], width: int) -> Iterator[tuple[T, V]]:
    """Scores of the frames of one video, each as the mean over the `width` frames around it that are there.

    Works on a stream: a frame comes as soon as the last one of those around it has come.

    Args:
        scores: what belongs to a frame, and its score, in their order; or, instead of a score, one for each place.
        width: frames, an odd number, else one more; 1 leaves scores as they are.

    Example:
        >>> list(smoothed([("a", 0.0), ("b", 3.0), ("c", 6.0), ("d", 0.0)], 3))
        [('a', 1.5), ('b', 3.0), ('c', 3.0), ('d', 3.0)]
    """
    half = width // 2
    around: deque[V] = deque(maxlen=2 * half + 1)
    waiting: deque[T] = deque()
    seen = 0
    for frame, score in scores:
        around.append(score)
        waiting.append(frame)
        seen += 1
        if seen > half:
            yield waiting.popleft(), _mean(around)
    while waiting:
        # the scores before the frame that is next: half of them, less where the video is shorter
        before = min(seen - len(waiting), half)
        while len(around) > before + len(waiting):
            around.popleft()
        yield waiting.popleft(), _mean(around)


def _mean(values: deque[V]) -> V:
    total = values[0]
    for each in islice(values, 1, None):
        total = total + each
    return total / len(values)
