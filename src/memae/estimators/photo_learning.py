"""Fits a detector of photos by training MemAE over their features: encoder, memory and decoder, Eq. 1 to 10 unchanged.

The network that describes photos stays frozen; what is restored is the normalised map of the features of patches. Each
position is a query of the memory. Maps are computed once and held, not in each epoch.
"""

import warnings
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from memae.data.tiles import Tiles
from memae.errors import MemaeWarning
from memae.estimators.photos import (
    DESCRIBED,
    WEIGHTS,
    Choose,
    Described,
    described,
    floor,
    joined_maps,
    measured_alone,
    photo_scorer,
    scaled_by,
    surprises,
    tiles_of_photos,
)
from memae.estimators.wholes import whole_distance
from memae.features import AnyFeatureSpec, Features
from memae.memory import unit
from memae.model import MemAE
from memae.patches import isolation
from memae.scoring import Scaling, Scorer
from memae.scoring.measures import Measure
from memae.scoring.photos import KeptPatchDistance, PatchError

WIDTHS = (128, 64)
"""Channels of the encoder's layers by default."""
HELD_BYTES = 2**31
"""Maximum size of the feature maps that are held; of more tiles, random ones are taken."""
TOGETHER = 64
"""Maps normalised or encoded at once."""


class PhotoMaps(NamedTuple):
    """Feature maps of normal photos, to learn from."""

    training: Tensor  # (t, p, h, w), normalised features of patches
    held_out: Tensor  # (u, p, h, w), of other photos
    tile: Tensor  # (t,): number of each training tile
    photos: Tensor  # the held-out photos
    known: Described  # random patches of the training tiles
    features: Features  # normalised over them
    scaling: Scaling  # of pixels


class LearnedPhotos(NamedTuple):
    """A trained detector of photos."""

    scorer: Scorer  # without calibrations
    scores: Tensor  # (n,), float64: anomaly scores of held-out photos
    peaks: Tensor  # (n,): the highest value of the map of each of them


class Positions(NamedTuple):
    """The position of a training map that is most like each of n items."""

    tile: Tensor  # (n,): its tile
    position: Tensor  # (n,): in the map of codes, row by row
    distance: Tensor  # (n,): 1 − cosine similarity
    space: tuple[int, ...]  # height and width of the map of codes


def photo_maps(
    tiles: Tiles, spec: AnyFeatureSpec, features: Features, *, scaling: Scaling, held_out: int, random: torch.Generator
) -> PhotoMaps:
    """Computes the feature maps of training and held-out photos.

    Args:
        tiles: of all photos.
        spec: describes the features.
        features: with their weights, not normalised.
        scaling: brings pixels to 0 … 1.
        held_out: number of photos to hold out.
        random: chooses photos, tiles and patches.
    """
    features.eval()
    order = torch.randperm(len(tiles.sizes), generator=random)
    patches = spec.patches, *spec.shape[1:]
    most = max(HELD_BYTES // (4 * torch.Size(patches).numel()), 1)
    wanted = _at_most(tiles, order[held_out:], most, random)
    training = torch.empty(len(wanted), *patches)
    known = described(_held(joined_maps(tiles, features, scaling, wanted), training), tiles, wanted, spec, random)
    other = tiles_of_photos(tiles, order[:held_out], max(most // 10, 1), random)
    watched = torch.empty(len(other), *patches)
    for _ in _held(joined_maps(tiles, features, scaling, other), watched):
        pass
    scaled = scaled_by(features, known)
    for part in (*torch.split(training, TOGETHER), *torch.split(watched, TOGETHER)):
        part.copy_(scaled.normalised(part))
    return PhotoMaps(training, watched, wanted, order[:held_out], known, scaled, scaling)


def _at_most(tiles: Tiles, photos: Tensor, most: int, random: torch.Generator) -> Tensor:
    """Numbers of the tiles of photos; of random ones, with a warning, where their maps would take too much memory."""
    wanted = tiles_of_photos(tiles, photos, min(most, DESCRIBED), random)
    every = int(torch.isin(tiles.photo, photos).sum())
    if len(wanted) < every:
        warnings.warn(
            f"{len(wanted)} random tiles of {every} are learned: the feature maps of more would take over "
            f"{HELD_BYTES / 2**30:g} GiB, or too much time",
            MemaeWarning,
            stacklevel=2,
        )
    return wanted


def _held(maps: Iterable[Tensor], rows: Tensor) -> Iterator[Tensor]:
    """The same maps, while their first features are copied to `rows` `(t, p, h, w)`."""
    for row, joined in zip(rows, maps, strict=True):
        row.copy_(joined[0, : len(row)])
        yield joined


def learned_photos(
    model: MemAE, maps: PhotoMaps, tiles: Tiles, *, most: int, random: torch.Generator, choose: Choose
) -> LearnedPhotos:
    """Measures of a trained model, balanced on the held-out photos.

    Args:
        model: trained, on the CPU.
        maps: that it was trained on.
        tiles: of all photos.
        most: maximum number of patches to keep as well, the distance to which is a further measure; 0 for none.
        random: chooses patches.
        choose: the patches to keep.
    """
    measures: list[Measure] = [PatchError(), whole_distance(maps.known.wholes)]
    weights: tuple[float, ...] = WEIGHTS
    if most:
        patches = maps.features.normalised(maps.known.patches)
        items = patches[choose(patches, most, random)]
        apart = isolation(items)
        measures.insert(0, KeptPatchDistance(items, apart, floor(apart)))
        weights = (1.0, 1.0, 1.0)
    scorer = photo_scorer(model, measures, maps.features, maps.scaling)
    left_out = [measured_alone(scorer, photo) for _, photo in tiles.by_photo(maps.photos.tolist())]
    scorer = scorer.replaced(balance=surprises(torch.cat([each.values for each in left_out]), weights))
    scores = [scorer.score(each.values).amax() for each in left_out]
    return LearnedPhotos(scorer, torch.stack(scores), torch.stack([each.peak for each in left_out]))


@torch.no_grad()
def nearest_positions(model: MemAE, maps: PhotoMaps) -> Positions | None:
    """The training positions that are most like the memory's items; None without a memory."""
    if model.memory is None:
        return None
    items = unit(model.memory.items)
    best = torch.full((len(items),), -torch.inf)
    tile, position = torch.zeros(2, len(items), dtype=torch.int64)
    space: tuple[int, ...] = ()
    for numbers, x in zip(torch.split(maps.tile, TOGETHER), torch.split(maps.training, TOGETHER), strict=True):
        codes = unit(model.encode(x), 1)
        space = tuple(codes.shape[2:])
        cosine, which = (items @ codes.movedim(1, 0).flatten(1)).max(1)
        area = torch.Size(space).numel()
        better = cosine > best
        best = torch.where(better, cosine, best)
        tile = torch.where(better, numbers[which // area], tile)
        position = torch.where(better, which % area, position)
    return Positions(tile, position, (1 - best).clamp_min(0), space)
