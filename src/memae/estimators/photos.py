"""Fits a detector of photos whose memory is kept patches: photos are described by a frozen network, nothing is trained.

Scores to calibrate with must be of photos that are not in the memory. Of many photos some are held out; of fewer, all
are kept in the end, and each is scored by a memory of the others. A single one is scored as its mirror images.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from memae.data.tiles import Tiles
from memae.estimators.wholes import FEWEST, SAME, whole_distance
from memae.features import AnyFeatureSpec, Features
from memae.health import Health, HealthMeter
from memae.model import MemAE
from memae.patches import CANDIDATES, TOGETHER, PatchMemory, spread_out
from memae.scoring import Scaling, Scorer
from memae.scoring.balance import Balance
from memae.scoring.measures import Measure
from memae.scoring.photos import PatchDistance, WholeDistance, whole
from memae.spec import PatchSpec, Spec, build

ITEMS = 3_000
"""Maximum number of kept patches by default: more cost time in each search and help little."""
CROSSED = 200
"""Number of photos below which all are kept and each is scored by a memory of the others; above, some are held out."""
FOLDS = 5
"""Number of such memories, of which each leaves out a share of the photos."""
DESCRIBED = 20_000
"""Maximum number of tiles to describe, at random; bounds the time for large photos."""
FLOOR = 0.25
"""Floor of the isolation of patches, as a share of its median."""
WEIGHTS = (2.0, 1.0)
"""Of the surprise of patches and of the whole."""
SURVEYED = 10_000
"""Number of patches from which the use of the items is told."""
MIRRORED = ((3,), (2,), (2, 3))
"""Axes along which the tiles of a single photo are mirrored."""


class KeptPhotos(NamedTuple):
    """A detector that keeps patches of photos."""

    scorer: Scorer  # without calibrations
    spec: Spec
    scores: Tensor  # (n,), float64: anomaly scores of normal photos that were left out of what they are compared with
    peaks: Tensor  # (n,): the highest value of the map of each of them
    error: float  # mean distance of their patches to the nearest item
    health: Health
    tile: Tensor  # (new,): the tile that each new item comes from
    position: Tensor  # (new,): its position in that tile's feature map, row by row
    stayed: Tensor  # (old,): the items of before that stay, which come first; empty if there were none


class Described(NamedTuple):
    """Features of the tiles of normal photos, not normalised."""

    patches: Tensor  # (m, p)
    tile: Tensor  # (m,): number of each patch's tile
    position: Tensor  # (m,): position of each patch in its tile's map
    photo: Tensor  # (m,): number of each patch's photo
    wholes: Tensor  # (t, k), one for each tile; see `whole`
    owner: Tensor  # (t,): number of each tile's photo

    def without(self, photos: Tensor) -> "Described":
        """The same without some photos."""
        patches, wholes = ~torch.isin(self.photo, photos), ~torch.isin(self.owner, photos)
        return Described(*(each[patches] for each in self[:4]), *(each[wholes] for each in self[4:]))


class Fitted(NamedTuple):
    """A memory of patches, and measures that are not balanced."""

    scorer: Scorer
    spec: Spec
    chosen: Tensor  # (new,): the described patches that are items
    stayed: Tensor  # (old,): the items of before that stay, which come first


class Division(NamedTuple):
    """Which photos are described and kept, and which calibrate."""

    kept: Tensor  # (n,): numbers of photos
    folds: tuple[Tensor, ...]  # of few photos: each is left out of a memory in turn
    held_out: Tensor | None  # of many photos: those that are not kept; None without any


class LeftOut(NamedTuple):
    """Measures of the tiles of a photo that is not in the memory."""

    values: Tensor  # (t, measures)
    peak: Tensor  # (): the highest value of its maps
    error: float  # mean distance of its patches to the nearest item; 0 with learned items


Fit = Callable[[Described], Fitted]
Choose = Callable[[Tensor, int, torch.Generator], Tensor]
"""(normalised patches `(n, p)`, number m, generator) → indices of the m patches to keep."""


def keep_photos(
    tiles: Tiles,
    spec: AnyFeatureSpec,
    features: Features,
    *,
    scaling: Scaling,
    most: int,
    held_out: int,
    random: torch.Generator,
    choose: Choose = spread_out,
) -> KeptPhotos:
    """Keeps patches of photos as a memory and fits the measures of the distance to them.

    Args:
        tiles: of all photos.
        spec: describes the features.
        features: with their weights, not normalised.
        scaling: brings pixels to 0 … 1.
        most: maximum number of patches to keep.
        held_out: number of photos to hold out, if there are `CROSSED` or more.
        random: chooses photos, tiles and patches.
        choose: the patches to keep.
    """
    features.eval()
    division = divided(len(tiles.sizes), held_out, random)
    wanted = tiles_of_photos(tiles, division.kept, DESCRIBED, random)
    known = described(joined_maps(tiles, features, scaling, wanted), tiles, wanted, spec.patches, random)
    correlated = tell_apart(known, division)
    fit = partial(_fit, spec, features, scaling, most=most, correlated=correlated, random=random, choose=choose)
    return measured(fit, known, division, tiles, random)


def divided(photos: int, held_out: int, random: torch.Generator) -> Division:
    """Divides photos: from `CROSSED` on, `held_out` of them calibrate and the others are kept; of fewer, all do both.

    Args:
        photos: their number.
        held_out: number of photos to hold out, if there are `CROSSED` or more.
        random: chooses.
    """
    order = torch.randperm(photos, generator=random)
    if photos >= CROSSED:
        return Division(order[held_out:], (), order[:held_out])
    return Division(order, order.chunk(FOLDS) if photos > 1 else (), None)


def tell_apart(known: Described, division: Division) -> bool:
    """Whether there are enough tiles for covariances, in each fold of the photos as well."""
    left_out = max((int(torch.isin(known.owner, fold).sum()) for fold in division.folds), default=0)
    return len(known.owner) - left_out >= FEWEST


def measured(fit: Fit, known: Described, division: Division, tiles: Tiles, random: torch.Generator) -> KeptPhotos:
    """A detector whose measures are balanced on photos that were left out of what they are compared with.

    Args:
        fit: keeps patches.
        known: the described photos.
        division: of the photos.
        tiles: of all photos.
        random: chooses the patches from which the use of the items is told.
    """
    fitted = fit(known)
    if division.folds:
        left_out = [each for fold in division.folds for each in _left_out(fit(known.without(fold)).scorer, tiles, fold)]
    else:
        left_out = _left_out(fitted.scorer, tiles, division.held_out)
    values = torch.cat([each.values for each in left_out])
    scorer = fitted.scorer.replaced(balance=surprises(values, WEIGHTS))
    return KeptPhotos(
        scorer,
        fitted.spec,
        torch.stack([scorer.score(each.values).amax() for each in left_out]),
        torch.stack([each.peak for each in left_out]),
        float(np.mean([each.error for each in left_out])),
        surveyed(scorer, known.patches[torch.randperm(len(known.patches), generator=random)]),
        known.tile[fitted.chosen],
        known.position[fitted.chosen],
        fitted.stayed,
    )


def tiles_of_photos(tiles: Tiles, photos: Tensor, most: int, random: torch.Generator) -> Tensor:
    """Numbers of the tiles of photos, or of `most` random ones of them, in ascending order."""
    wanted = torch.isin(tiles.photo, photos).nonzero().flatten()
    if len(wanted) > most:
        wanted = wanted[torch.randperm(len(wanted), generator=random)[:most].sort().values]
    return wanted


@torch.no_grad()
def joined_maps(tiles: Tiles, features: Features, scaling: Scaling, wanted: Tensor) -> Iterator[Tensor]:
    """The features of these tiles, one after the other `(1, c, h, w)`, not normalised."""
    for number in wanted.tolist():
        yield features.joined(scaling(tiles.take(torch.tensor([number]))))


def described(maps: Iterable[Tensor], tiles: Tiles, wanted: Tensor, patches: int, random: torch.Generator) -> Described:
    """Features of tiles: of all their patches, or of random ones where there are more than `CANDIDATES`.

    Args:
        maps: `joined_maps` of the tiles.
        tiles: of all photos.
        wanted: numbers of these tiles.
        patches: number of features of a patch.
        random: chooses patches.
    """
    each = -(-CANDIDATES // len(wanted))
    found, places, wholes = [], [], []
    for joined in maps:
        flat = joined[0, :patches].flatten(1).T
        position = torch.randperm(len(flat), generator=random)[:each].sort().values
        found.append(flat[position].clone())
        places.append(position)
        wholes.append(whole(joined, joined.shape[1] - patches)[0])
    tile = wanted.repeat_interleave(torch.tensor([len(position) for position in places]))
    return Described(
        torch.cat(found), tile, torch.cat(places), tiles.photo[tile], torch.stack(wholes), tiles.photo[wanted]
    )


def _fit(
    spec: AnyFeatureSpec,
    features: Features,
    scaling: Scaling,
    known: Described,
    *,
    most: int,
    correlated: bool,
    random: torch.Generator,
    choose: Choose,
) -> Fitted:
    """Keeps some of these patches."""
    scaled = scaled_by(features, known)
    patches = scaled.normalised(known.patches)
    chosen = choose(patches, most, random)
    kept = remembering(patches[chosen], spec, whole_distance(known.wholes, correlated), scaled, scaling)
    return Fitted(*kept, chosen, chosen[:0])


def remembering(
    items: Tensor, spec: AnyFeatureSpec, whole: WholeDistance, features: Features, scaling: Scaling
) -> tuple[Scorer, Spec]:
    """A scorer whose memory holds these patches, and its description.

    Args:
        items: normalised features `(n, p)`.
        spec: describes the features.
        whole: the distance of whole photos.
        features: normalised.
        scaling: brings pixels to 0 … 1.
    """
    model_spec = Spec(spec.shape, (), memory=PatchSpec(len(items), spec.patches), features=spec)
    model = build(model_spec)
    memory = model.memory
    assert isinstance(memory, PatchMemory)  # noqa: S101 (see the spec)
    memory.remember(items)
    return photo_scorer(model, [PatchDistance(floor(memory.isolation)), whole], features, scaling), model_spec


def scaled_by(features: Features, known: Described) -> Features:
    """The features, normalised over these patches."""
    return features.scaled(known.patches.mean(0), known.patches.std(0, correction=0))


def photo_scorer(model: MemAE, measures: Sequence[Measure], features: Features, scaling: Scaling) -> Scorer:
    """A scorer of raw tiles whose measures are not balanced."""
    return Scorer(model, scaling, measures, features=features).eval()


def floor(isolation: Tensor, share: float = FLOOR) -> Tensor:
    """The floor of the isolation of patches `(n,)`: this share of its median."""
    usual = isolation.median()
    return torch.where(usual > 0, share * usual, 1.0)


def surprises(values: Tensor, weights: Sequence[float]) -> Balance:
    """The balance of the measures of left-out tiles `(t, k)`, weighted in proportion to `weights`."""
    each = torch.tensor(weights, dtype=torch.float64)
    return Balance.of_surprise(_told_apart(values), each / each.sum())


def _told_apart(values: Tensor) -> Tensor:
    """Measures `(n, k)`; where all photos agree, just above them, so that rounding surprises no photo like these."""
    highest = values.amax(0)
    return torch.where(highest - values.amin(0) <= SAME, highest + SAME, values)


def _left_out(scorer: Scorer, tiles: Tiles, photos: Tensor | None) -> list[LeftOut]:
    """Measures photos that are not in the memory of `scorer`; None for mirror images of the only one, which is."""
    if photos is not None:
        return [measured_alone(scorer, photo) for _, photo in tiles.by_photo(photos.tolist())]
    return [measured_alone(scorer, photo.flip(axes)) for _, photo in tiles.by_photo() for axes in MIRRORED]


@torch.no_grad()
def measured_alone(scorer: Scorer, tiles: Tensor) -> LeftOut:
    """Measures a photo, given as its tiles `(t, c, h, w)`."""
    values, peaks, errors = [], [], []
    for tile in torch.split(tiles, 1):
        x = scorer.normalise(tile)
        found = scorer.model(x)
        measured = [measure(x, found) for measure in scorer.measures]
        values.append(torch.stack([each.value for each in measured], 1))
        peaks.append(measured[0].parts.amax())
        errors.append(0.0 if found.distance is None else float(found.distance.mean()))
    return LeftOut(torch.cat(values), torch.stack(peaks).amax(), float(np.mean(errors)))


@torch.no_grad()
def surveyed(scorer: Scorer, patches: Tensor) -> Health:
    """The state of the memory over the first `SURVEYED` patches `(m, p)`, not normalised; sets the use of its items."""
    memory, features = scorer.model.memory, scorer.features
    assert isinstance(memory, PatchMemory)  # noqa: S101 (as fitted)
    assert features is not None  # noqa: S101 (as fitted)
    meter = HealthMeter(len(memory.items))
    memory.train()  # for the statistics of its reading
    for part in torch.split(patches[:SURVEYED], TOGETHER):
        meter.add(memory(features.normalised(part).T[None]))
    memory.eval()
    memory.use.copy_(meter.share)
    return meter.health(duplicates=0)
