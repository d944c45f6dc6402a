"""Scores of clips → the score and the map of each frame, while frames are still coming."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from torch import Tensor

from memae.data.clips import chunks
from memae.frames import Floats, smoothed, spread_over_frames
from memae.scoring import Scorer


class FrameScore(NamedTuple):
    """The anomaly of one frame of a video."""

    video: str  # its path, or its number in a list of arrays
    frame: int  # from 0
    time: float  # seconds from the first frame
    score: float  # that of the clip centred on the frame, or the highest of its map; smoothed
    error_map: Tensor  # (c, h, w): the frame's own part of that clip's error, or (1, h, w): the score of each place


def frames_of_clips(
    scorer: Scorer, clips: Iterator[tuple[int, Tensor]], shape: tuple[int, ...], count: Callable[[], int]
) -> Iterator[tuple[int, float, Tensor]]:
    """Number, score and map of each frame, in constant memory.

    A frame has the score of the clip centred on it, and its own part of that clip's error. Where places are scored, its
    map is the mean over the clips that hold it, and its score the highest of the map.

    Args:
        scorer: of clips.
        clips: first frame and pixels of each.
        shape: of a clip, `(c, t, h, w)`.
        count: asked for the number of frames when the clips have ended.
    """
    starts: list[int] = []
    _, length, *size = shape
    found = scorer.batched(chunks(clips, scorer.chunk, starts), reasons=scorer.level is None)
    if scorer.level is None:
        scored = (
            (starts.pop(0), (float(score), error_map))
            for scores in found
            for score, error_map in zip(scores.score, scores.error_map, strict=True)
        )
        for frame, start, (score, error_map) in spread_over_frames(scored, length, count):
            yield frame, score, error_map[:, min(frame - start, length - 1)]
        return
    places = ((starts.pop(0), each) for scores in found for each in scorer.everywhere(scores.measures).double())
    spread = ((frame, each) for frame, _, each in spread_over_frames(places, length, count))
    for frame, each in smoothed(spread, length):
        yield frame, float(each.max()), scorer.shown(each[None], size)[0]


def told_of_clips(scorer: Scorer, measures: Tensor, length: int, smooth: int, step: int) -> Floats:
    """Smoothed scores of the frames on which the clips of one video are centred.

    Args:
        scorer: of clips.
        measures: of its clips, `Scores.measures`.
        length: frames a clip.
        smooth: frames over which scores are smoothed.
        step: frames from one clip to the next.
    """
    if scorer.level is None:
        scores = scorer.weighed(measures).double().tolist()
    else:
        places = ((None, each) for each in scorer.everywhere(measures).double())
        scores = [float(each.max()) for _, each in smoothed(places, 2 * (length // 2 // step) + 1)]
    width = 2 * (smooth // 2 // step) + 1
    return np.array([score for _, score in smoothed(((None, score) for score in scores), width)])
