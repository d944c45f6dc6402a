"""Scores the frames of one video, which may be live, by a scorer of clips."""

from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from memae.data.clips import chunks
from memae.data.videos import Blocks
from memae.frames import Floats, smoothed, spread_over_frames
from memae.scoring import Scorer
from memae.scoring.scorer import shown


class Footage(NamedTuple):
    """One video as blocks of frames `(k, c, h, w)` and times, to be read once. It may be live."""

    name: Path | str  # its path, or its name if it is not a file
    blocks: Blocks
    live: bool = False  # whether times are those of arrival, which tell little of when frames were filmed


class FrameScore(NamedTuple):
    """The anomaly score of one frame of a video."""

    video: str  # its path, or its number in a list of arrays
    frame: int  # from 0
    time: float  # seconds from the first frame
    score: float  # that of the clip centred on the frame, or the highest of its map; smoothed
    error_map: Tensor  # (c, h, w): the frame's part of that clip's error map, or (1, h, w): what each position scores


class ScoredClip(NamedTuple):
    """A clip and its scores."""

    pixels: Tensor  # (c, length, h, w), raw
    score: float
    error_map: Tensor
    x_hat: Tensor
    positions: Tensor | None  # (rows, columns), float64: the score of each position; None without positions


class Seen(NamedTuple):
    """One frame and the clip that its score comes from."""

    frame: FrameScore  # before smoothing
    pixels: Tensor  # (c, h, w), raw
    offset: int  # of the frame in the clip, or the nearest offset of the clip if the frame lies before or behind it
    clip: ScoredClip


Cut = Callable[[str, Iterator[Tensor]], Iterator[tuple[int, Tensor]]]
"""(name, blocks of frames) of a video → number of the first frame and pixels `(1, c, length, h, w)` of each clip."""


def followed(scorer: Scorer, footage: Footage, length: int, cut: Cut) -> Iterator[Seen]:
    """Yields each frame of one video, which may be live, as soon as all clips that its score depends on are scored.

    A frame gets the score of the clip centred on it, and its part of that clip's error map. If positions are scored,
    its map is the mean over the clips that contain the frame, and its score is the highest of the map.

    Args:
        scorer: of clips.
        footage: the video.
        length: frames per clip.
        cut: cuts the video into clips.
    """
    seen = _nearest(scorer, footage, length, cut)
    if not scorer.by_position:
        yield from seen
        return
    for each, positions in smoothed(((each, _positions(each)) for each in seen), length):
        frame = each.frame._replace(
            score=float(positions.max()), error_map=shown(positions[None], each.pixels.shape[1:])[0]
        )
        yield each._replace(frame=frame)


def _nearest(scorer: Scorer, footage: Footage, length: int, cut: Cut) -> Iterator[Seen]:
    """Each frame with the clip that is centred nearest to it."""
    waiting: deque[tuple[float, Tensor]] = deque()  # time and pixels of frames without a score
    name, count = str(footage.name), 0

    def blocks() -> Iterator[Tensor]:
        nonlocal count
        for frames, seconds in footage.blocks:
            waiting.extend(zip(seconds.tolist(), frames, strict=True))
            count += len(frames)
            yield frames

    for frame, start, clip in spread_over_frames(_scored(scorer, cut(name, blocks())), length, lambda: count):
        time, pixels = waiting.popleft()
        offset = min(max(frame - start, 0), length - 1)
        part_of_map = clip.error_map[:, min(offset, clip.error_map.shape[1] - 1)]
        yield Seen(FrameScore(name, frame, time, clip.score, part_of_map), pixels, offset, clip)


def _positions(seen: Seen) -> Tensor:
    assert seen.clip.positions is not None  # noqa: S101 (the scorer has positions)
    return seen.clip.positions


def _scored(scorer: Scorer, clips: Iterator[tuple[int, Tensor]]) -> Iterator[tuple[int, ScoredClip]]:
    """Number of the first frame of each clip, and the clip with its scores."""
    starts: list[int] = []
    for together in chunks(clips, scorer.chunk, starts):
        (found,) = scorer.batched([together])
        positions = scorer.positions(found.measures).double() if scorer.by_position else [None] * len(together)
        maps = found.error_map
        if scorer.features is not None:  # of positions of the features
            maps = shown(maps[:, 0], together.shape[-2:])[:, :, None]
        for each in zip(together, found.score.tolist(), maps, found.x_hat, positions, strict=True):
            yield starts.pop(0), ScoredClip(*each)


def scores_of_clips(scorer: Scorer, measures: Tensor, length: int, smooth: int, step: int) -> Floats:
    """Smoothed scores of the frames on which the clips of one video are centred.

    Args:
        scorer: of clips.
        measures: `Scores.measures` of the video's clips.
        length: frames per clip.
        smooth: frames over which scores are smoothed.
        step: frames from the start of one clip to the next.

    Returns:
        `(n,)` for n clips.
    """
    if scorer.by_position:
        maps = smoothed(((None, each) for each in scorer.positions(measures).double()), _clips_of(length, step))
        scores = [float(positions.max()) for _, positions in maps]
    else:
        scores = scorer.score(measures).double().tolist()
    return np.array([score for _, score in smoothed(((None, score) for score in scores), _clips_of(smooth, step))])


def _clips_of(frames: int, step: int) -> int:
    """Number of clips centred within a window of `frames` frames around a clip's centre."""
    return 2 * (frames // 2 // step) + 1
