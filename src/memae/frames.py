"""Scores of frames from scores of clips, their smoothing and normalisation: section 4.2 and Eq. 11 of the paper."""

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
    """Assigns to each frame of a video the clip centred on it (section 4.2), or else the clip with the nearest centre.

    A clip of `length` frames from s is centred on frame s + length // 2. Frames before the first centre and after
    the last get the first and the last clip (NOTE[DIFF] edge-frames: not specified in the paper).
    Works on a stream: a frame is yielded as soon as the clip after its own is there.

    Args:
        clips: number of the first frame of each clip, ascending, and a value of the clip.
        length: frames per clip.
        count: returns the number of frames of the video; called when the clips have ended.

    Yields:
        number of a frame, number of the first frame of its clip, and the value of that clip.

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
    """Normality score p_u in [0, 1] of each frame of a whole video `(t,)`, higher = more normal; Eq. 11.

    All scores are 1 if all frames have the same error.

    Example:
        >>> normality(np.array([1.0, 2.0, 3.0])).tolist()
        [1.0, 0.5, 0.0]
    """
    spread = errors.max() - errors.min()
    return np.asarray(1 - (errors - errors.min()) / (spread if spread > 0 else 1.0))


def causal(errors: Floats, low: float, high: float) -> Floats:
    """Anomaly score in [0, 1] of each frame from it and earlier frames only: Eq. 11 for endless streams.

    Minimum and maximum start with those of held-out normal frames and are updated by each frame.

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
    """Centred moving average over the scores of one video's frames; at the edges over the frames that exist.

    Works on a stream: a frame is yielded as soon as the last frame of its window is there.

    Args:
        scores: a value and the score of each frame, in order; the score may be a tensor, one score per position.
        width: frames in the window; an even number counts as the next odd one, 1 leaves scores unchanged.

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
        # scores before the next frame: half a window, or fewer in a short video
        before = min(seen - len(waiting), half)
        while len(around) > before + len(waiting):
            around.popleft()
        yield waiting.popleft(), _mean(around)


def _mean(values: deque[V]) -> V:
    total = values[0]
    for each in islice(values, 1, None):
        total = total + each
    return total / len(values)
