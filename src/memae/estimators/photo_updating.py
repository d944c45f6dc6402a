"""Adds normal photos to a copy of a fitted detector of photos: their patches join the memory, nothing is trained."""

import copy
import math
import time
import warnings
from functools import partial
from itertools import chain
from typing import Any, TypeVar

import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from memae.data.samples import digest
from memae.data.tiles import Tiles
from memae.errors import InputError, MemaeWarning, OptionError
from memae.estimators.base import Estimator
from memae.estimators.examples import added_examples, photo_examples
from memae.estimators.photos import (
    CROSSED,
    DESCRIBED,
    Described,
    Fitted,
    KeptPhotos,
    described,
    divided,
    joined_maps,
    measured,
    remembering,
    tell_apart,
    tiles_of_photos,
)
from memae.estimators.wholes import merged
from memae.features import AnyFeatureSpec
from memae.modelfile import artifact
from memae.options import Epoch
from memae.patches import CANDIDATES, TOGETHER, PatchMemory, farthest_first
from memae.scoring import Scorer
from memae.scoring.calibration import Calibration
from memae.scoring.photos import WholeDistance

Detector = TypeVar("Detector", bound=Estimator)

LEARNED = (
    "update adds photos to a memory of kept patches, without training; the memory of this detector was trained, {how}. "
    "Fit it anew with all photos, the old and the new ones{instead}"
)
"""Why a detector cannot be updated."""
SEEN = (
    "{seen} of {photos} new photos have patches that the memory already holds: if the detector was fitted or updated "
    "with them, the new threshold is too low, so give photos that it has not seen. If they are only blank there, all "
    "is well"
)
"""What is said of photos that may be in the memory."""
REPEATED = 1e-3
"""Distance of a patch to an item, as a share of how isolated items are, below which it is that item."""


def grown(detector: Detector, tiles: Tiles, X: Any, *, held_out: int, most: int) -> Detector:
    """A copy of `detector` whose memory holds patches of more photos; the detector stays unchanged.

    The scale of features stays. Old items and new patches compete for the memory, by the rule of `fit`. Mean and
    covariance of the whole are merged. Balance, threshold and that of maps are those of the new photos, each left out
    of what it is compared with.

    Args:
        detector: fitted, of photos.
        tiles: of the new photos.
        X: the new photos, for their names.
        held_out: number of photos to hold out, if there are `CROSSED` or more.
        most: maximum number of patches that the copy keeps.

    Raises:
        OptionError: the memory was learned.
        InputError: too few photos for the threshold.
    """
    check_kept(detector)
    count, calibration, scorer = len(tiles.sizes), detector.calibration_, detector.scorer_
    check_enough(count if count < CROSSED else held_out, count, calibration)
    began = time.perf_counter()
    random = torch.Generator().manual_seed(int(check_random_state(detector.random_state).randint(2**31 - 1)))
    described_by = detector.spec_.features
    assert isinstance(described_by, AnyFeatureSpec)  # noqa: S101 (as checked, of photos)
    share = count / (count + detector.learned_)
    kept = _added(scorer, described_by, tiles, held_out=held_out, most=most, share=share, random=random)
    number, seconds = len(detector.history_), time.perf_counter() - began
    epoch = Epoch(number + 1, kept.error, kept.error, 0.0, kept.error, kept.health, seconds)
    checksum = digest(chain([detector.checksum_.encode()], tiles.contents()))
    other = copy.deepcopy(detector)
    other._settle(kept.scorer, kept.spec, [*detector.history_, epoch], epoch, checksum, artifact.versions())
    other.learned_ = detector.learned_ + count
    other.recalibrate(kept.scores.numpy(), false_alarm_rate=calibration.false_alarm_rate)
    other.scorer_ = other.scorer_.replaced(peaks=Calibration(kept.peaks, calibration.false_alarm_rate))
    if detector.examples_ is not None:
        new = photo_examples(tiles, kept.tile, kept.position, described_by.shape[1:], scorer.scaling, X)
        other.examples_ = added_examples(detector.examples_, kept.stayed, new, f"of update {number}")
    return other


def check_kept(detector: Estimator) -> None:
    """Refuses a detector whose memory was learned.

    Raises:
        OptionError: it was.
    """
    check_is_fitted(detector, "scorer_")
    if detector.spec_.features is None:
        raise OptionError(LEARNED.format(how="on pixels", instead=""))
    if not isinstance(detector.scorer_.model.memory, PatchMemory):
        instead = ", or once without n_items, and update that"
        raise OptionError(LEARNED.format(how="over features (n_items)", instead=instead))


def check_enough(calibrating: int, photos: int, calibration: Calibration) -> None:
    """Refuses photos that are too few for the false-alarm rate.

    Args:
        calibrating: number of new photos that calibrate.
        photos: number of new photos.
        calibration: of the detector.

    Raises:
        InputError: they are too few.
    """
    rate = calibration.false_alarm_rate
    needed = max(math.ceil(1 / rate - 1e-9) - 1, 2)
    if calibrating < needed:
        enough = needed if needed < CROSSED else 3 * needed
        raise InputError(
            f"{photos} new photo{'s' * (photos != 1)} can promise a false-alarm rate of {1 / (calibrating + 1):.3g} at "
            f"best, not {rate:.3g}: collect {enough} or more, or recalibrate to a higher rate first"
        )


def _added(
    before: Scorer,
    spec: AnyFeatureSpec,
    tiles: Tiles,
    *,
    held_out: int,
    most: int,
    share: float,
    random: torch.Generator,
) -> KeptPhotos:
    """The detector with patches of more photos, which are `share` of all."""
    features, scaling = before.features, before.scaling
    assert features is not None  # noqa: S101 (the caller's)
    before.eval()
    division = divided(len(tiles.sizes), held_out, random)
    wanted = tiles_of_photos(tiles, division.kept, DESCRIBED, random)
    known = described(joined_maps(tiles, features, scaling, wanted), tiles, wanted, spec, random)
    seen = len(set(known.photo[repeated(before, known.patches)].tolist()))
    if seen:
        warnings.warn(SEEN.format(seen=seen, photos=len(tiles.sizes)), MemaeWarning, stacklevel=4)
    fit = partial(_fit, before, spec, most=most, share=share, correlated=tell_apart(known, division), random=random)
    return measured(fit, known, division, tiles, random)


@torch.no_grad()
def repeated(before: Scorer, patches: Tensor) -> Tensor:
    """Which of these patches, not normalised `(m, p)`, the memory holds: it may have been fitted to them `(m,)`."""
    memory, features = before.model.memory, before.features
    assert isinstance(memory, PatchMemory)  # noqa: S101 (the caller's)
    assert features is not None  # noqa: S101 (the caller's)
    limit = REPEATED * memory.isolation.median()
    parts = (features.normalised(part) for part in torch.split(patches, TOGETHER))
    return torch.cat([memory.nearest(part, memory.items, 1).distance.flatten() <= limit for part in parts])


def _fit(
    before: Scorer,
    spec: AnyFeatureSpec,
    known: Described,
    *,
    most: int,
    share: float,
    correlated: bool,
    random: torch.Generator,
) -> Fitted:
    """Keeps some of the items of before and of these patches."""
    memory, features = before.model.memory, before.features
    assert isinstance(memory, PatchMemory)  # noqa: S101 (the caller's)
    assert features is not None  # noqa: S101 (the caller's)
    old = memory.items.detach()
    new = torch.randperm(len(known.patches), generator=random)[:CANDIDATES]
    together = torch.cat([old, features.normalised(known.patches[new])])
    chosen = farthest_first(together, min(most, len(together)), random).sort().values
    whole = next(measure for measure in before.measures if isinstance(measure, WholeDistance))
    distance = merged(whole, known.wholes, share, correlated)
    return Fitted(
        *remembering(together[chosen], spec, distance, features, before.scaling),
        new[chosen[chosen >= len(old)] - len(old)],
        chosen[chosen < len(old)],
    )
