"""Fits a detector of film whose memory is kept features of frames: a frozen network describes them, nothing is trained.

A frame is scored like a photo, by the distance of each position to the nearest of the kept ones. Scores to calibrate
with must be of another time than the memory: of several videos, each is scored by a memory of the others; a single one
is cut into stretches, and each is scored by a memory of the others without the seconds around it.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from memae.errors import InputError
from memae.estimators.photos import Choose, floor, surveyed
from memae.frame_features import FrameFeatures, FrameSpec
from memae.frames import Floats
from memae.health import Health
from memae.kinds.following import Footage, scores_of_clips
from memae.patches import CANDIDATES, PatchMemory, spread_out
from memae.scoring import Scaling, Scorer
from memae.scoring.photos import PatchDistance
from memae.spec import PatchSpec, Spec, build

ITEMS = 3_000
"""Maximum number of kept positions by default."""
FRAMES = 1_000
"""Maximum number of frames that are described; of longer film, every second of them, every fourth, …"""
FOLDS = 5
"""Maximum number of memories that score what was left out of them."""
APART = 2.0
"""Seconds around a stretch of a single video that are left out of its memory too: people are still the same there."""
POWER = 16
"""Exponent of the mean over the positions of a frame: someone far away covers two of its thousand positions."""
FEWEST = 10
"""Minimum number of frames to describe: of fewer, no stretch can be left out."""


class Sampled(NamedTuple):
    """Frames of films to describe."""

    raw: list[Tensor]  # (c, h, w) each
    video: Tensor  # (n,): number of each frame's video
    number: Tensor  # (n,): of each frame in its video
    names: list[str]  # of the videos
    frames: int  # of all videos, described or not
    spacing: int  # frames from one described frame to the next


class KeptFilms(NamedTuple):
    """A detector that keeps features of frames."""

    scorer: Scorer  # without calibrations
    spec: Spec
    scores: Floats  # (n,): smoothed scores of frames that were left out of the memory
    peaks: Tensor  # (n,): the highest value of the map of each of them
    error: float  # mean distance of their positions to the nearest item
    health: Health
    frame: Tensor  # (items,): the sampled frame that each item comes from
    position: Tensor  # (items,): its position in that frame's map, row by row


def sampled(footage: Iterable[Footage], step: int) -> Sampled:
    """Every `step`-th frame of each video; of long film, of a multiple of `step`, so that they are `FRAMES` at most.

    Raises:
        InputError: there are fewer than `FEWEST`.
    """
    held: list[tuple[int, int, Tensor]] = []
    names, frames, spacing = [], 0, step
    for video, film in enumerate(footage):
        names.append(str(film.name))
        number = 0
        for block, _ in film.blocks:
            for frame in block:
                if number % spacing == 0:
                    held.append((video, number, frame.clone()))
                number += 1
            while len(held) > FRAMES:
                spacing *= 2
                held = [each for each in held if each[1] % spacing == 0]
        frames += number
    if len(held) < FEWEST:
        raise InputError(
            f"the videos have {frames} frames, of which one in {step} is learned; at least {FEWEST * step} are "
            "needed, and a minute or more makes sense"
        )
    videos, numbers, raw = zip(*held, strict=True)
    return Sampled(list(raw), torch.tensor(videos), torch.tensor(numbers), names, frames, spacing)


def light(frames: Sequence[Tensor], scaling: Scaling) -> tuple[float, float]:
    """Mean and standard deviation of the pixels of a frame `(c, h, w)`, in 0 … 1: the mean over all frames."""
    each = [(float(x.mean()), float(x.std(correction=0))) for x in (scaling(frame[None])[0] for frame in frames)]
    level, contrast = np.mean(each, axis=0).tolist()
    return level, contrast


@torch.no_grad()
def keep_films(
    films: Sampled,
    spec: FrameSpec,
    features: FrameFeatures,
    *,
    scaling: Scaling,
    most: int,
    smooth: int,
    rate: float,
    random: torch.Generator,
    choose: Choose = spread_out,
) -> KeptFilms:
    """Keeps features of frames as a memory and calibrates the distance to them.

    Args:
        films: frames to learn.
        spec: describes the features.
        features: with their weights, not normalised.
        scaling: brings pixels to 0 … 1.
        most: maximum number of positions to keep.
        smooth: frames over which scores are smoothed.
        rate: frames a second.
        random: chooses positions.
        choose: the positions to keep.
    """
    features = features.in_light(*light(films.raw, scaling)).eval()
    # in half precision, 1000 frames take half a gigabyte; items and scores of left-out frames alone come from them
    maps = [features.joined(scaling(frame[None, :, None])).half() for frame in films.raw]
    candidates = _Candidates.of(maps, random)
    keep = partial(_kept, spec, features, scaling, candidates, most=most, random=random, choose=choose)
    kept = keep(torch.ones(len(maps), dtype=torch.bool))
    scores, peaks, errors = [], [], []
    for fold, known in folds(films, rate):
        one = keep(known).scorer
        for video in sorted({*films.video[fold].tolist()}):
            stretch = fold[films.video[fold] == video]
            found = [_measured(one, maps[index]) for index in stretch.tolist()]
            values = torch.stack([each.value for each in found])[:, None]
            scores.append(scores_of_clips(one, values, 1, smooth, films.spacing))
            peaks += [each.peak for each in found]
            errors += [each.error for each in found]
    survey = candidates.features[torch.randperm(len(candidates.features), generator=random)]
    return KeptFilms(
        kept.scorer,
        kept.spec,
        np.concatenate(scores),
        torch.stack(peaks),
        float(np.mean(errors)),
        surveyed(kept.scorer, survey),
        candidates.frame[kept.chosen],
        candidates.position[kept.chosen],
    )


def folds(films: Sampled, rate: float) -> Iterator[tuple[Tensor, Tensor]]:
    """Left-out frames, and which frames a memory without them knows `(n,)`, bool: each frame is left out once.

    Whole videos are left out; of a single video, stretches, with the frames `APART` seconds around them.
    """
    count, videos = len(films.raw), sorted({*films.video.tolist()})
    if len(videos) > 1:
        for first_of in range(min(FOLDS, len(videos))):  # of videos filmed one after another, others stay in the memory
            out = torch.isin(films.video, torch.tensor(videos[first_of::FOLDS]))
            yield out.nonzero().flatten(), ~out
        return
    for fold in torch.arange(count).chunk(FOLDS):
        margin = round(APART * rate)
        first, last = films.number[fold[0]] - margin, films.number[fold[-1]] + margin
        known = (films.number < first) | (films.number > last)
        if not known.any():  # the whole film takes some seconds
            known = ~torch.isin(torch.arange(count), fold)
        yield fold, known


class _Candidates(NamedTuple):
    """Features of random positions, not normalised, among which items are chosen."""

    features: Tensor  # (m, p)
    frame: Tensor  # (m,): number of the sampled frame
    position: Tensor  # (m,): in the map of that frame, row by row

    @classmethod
    def of(cls, maps: Sequence[Tensor], random: torch.Generator) -> "_Candidates":
        each = -(-CANDIDATES // len(maps))
        positions = [torch.randperm(found[0, 0].numel(), generator=random)[:each].sort().values for found in maps]
        rows = [found[0].flatten(1).T[index].float() for found, index in zip(maps, positions, strict=True)]
        frame = torch.arange(len(maps)).repeat_interleave(torch.tensor([len(index) for index in positions]))
        return cls(torch.cat(rows), frame, torch.cat(positions))


class _Kept(NamedTuple):
    scorer: Scorer
    spec: Spec
    chosen: Tensor  # (items,): the candidates that are items


def _kept(
    spec: FrameSpec,
    features: FrameFeatures,
    scaling: Scaling,
    candidates: _Candidates,
    known: Tensor,
    *,
    most: int,
    random: torch.Generator,
    choose: Choose,
) -> _Kept:
    """A memory of the candidates that come from the frames that are `known` `(n,)`."""
    allowed = known[candidates.frame].nonzero().flatten()
    rows = candidates.features[allowed]
    scaled = features.scaled(rows.mean(0), rows.std(0, correction=0))
    patches = scaled.normalised(rows)
    chosen = choose(patches, most, random)
    model_spec = Spec(spec.shape, (), memory=PatchSpec(len(chosen), spec.patches), features=spec)
    model = build(model_spec)
    memory = model.memory
    assert isinstance(memory, PatchMemory)  # noqa: S101 (see the spec)
    memory.remember(patches[chosen])
    measure = PatchDistance(floor(memory.isolation), POWER, smoothed=False)
    return _Kept(Scorer(model, scaling, [measure], features=scaled).eval(), model_spec, allowed[chosen])


class _LeftOut(NamedTuple):
    """Measures of a frame that is not in the memory."""

    value: Tensor  # ()
    peak: Tensor  # (): the highest value of its map
    error: float  # mean distance of its positions to the nearest item


def _measured(scorer: Scorer, features: Tensor) -> _LeftOut:
    """Measures a frame by its features, not normalised `(1, p, rows, columns)`."""
    assert scorer.features is not None  # noqa: S101 (of frames)
    x = scorer.features.normalised(features.float())
    found = scorer.model(x)
    value, parts = scorer.measures[0](x, found)
    assert found.distance is not None  # noqa: S101 (of kept patches)
    return _LeftOut(value[0], parts.amax(), float(found.distance.mean()))
