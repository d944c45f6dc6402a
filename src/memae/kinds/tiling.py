"""Photos of any size as one or several tiles: they are read, scored and mapped by photo."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from memae.data.images import none_read
from memae.data.pixels import decode, resize
from memae.data.tiles import Box, Tiles, stitched
from memae.evidence import Evidence, Explainer, calibrated, position_map
from memae.kinds.comparing import compared
from memae.kinds.kind import Names, Part, Scored
from memae.kinds.located import located
from memae.scoring import Scorer, Scores
from memae.scoring.calibration import Judged

READ = 16
"""Photos read at once, if each is one tile; more tiles come photo by photo."""


SHOWN = 640
"""Maximum length of the longer side of a photo in an explanation, in pixels."""


class Tiling(NamedTuple):
    """The tiles of k photos, in the order of the tiles."""

    counts: list[int]  # (k,): number of tiles of each photo
    boxes: list[tuple[Box, ...]]  # (k,): of each photo's tiles, in its pixels
    sizes: list[tuple[int, int]]  # (k,): height and width of each photo

    def by_photo(self, values: Tensor) -> Iterator[Tensor]:
        """Values of all tiles `(n, …)`, photo by photo."""
        return iter(torch.split(values, self.counts))


def read_tiles(tiles: Tiles, wanted: list[int], unread: dict[Path, str] | None) -> Iterator[Part]:
    """Photos with these numbers, a few at a time; `Part.raw` has their tiles, and `Part.given` a `Tiling`."""
    names: list[Any] = []
    raw: list[Tensor] = []
    found: list[tuple[int, tuple[Box, ...], tuple[int, int]]] = []
    kind = "path" if tiles.paths else "image"
    empty = True
    for number, photo in tiles.by_photo(wanted):
        names.append(tiles.paths[number] if tiles.paths else number)
        raw.append(photo)
        found.append((len(photo), tiles.boxes_of(number), tiles.sizes[number]))
        if sum(map(len, raw)) >= READ:
            yield _part({kind: names}, raw, found)
            names, raw, found, empty = [], [], [], False
    if names:
        yield _part({kind: names}, raw, found)
    elif empty and unread:
        raise none_read(unread)


def _part(names: Names, raw: list[Tensor], found: list[tuple[int, tuple[Box, ...], tuple[int, int]]]) -> Part:
    counts, boxes, sizes = (list(column) for column in zip(*found, strict=True))
    return Part(names, torch.cat(raw), Tiling(counts, boxes, sizes))


def scored_tiles(scorer: Scorer, part: Part, *, maps: bool) -> Scored:
    """Scores the photos of a part: the score of a photo is that of its highest tile."""
    tiling: Tiling = part.given
    tiles: list[Scores] = list(scorer.batched([part.raw], maps=maps))
    scores = torch.cat([each.score for each in tiles])
    photos = torch.stack([each.amax() for each in tiling.by_photo(scores)])
    judged: Judged = calibrated(scorer).judge(photos)
    found = torch.cat([position_map(scorer, each.error_map) for each in tiles]) if maps else None
    return Scored(part.names, judged, tiling, maps=found)


def photo_maps(part: Scored) -> Iterator[Tensor]:
    """The map `(h, w)` of each scored photo, at its own size."""
    assert part.maps is not None  # noqa: S101 (scored with maps)
    tiling: Tiling = part.given
    for maps, boxes, size in zip(tiling.by_photo(part.maps), tiling.boxes, tiling.sizes, strict=True):
        yield stitched(maps, boxes, size)


def explained_photos(explainer: Explainer, part: Part, start: int, only: Collection[int] | None) -> Iterator[Evidence]:
    """Explains the photos of a part.

    Args:
        explainer: makes the evidence.
        part: photos.
        start: number of the first of them.
        only: numbers of the photos to explain; None for all.
    """
    tiling: Tiling = part.given
    ((kind, column),) = part.names.items()
    for number, tiles in enumerate(tiling.by_photo(part.raw)):
        if only is not None and start + number not in only:
            continue
        scores = list(explainer.scorer.batched([tiles]))
        score = torch.cat([each.score for each in scores])
        maps = torch.cat([position_map(explainer.scorer, each.error_map) for each in scores])
        size, boxes = tiling.sizes[number], tiling.boxes[number]
        where = located(explainer.scorer, stitched(maps.float(), boxes, size))
        smaller = min(SHOWN / max(size), 1.0)
        shown = max(round(size[0] * smaller), 1), max(round(size[1] * smaller), 1)
        photo = (
            resize(decode(column[number], tiles.shape[1]).float(), shown)
            if kind == "path"
            else torch.stack([resize(stitched(each.float(), boxes, size)[None], shown)[0] for each in tiles.unbind(1)])
        )
        heat = resize(torch.from_numpy(where.values)[None], shown)
        highest = int(score.argmax())
        name = str(column[number]) if kind == "path" else f"{kind} {column[number]}"
        items = compared(explainer, tiles[highest], maps[highest], boxes[highest])
        yield explainer.evidence(
            name, float(score[highest]), photo, None, heat, items, regions=where.regions, size=size
        )
