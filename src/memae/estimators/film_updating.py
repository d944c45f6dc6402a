"""Adds normal frames to a copy of a fitted detector of film: their positions join the memory, nothing is trained.

A new normal day sets the threshold anew, by the new videos, each left out of the memory. An alarm that was normal does
not: its few seconds join the memory, and the threshold stays.
"""

import copy
import time
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import Tensor

from memae.data.samples import digest
from memae.errors import InputError, MemaeWarning, OptionError
from memae.estimators.base import Estimator
from memae.estimators.examples import added_examples, film_examples
from memae.estimators.films import (
    Candidates,
    Sampled,
    Taken,
    away,
    beyond,
    distance_of,
    maps_of,
    measured,
    remembering,
    scores_left_out,
)
from memae.estimators.photo_updating import repeated
from memae.estimators.photos import surveyed
from memae.frame_features import FrameFeatures, FrameSpec
from memae.health import Health
from memae.kinds.following import Footage
from memae.modelfile import artifact
from memae.options import Epoch
from memae.patches import PatchMemory, farthest_first
from memae.scoring import Scorer
from memae.scoring.calibration import Calibration
from memae.spec import Spec

Detector = TypeVar("Detector", bound=Estimator)

LEARNED = (
    "frames can be added to a memory of kept positions; the memory of this detector was trained on pixels. Fit it anew "
    "with all videos, the old and the new ones, or once without n_items (needs memae[features]), and update that"
)
"""Why a detector cannot be updated."""
SEEN = (
    "{seen} of {videos} new videos have positions that the memory already holds: if the detector was fitted or updated "
    "with them, the new threshold is too low, so give videos that it has not seen"
)
"""What is said of videos that may be in the memory."""

Span = tuple[float, float]
"""First and last second of a stretch of a video."""


class Accepted(NamedTuple, Generic[Detector]):
    """A detector to which alarms that were normal have been added."""

    detector: Detector
    added: int  # number of positions of these alarms that are kept
    replaced: int  # number of positions given up for them
    before: tuple[float, ...]  # the highest score of each alarm by the former memory …
    after: tuple[float, ...]  # … and by this one


class _Grown(NamedTuple):
    """A memory to which positions have been added."""

    scorer: Scorer  # without calibrations
    spec: Spec
    stayed: Tensor  # (old,): the items of before that stay, which come first
    chosen: Tensor  # (new,): the candidates that are items


class _Highest(NamedTuple):
    """What the frames of an alarm score."""

    score: float  # the highest, smoothed
    error: float  # mean distance of their positions to the nearest item


class _Memory:
    """The memory of a fitted detector, which takes more positions.

    Args:
        detector: fitted, not changed.
        most: maximum number of positions to keep.
        random: chooses positions.
    """

    def __init__(self, detector: Estimator, most: int, random: torch.Generator) -> None:
        scorer, spec = detector.scorer_.replaced(network=None), detector.spec_.features
        check_kept(detector)
        assert isinstance(spec, FrameSpec)  # noqa: S101 (as checked)
        assert isinstance(scorer.features, FrameFeatures)  # noqa: S101 (as checked)
        assert isinstance(scorer.model.memory, PatchMemory)  # noqa: S101 (as checked)
        self.scorer, self.spec, self.memory = scorer.eval(), spec, scorer.model.memory
        self.features = scorer.features
        self.most, self.random = most, random

    def with_rows(self, candidates: Candidates, allowed: Tensor) -> _Grown:
        """The memory after old items and candidates, of which `allowed` are their numbers, have competed for it."""
        old = self.memory.items.detach()
        together = torch.cat([old, self.features.normalised(candidates.features[allowed])])
        chosen = farthest_first(together, min(self.most, len(together)), self.random).sort().values
        scorer, spec = remembering(together[chosen], self.spec, self.features, self.scorer.scaling)
        scorer = beyond(scorer, distance_of(self.scorer).common)
        return _Grown(scorer, spec, chosen[chosen < len(old)], allowed[chosen[chosen >= len(old)] - len(old)])


def check_kept(detector: Estimator) -> None:
    """Refuses a detector whose memory was trained.

    Raises:
        OptionError: it was.
    """
    if not isinstance(detector.spec_.features, FrameSpec):
        raise OptionError(LEARNED)


@torch.no_grad()
def grown(detector: Detector, films: Sampled, *, smooth: int, rate: float, most: int, root: Path | None) -> Detector:
    """A copy of `detector` whose memory holds positions of more videos; the detector stays unchanged.

    The scale of features and the light to which frames are brought stay. Threshold and that of maps are those of the
    new videos, each left out of the memory.

    Args:
        detector: fitted, with kept positions.
        films: frames of the new videos.
        smooth: frames over which scores are smoothed.
        rate: frames a second.
        most: maximum number of positions that the copy keeps.
        root: folder that videos are named relative to; None for arrays.

    Raises:
        OptionError: the memory was trained.
        InputError: too few frames for the false-alarm rate.
    """
    calibration = detector.calibration_
    needed = int(np.ceil(1 / calibration.false_alarm_rate - 1e-9)) - 1
    if len(films.raw) < needed:
        raise InputError(
            f"{films.frames} new frames, of which one in {films.spacing} is learned, can promise a false-alarm rate of "
            f"{1 / (len(films.raw) + 1):.3g} at best, not {calibration.false_alarm_rate:.3g}: give "
            f"{needed * films.spacing} or more, or recalibrate to a higher rate first"
        )
    began = time.perf_counter()
    memory = _Memory(detector, most, _random(detector))
    maps = maps_of(films, memory.features, memory.scorer.scaling)
    candidates = Candidates.of(maps, memory.random)
    _warn_of_seen(memory, candidates, films)
    kept = memory.with_rows(candidates, torch.arange(len(candidates.features)))

    def without(known: Tensor) -> Scorer:
        return memory.with_rows(candidates, known[candidates.frame].nonzero().flatten()).scorer

    left_out = scores_left_out(films, maps, without, smooth, rate)
    kept = kept._replace(scorer=beyond(kept.scorer, left_out.common))
    other = _settled(detector, kept, candidates, films, root, left_out.error, began, "update")
    other.recalibrate(left_out.scores, false_alarm_rate=calibration.false_alarm_rate)
    peaks = Calibration(left_out.peaks, other.calibration_.false_alarm_rate)
    other.scorer_ = other.scorer_.replaced(peaks=peaks)
    return other


@torch.no_grad()
def accepted(detector: Detector, films: Sampled, *, smooth: int, most: int, root: Path | None) -> Accepted[Detector]:
    """A copy of `detector` for which these alarms are normal; the detector and its threshold stay unchanged.

    Of their frames, the positions that alone exceed the threshold join the memory.

    Args:
        detector: fitted, with kept positions.
        films: frames of the alarms, each as a video of its own.
        smooth: frames over which scores are smoothed.
        most: maximum number of positions that the copy keeps.
        root: folder that videos are named relative to; None for arrays.

    Raises:
        OptionError: the memory was trained.
        InputError: an alarm would still be raised, or none is.
    """
    began = time.perf_counter()
    memory = _Memory(detector, most, _random(detector))
    maps = maps_of(films, memory.features, memory.scorer.scaling)
    limit = detector.calibration_.threshold()
    candidates = _unlike(memory, maps, limit)
    if not len(candidates.features):
        raise InputError(f"none of these frames scores above the threshold, {limit:.4g}: there is nothing to accept")
    kept = memory.with_rows(candidates, torch.arange(len(candidates.features)))
    before, after = (_highest(each, films, maps, smooth) for each in (memory.scorer, kept.scorer))
    raised = [number for number, each in enumerate(after) if each.score > limit]
    if raised:
        raise InputError(
            f"{len(raised)} of {len(after)} alarms would still be raised with {len(kept.chosen)} of their positions in "
            "a memory of " + f"{memory.most}: fit anew with more kept_samples, with these videos among the normal ones"
        )
    error = float(np.mean([each.error for each in before]))
    other = _settled(detector, kept, candidates, films, root, error, began, "accepted alarms, update")
    other.scorer_ = other.scorer_.replaced(calibration=detector.scorer_.calibration, peaks=detector.scorer_.peaks)
    replaced = len(memory.memory.items) - len(kept.stayed)
    highest = (tuple(each.score for each in some) for some in (before, after))
    return Accepted(other, len(kept.chosen), replaced, *highest)


def stretches(footage: Iterable[Footage], times: Sequence[Sequence[Span]], step: int, margin: float) -> Sampled:
    """Every `step`-th frame of stretches of videos, as described in scoring; each stretch is a video of its own.

    Args:
        footage: the videos.
        times: of each video, its stretches, in seconds from its first frame.
        step: frames from one to the next, counted from the first of the video.
        margin: seconds before and after a stretch that belong to it.

    Raises:
        InputError: a stretch has no such frame.
    """
    taken, names, frames = Taken(step), list[str](), 0
    for film, given in zip(footage, times, strict=True):
        parts = [(start - margin, end + margin) for start, end in given]
        first, last, number = len(names), max(end for _, end in parts), 0
        for block, clock in film.blocks:
            for frame, seconds in zip(block, clock.tolist(), strict=True):
                inside = [index for index, (start, end) in enumerate(parts, first) if start <= seconds <= end]
                frames += bool(inside)
                for index in inside:
                    taken.add(index, number, frame)
                number += 1
            if clock[-1] > last:
                break
        names += [str(film.name)] * len(parts)
        for index, (start, end) in enumerate(given, first):
            if all(video != index for video, _, _ in taken.held):
                raise InputError(f"{film.name} has no frame to learn between {start:.3f} s and {end:.3f} s")
    return taken.of(names, frames)


def _random(detector: Estimator) -> torch.Generator:
    return torch.Generator().manual_seed(int(check_random_state(detector.random_state).randint(2**31 - 1)))


def _warn_of_seen(memory: _Memory, candidates: Candidates, films: Sampled) -> None:
    """Warns if the memory holds positions of the new videos: it may have been fitted to them."""
    seen = len({*films.video[candidates.frame[repeated(memory.scorer, candidates.features)]].tolist()})
    if seen:
        warnings.warn(SEEN.format(seen=seen, videos=len(films.names)), MemaeWarning, stacklevel=4)


def _unlike(memory: _Memory, maps: Sequence[Tensor], limit: float) -> Candidates:
    """The positions of frames that alone exceed the threshold: without them, no power mean does."""
    rows, frames, places = [], [], []
    for number, found in enumerate(maps):
        x = memory.features.normalised(found.float())
        local = memory.scorer.measures[0](x, memory.scorer.model(x)).parts
        assert local is not None  # noqa: S101 (of positions)
        position = (local.flatten() > limit).nonzero().flatten()
        rows.append(found[0].flatten(1).T[position].float())
        frames.append(torch.full_like(position, number))
        places.append(position)
    return Candidates(torch.cat(rows), torch.cat(frames), torch.cat(places))


def _highest(scorer: Scorer, films: Sampled, maps: Sequence[Tensor], smooth: int) -> list[_Highest]:
    """What the frames of each alarm score."""
    found = []
    for video in range(len(films.names)):
        far = away(scorer, [maps[index] for index in (films.video == video).nonzero().flatten()])
        scores, _ = measured(scorer, far.local, smooth, films.spacing)
        found.append(_Highest(float(scores.max()), far.error))
    return found


def _settled(
    detector: Detector,
    kept: _Grown,
    candidates: Candidates,
    films: Sampled,
    root: Path | None,
    error: float,
    began: float,
    named: str,
) -> Detector:
    """A copy of the detector with this memory, not calibrated."""
    random = _random(detector)
    survey = candidates.features[torch.randperm(len(candidates.features), generator=random)]
    health: Health = surveyed(kept.scorer, survey)
    number = len(detector.history_)
    epoch = Epoch(number + 1, error, error, 0.0, error, health, time.perf_counter() - began)
    checksum = digest([detector.checksum_.encode(), *films.raw])
    other = copy.deepcopy(detector)
    other._settle(kept.scorer, kept.spec, [*detector.history_, epoch], epoch, checksum, artifact.versions())
    other.learned_ = detector.learned_ + films.frames
    if detector.examples_ is not None:
        assert detector.spec_.features is not None  # noqa: S101 (of frames)
        frame, position = candidates.frame[kept.chosen], candidates.position[kept.chosen]
        space = detector.spec_.features.shape[1:]
        new = film_examples(films, frame, position, space, kept.scorer.scaling, root)
        other.examples_ = added_examples(detector.examples_, kept.stayed, new, f"of {named} {number}")
    return other
