"""Fits a detector of film whose memory is kept features of frames: a frozen network describes them, nothing is trained.

A frame is scored like a photo, by the distance of each position to the nearest of the kept ones. Scores to calibrate
with must be of another time than the memory: of several videos, each is scored by a memory of the others; a single one
is cut into stretches, and each is scored by a memory of the others without the seconds around it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
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
from memae.scoring.photos import PatchDistance, common
from memae.spec import PatchSpec, Spec, build

SIDE = 480
"""Maximum length of the shorter side of frames, in pixels, by default."""
A_SECOND = 3
"""Frames a second that are described and scored, at most: people look the same in between."""
STEP = 4
"""Frames from one that is described to the next, where the frame rate is not known."""
UNTRAINED = (
    "with pretrained features nothing is trained, the kept positions are the memory. Give n_items to train a network "
    'from pixels, or features="none"'
)
"""Why settings of a network have no effect."""
ITEMS = 6_000
"""Maximum number of kept positions by default: of fewer, it depends on chance which rare ones are among them."""
FLOOR = 1.0
"""Floor of the isolation of kept positions, as a share of its median."""
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
    names, frames, taken = [], 0, Taken(step)
    for video, film in enumerate(footage):
        names.append(str(film.name))
        number = 0
        for block, _ in film.blocks:
            for frame in block:
                taken.add(video, number, frame)
                number += 1
        frames += number
    if len(taken.held) < FEWEST:
        raise InputError(
            f"the videos have {frames} frames, of which one in {step} is learned; at least {FEWEST * step} are "
            "needed, and a minute or more makes sense"
        )
    return taken.of(names, frames)


class Taken:
    """Frames that are taken to be described: of a video, those whose numbers are multiples of a spacing.

    Args:
        spacing: the first one; it doubles whenever there are more than `FRAMES`.
    """

    def __init__(self, spacing: int) -> None:
        self.spacing = spacing
        self.held: list[tuple[int, int, Tensor]] = []  # number of the video, of the frame, and the frame

    def add(self, video: int, number: int, frame: Tensor) -> None:
        """Takes a frame `(c, h, w)` of a video if its turn has come."""
        if number % self.spacing:
            return
        self.held.append((video, number, frame.clone()))
        if len(self.held) > FRAMES:
            self.spacing *= 2
            self.held = [each for each in self.held if each[1] % self.spacing == 0]

    def of(self, names: list[str], frames: int) -> Sampled:
        """The frames, of videos of these names that have so many `frames` in all."""
        videos, numbers, raw = zip(*self.held, strict=True)
        return Sampled(list(raw), torch.tensor(videos), torch.tensor(numbers), names, frames, self.spacing)


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
    maps = maps_of(films, features, scaling)
    candidates = Candidates.of(maps, random)
    keep = partial(_kept, spec, features, scaling, candidates, most=most, random=random, choose=choose)
    kept = keep(torch.ones(len(maps), dtype=torch.bool))
    left_out = scores_left_out(films, maps, lambda known: keep(known).scorer, smooth, rate)
    survey = candidates.features[torch.randperm(len(candidates.features), generator=random)]
    return KeptFilms(
        beyond(kept.scorer, left_out.common),
        kept.spec,
        left_out.scores,
        left_out.peaks,
        left_out.error,
        surveyed(kept.scorer, survey),
        candidates.frame[kept.chosen],
        candidates.position[kept.chosen],
    )


def maps_of(films: Sampled, features: FrameFeatures, scaling: Scaling) -> list[Tensor]:
    """The features of frames, not normalised `(1, p, rows, columns)` each.

    They are in half precision, in which 1000 frames take half a gigabyte: items come from them, and scores of
    left-out frames.
    """
    return [features.joined(scaling(frame[None, :, None])).half() for frame in films.raw]


class LeftOut(NamedTuple):
    """What frames score that were left out of the memory."""

    scores: Floats  # (n,), smoothed
    peaks: Tensor  # (n,): the highest value of the map of each of them
    error: float  # mean distance of their positions to the nearest item
    common: Tensor  # (): the highest of their common distances


def scores_left_out(
    films: Sampled, maps: Sequence[Tensor], keep: Callable[[Tensor], Scorer], smooth: int, rate: float
) -> LeftOut:
    """Scores each frame by a memory without its video, or its stretch of a single one; see `folds`.

    Args:
        films: the frames.
        maps: their features.
        keep: frames that are known `(n,)`, bool → a scorer whose memory knows them alone.
        smooth: frames over which scores are smoothed.
        rate: frames a second.
    """
    parts = []
    for fold, known in folds(films, rate):
        one = keep(known)
        for video in sorted({*films.video[fold].tolist()}):
            stretch = fold[films.video[fold] == video]
            parts.append((one, away(one, [maps[index] for index in stretch.tolist()])))
    most = torch.stack([common(each.local).amax() for _, each in parts]).amax()
    scores, peaks = zip(
        *(measured(beyond(one, most), each.local, smooth, films.spacing) for one, each in parts), strict=True
    )
    error = np.average([each.error for _, each in parts], weights=[len(each.local) for _, each in parts])
    return LeftOut(np.concatenate(scores), torch.cat(peaks), float(error), most)


class Away(NamedTuple):
    """How far the positions of frames are from the memory."""

    local: Tensor  # (n, 1, rows, columns): local distances
    error: float  # mean distance to the nearest item


def away(scorer: Scorer, maps: Sequence[Tensor]) -> Away:
    """How far frames are from the memory of a scorer, given by their features, not normalised."""
    assert scorer.features is not None  # noqa: S101 (of frames)
    measure, local, errors = distance_of(scorer), list[Tensor](), list[float]()
    for each in maps:
        found = scorer.model(scorer.features.normalised(each.float()))
        local.append(measure.local(found))
        errors.append(float(found.distance.mean()))
    return Away(torch.cat(local), float(np.mean(errors)))


def measured(scorer: Scorer, local: Tensor, smooth: int, spacing: int) -> tuple[Floats, Tensor]:
    """Smoothed scores of frames of one video in order, and the highest value of the map of each `(n,)`.

    Args:
        scorer: measures them.
        local: their local distances `(n, 1, rows, columns)`.
        smooth: frames over which scores are smoothed.
        spacing: frames from one of them to the next.
    """
    value, parts = distance_of(scorer).of(local)
    assert parts is not None  # noqa: S101 (of positions)
    return scores_of_clips(scorer, value[:, None], 1, smooth, spacing), parts.amax((1, 2, 3))


def beyond(scorer: Scorer, most: Tensor | None) -> Scorer:
    """The same scorer of frames with another highest common distance of normal ones."""
    return scorer.replaced(measures=[distance_of(scorer).beyond(most)])


def distance_of(scorer: Scorer) -> PatchDistance:
    """The measure of a scorer of frames."""
    measure = scorer.measures[0]
    assert isinstance(measure, PatchDistance)  # noqa: S101 (of frames)
    return measure


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
        begin, end = films.number[fold[0]] - margin, films.number[fold[-1]] + margin
        known = (films.number < begin) | (films.number > end)
        if not known.any():  # the whole film takes some seconds
            known = ~torch.isin(torch.arange(count), fold)
        yield fold, known


class Candidates(NamedTuple):
    """Features of random positions, not normalised, among which items are chosen."""

    features: Tensor  # (m, p)
    frame: Tensor  # (m,): number of the sampled frame
    position: Tensor  # (m,): in the map of that frame, row by row

    @classmethod
    def of(cls, maps: Sequence[Tensor], random: torch.Generator) -> "Candidates":
        """Random positions of these maps, as many of each."""
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
    candidates: Candidates,
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
    return _Kept(*remembering(patches[chosen], spec, scaled, scaling), allowed[chosen])


def remembering(items: Tensor, spec: FrameSpec, features: FrameFeatures, scaling: Scaling) -> tuple[Scorer, Spec]:
    """A scorer whose memory holds these positions, and its description.

    Args:
        items: normalised features `(n, p)`.
        spec: describes the features.
        features: normalised.
        scaling: brings pixels to 0 … 1.
    """
    model_spec = Spec(spec.shape, (), memory=PatchSpec(len(items), spec.patches), features=spec)
    model = build(model_spec)
    memory = model.memory
    assert isinstance(memory, PatchMemory)  # noqa: S101 (see the spec)
    memory.remember(items)
    measure = PatchDistance(floor(memory.isolation, FLOOR), POWER, smoothed=False)
    return Scorer(model, scaling, [measure], features=features).eval(), model_spec
