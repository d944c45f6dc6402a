"""Fits a detector of photos whose memory is kept patches: photos are described by a frozen network, nothing is trained.

Scores to calibrate with must be of photos that are not in the memory. Of many photos some are held out; of fewer, all
are kept in the end, and each is scored by a memory of the others.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from memae.data.tiles import Tiles
from memae.features import GREY_LEVELS, AnyFeatureSpec, Features
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
RIDGE = 1e-9
"""Added to the variances, for photos that are all alike."""


class KeptPhotos(NamedTuple):
    """A detector that keeps patches of photos."""

    scorer: Scorer  # without calibrations
    spec: Spec
    scores: Tensor  # (n,), float64: anomaly scores of normal photos that were left out of what they are compared with
    peaks: Tensor  # (n,): the highest value of the map of each of them
    error: float  # mean distance of their patches to the nearest item
    health: Health
    tile: Tensor  # (items,): the tile that each item comes from
    position: Tensor  # (items,): its position in that tile's feature map, row by row


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


class _Fitted(NamedTuple):
    scorer: Scorer
    spec: Spec
    chosen: Tensor  # (items,): the described patches that are items


class LeftOut(NamedTuple):
    """Measures of the tiles of a photo that is not in the memory."""

    values: Tensor  # (t, measures)
    peak: Tensor  # (): the highest value of its maps
    error: float  # mean distance of its patches to the nearest item; 0 with learned items


Choose = Callable[[Tensor, int, torch.Generator], Tensor]
"""(normalised patches `(n, p)`, number m, generator) → indices of the m patches to keep."""


def keep_photos(
    tiles: Tiles,
    spec: AnyFeatureSpec,
    features: Features,
    *,
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
        most: maximum number of patches to keep.
        held_out: number of photos to hold out, if there are `CROSSED` or more.
        random: chooses photos, tiles and patches.
        choose: the patches to keep.
    """
    features.eval()
    order = torch.randperm(len(tiles.sizes), generator=random)
    crossed = len(order) < CROSSED
    wanted = tiles_of_photos(tiles, order if crossed else order[held_out:], DESCRIBED, random)
    known = described(joined_maps(tiles, features, wanted), tiles, wanted, spec.patches, random)
    fitted = _fit(known, spec, features, most, random, choose)
    left_out: list[LeftOut] = []
    for fold in order.chunk(min(FOLDS, len(order))) if crossed else [order[:held_out]]:
        other = _fit(known.without(fold), spec, features, most, random, choose).scorer if crossed else fitted.scorer
        left_out += [measured_alone(other, photo) for _, photo in tiles.by_photo(fold.tolist())]
    values = torch.cat([each.values for each in left_out])
    scorer = fitted.scorer.replaced(balance=surprises(values, WEIGHTS))
    return KeptPhotos(
        scorer,
        fitted.spec,
        torch.stack([scorer.score(each.values).amax() for each in left_out]),
        torch.stack([each.peak for each in left_out]),
        float(np.mean([each.error for each in left_out])),
        _health(scorer, known.patches[torch.randperm(len(known.patches), generator=random)[:SURVEYED]]),
        known.tile[fitted.chosen],
        known.position[fitted.chosen],
    )


def tiles_of_photos(tiles: Tiles, photos: Tensor, most: int, random: torch.Generator) -> Tensor:
    """Numbers of the tiles of photos, or of `most` random ones of them, in ascending order."""
    wanted = torch.isin(tiles.photo, photos).nonzero().flatten()
    if len(wanted) > most:
        wanted = wanted[torch.randperm(len(wanted), generator=random)[:most].sort().values]
    return wanted


@torch.no_grad()
def joined_maps(tiles: Tiles, features: Features, wanted: Tensor) -> Iterator[Tensor]:
    """The features of these tiles, one after the other `(1, c, h, w)`, not normalised."""
    for number in wanted.tolist():
        yield features.joined(tiles.take(torch.tensor([number])).float() / GREY_LEVELS)


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
    known: Described, spec: AnyFeatureSpec, features: Features, most: int, random: torch.Generator, choose: Choose
) -> _Fitted:
    """A memory of these patches, and measures that are not balanced."""
    scaled = scaled_by(features, known)
    patches = scaled.normalised(known.patches)
    chosen = choose(patches, most, random)
    model_spec = Spec(spec.shape, (), memory=PatchSpec(len(chosen), spec.patches), features=spec)
    model = build(model_spec)
    memory = model.memory
    assert isinstance(memory, PatchMemory)  # noqa: S101 (see the spec)
    memory.remember(patches[chosen])
    measures = [PatchDistance(floor(memory.isolation)), whole_distance(known.wholes)]
    return _Fitted(photo_scorer(model, measures, scaled), model_spec, chosen)


def scaled_by(features: Features, known: Described) -> Features:
    """The features, normalised over these patches."""
    return features.scaled(known.patches.mean(0), known.patches.std(0, correction=0))


def photo_scorer(model: MemAE, measures: Sequence[Measure], features: Features) -> Scorer:
    """A scorer of raw tiles, in grey levels, whose measures are not balanced."""
    scaling = Scaling(torch.tensor(0.0), torch.tensor(GREY_LEVELS))
    return Scorer(model, scaling, measures, features=features).eval()


def floor(isolation: Tensor) -> Tensor:
    """The floor of the isolation of patches `(n,)`."""
    usual = isolation.median()
    return torch.where(usual > 0, FLOOR * usual, 1.0)


def surprises(values: Tensor, weights: Sequence[float]) -> Balance:
    """The balance of the measures of left-out tiles `(t, k)`, weighted in proportion to `weights`."""
    each = torch.tensor(weights, dtype=torch.float64)
    return Balance.of_surprise(values, each / each.sum())


def whole_distance(wholes: Tensor) -> WholeDistance:
    """Mahalanobis distance with the covariance of Ledoit and Wolf (2004); Euclidean for a single tile."""
    from sklearn.covariance import ledoit_wolf  # noqa: PLC0415 (a dozen MB that scoring does not need)

    mean = wholes.mean(0)
    if len(wholes) < 2:
        return WholeDistance(mean, torch.eye(len(mean)))
    covariance, _ = ledoit_wolf(wholes.double().numpy())
    precision = torch.linalg.inv(torch.from_numpy(covariance) + RIDGE * torch.eye(len(mean), dtype=torch.float64))
    return WholeDistance(mean, torch.linalg.cholesky(precision).float().contiguous())


@torch.no_grad()
def measured_alone(scorer: Scorer, tiles: Tensor) -> LeftOut:
    """Measures a photo, given as its tiles `(t, c, h, w)`, that is not in the memory of `scorer`."""
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
def _health(scorer: Scorer, patches: Tensor) -> Health:
    """The state of the memory over patches `(m, p)`, not normalised; sets the use of its items."""
    memory, features = scorer.model.memory, scorer.features
    assert isinstance(memory, PatchMemory)  # noqa: S101 (as fitted)
    assert features is not None  # noqa: S101 (as fitted)
    meter = HealthMeter(len(memory.items))
    memory.train()  # for the statistics of its reading
    for part in torch.split(patches, TOGETHER):
        meter.add(memory(features.normalised(part).T[None]))
    memory.eval()
    memory.use.copy_(meter.share)
    return meter.health(duplicates=0)
