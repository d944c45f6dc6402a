"""Images."""

import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memae.data.ahead import ahead
from memae.data.image_formats import NAMES
from memae.data.images import CACHE_BYTES, Found, ImageFiles, describe_skipped, find_images, images_of_array, none_read
from memae.data.layout import defects_from_layout, labelled_images, labels_from_layout, masks_from_layout
from memae.data.pixels import IMAGE_SUFFIXES, decode, header, resize, with_channels
from memae.data.samples import Indexed, InMemory, parts
from memae.data.tiles import Cutting, Tiles
from memae.errors import MemaeWarning, OptionError, SchemaError
from memae.evidence import Evidence, Explainer
from memae.kinds.defects import PixelsByDefect, figures
from memae.kinds.image_words import PHOTOS, RESTORED
from memae.kinds.kind import Kind, Labelled, Names, Notes, Part, Sample, Scored, Words, paths_of
from memae.kinds.located import Located, located
from memae.kinds.pieces import Piece, picture_pieces
from memae.kinds.pixel_units import check_unit, checked_size
from memae.kinds.tiling import explained_photos, photo_maps, read_tiles, scored_tiles
from memae.pictures import Pixels, overlaid
from memae.scoring import Scorer
from memae.scoring.calibration import Calibration

BATCH = 64
"""Images read at once."""


@dataclass(frozen=True)
class Images(Kind):
    """Image files and arrays.

    Args:
        shape: `(c, h, w)` of an image.
        unit: of pixel values; see `memae.kinds.pixel_units`.
        scaled: whether images are scaled to this height and width; otherwise they must have it.
        tiled: whether they are photos of any size, of which the network sees tiles of this shape; see `tiling`.
    """

    shape: tuple[int, ...]
    unit: str
    scaled: bool
    tiled: bool = False

    suffixes = IMAGE_SUFFIXES
    takes = f"{NAMES} pictures"

    @property
    def words(self) -> Words:
        """Words for images that are restored from memory, or for photos that are compared with kept patches."""
        return PHOTOS if self.tiled else RESTORED

    def open(self, X: Any, *, notes: Notes | None = None) -> Iterator[Part]:
        """Images, named by their path or their number in an array; see `Kind.open`."""
        if self.tiled:
            tiles = self._tiles(X, notes)
            return ahead(read_tiles(tiles, list(range(len(tiles.sizes))), tiles.unread))
        images, unread = self._opened(X, notes)
        return self._parts(images, torch.arange(len(images)), unread)

    def pieces(self, folder: Path, notes: Notes) -> Iterator[Piece]:
        """Some pictures at a time; see `Kind.pieces`."""
        return picture_pieces(folder, notes.skipped.setdefault(folder, []))

    def scored(self, scorer: Scorer, parts: Iterator[Part], *, maps: bool = False) -> Iterator[Scored]:
        """See `Kind.scored`."""
        if not self.tiled:
            yield from super().scored(scorer, parts, maps=maps)
            return
        for part in parts:
            yield scored_tiles(scorer, part, maps=maps)

    def _tiles(self, X: Any, notes: Notes | None = None) -> Tiles:
        """The tiles of photos."""
        photos, unread = self._listed(X, notes)
        return tiles_of(photos, (self.shape[1], self.shape[2]), self.shape[0], unread=unread)

    def _opened(self, X: Any, notes: Notes | None = None) -> tuple[Indexed, dict[Path, str] | None]:
        """The images, and the dict that receives unreadable files, as for `_listed`."""
        images, unread = self._listed(X, notes)
        size = (self.shape[1], self.shape[2]) if self.scaled else None
        return opened(images, self.shape[0], size, unread=unread, keep=False), unread

    def _listed(self, X: Any, notes: Notes | None) -> tuple[Any, dict[Path, str] | None]:
        """The files of a source, or X itself if it is none, and the dict that receives unreadable ones.

        That is None if unreadable files are errors, as for a single file.
        """
        check_unit(self.unit, X.paths if isinstance(X, ImageFiles) else X)
        listed = paths_of(X)
        files = found_images(Path(X), notes) if isinstance(X, str | Path) else listed
        alone = files is not None and len(files) == 1 and listed is None
        return X if files is None else files, None if notes is None or alone else notes.unread

    def _parts(self, images: Indexed, index: Tensor, unread: dict[Path, str] | None) -> Iterator[Part]:
        found = self._read(images, index, unread)
        return ahead(found) if isinstance(images, ImageFiles) else found

    def _read(self, images: Indexed, index: Tensor, unread: dict[Path, str] | None) -> Iterator[Part]:
        count = 0
        for indices in parts(index, BATCH) if len(index) else ():
            pixels = images.take(indices)
            if tuple(pixels.shape[1:]) != self.shape:
                raise SchemaError(
                    f"the model was fitted on images of (c, h, w) = {self.shape}, "
                    f"these have {tuple(pixels.shape[1:])}; scale them, or fit with a size"
                )
            count += len(pixels)
            yield Part(_names(images, indices, unread or {}), pixels)
        if unread and not count:
            raise none_read(unread)

    def explained(
        self, explainer: Explainer, parts: Iterator[Part], only: Collection[int] | None = None
    ) -> Iterator[Evidence]:
        """See `Kind.explained`."""
        start = 0
        for part in parts:
            if self.tiled:
                yield from explained_photos(explainer, part, start, only)
                start += len(part.given.counts)
                continue
            ((kind, column),) = part.names.items()
            names = [str(name) if kind == "path" else f"{kind} {name}" for name in column]
            chosen = [index for index in range(len(names)) if only is None or start + index in only]
            wanted = (names[index] for index in chosen)
            for piece in torch.split(part.raw[chosen], explainer.scorer.chunk) if chosen else ():
                yield from explainer.batch(piece, list(islice(wanted, len(piece))))
            start += len(names)

    def explain(self, explainer: Explainer, X: Any, only: Collection[int] | None = None) -> Iterator[Evidence]:
        """See `Kind.explain`; only the images to explain are read."""
        if self.tiled:
            tiles = self._tiles(X)
            wanted = [number for number in range(len(tiles.sizes)) if only is None or number in only]
            return self.explained(explainer, read_tiles(tiles, wanted, None))
        images, _ = self._opened(X)
        wanted = [index for index in range(len(images)) if only is None or index in only]
        return self.explained(explainer, self._parts(images, torch.tensor(wanted, dtype=torch.int64), None))

    def _again(self, source: Path, chosen: Sequence[Sample]) -> Iterator[tuple[Any, dict[int, int]]]:  # noqa: ARG002
        if chosen:
            yield [sample["path"] for sample in chosen], {number: number for number in range(len(chosen))}

    def labelled(
        self, scorer: Scorer, source: Path, labels: str | None, normal: Sequence[str], notes: Notes
    ) -> Labelled:
        """Scores of all readable images, their labels by folder and, with masks, their pixels."""
        if normal:
            raise OptionError("--normal is for tables")
        if labels is not None:
            raise OptionError(
                "images take no --labels: the folder good/ holds the normal ones, other folders the anomalies"
            )
        images = labelled_images(source, notes.skipped.setdefault(source, []))
        labels_from_layout(images, source)  # raises errors of the layout before anything is computed
        masks = masks_from_layout(images, source)
        pixels = None if masks is None else PixelsByDefect(dict(zip(images, masks, strict=True)))
        paths: list[Path] = []
        scores = []
        for part in self.scored(scorer, self.open(images, notes=notes), maps=pixels is not None):
            paths += part.names["path"]
            scores.append(part.judged.score.numpy())
            if pixels is not None:
                defects = defects_from_layout(part.names["path"], source)
                for path, defect, where in zip(part.names["path"], defects, self.located(scorer, part), strict=True):
                    pixels.add(path, defect, where.values)
        truth = labels_from_layout(paths, source).astype(bool)
        return Labelled([truth], [np.concatenate(scores)], defects_from_layout(paths, source), pixels)

    def more_figures(self, found: Labelled, calibration: Calibration) -> dict[str, Any]:  # noqa: ARG002
        """AUROC of each kind of defect and, with masks, AUROC and PRO of pixels."""
        return figures(found.defects, np.concatenate(found.scores), found.pixels)

    def located(self, scorer: Scorer, part: Scored) -> Iterator[Located]:
        """See `Kind.located`; of image files, at their own size."""
        assert part.maps is not None  # noqa: S101 (see `Kind.located`)
        if self.tiled:
            yield from (located(scorer, values) for values in photo_maps(part))
            return
        paths: Sequence[Path | None] = part.names.get("path", [None] * len(part.maps))
        for path, values in zip(paths, part.maps, strict=True):
            yield located(scorer, values if path is None else resize(values[None], header(path).size)[0])

    def picture(self, where: Located, sample: Sample) -> Pixels:
        """The image file under its heat map, with boxes around the anomalous regions; see `Kind.picture`."""
        photo = decode(sample["path"], 3).clamp(0, 255).round().to(torch.uint8)
        return overlaid(photo.permute(1, 2, 0).numpy(), where.heat, where.regions)

    def map_files(self, source: Path, names: Names) -> list[Path]:
        """Paths of the images relative to the source, with ".png" appended."""
        paths = [path.relative_to(source) if path != source else Path(path.name) for path in names.get("path", ())]
        return [path.with_suffix(f"{path.suffix}.png") for path in paths]

    def about(self) -> dict[str, Any]:
        """The size that images are scaled to or must have."""
        channels, height, width = self.shape
        tiled = {"tiled": True} if self.tiled else {}
        return {"channels": channels, "height": height, "width": width, "scaled": self.scaled} | tiled

    def exported(self, calibration: Calibration) -> dict[str, Any]:  # noqa: ARG002 (the graph has it)
        """What pixels mean and, for photos, how they become the tiles that the graph takes."""
        return {"unit": self.unit} | ({"tiles": Cutting()} if self.tiled else {})


def opened(
    X: Any,
    channels: int | None,
    size: tuple[int, int] | None,
    *,
    unread: dict[Path, str] | None = None,
    keep: bool = True,
) -> Indexed:
    """Images of any source, converted to one size and number of channels.

    Args:
        X: a folder, a file, a list of files, an array, or `ImageFiles`, which are returned unchanged.
        channels: 1 for grey, 3 for RGB; None for those of the source.
        size: height and width to scale to; None for those of the source.
        unread: see `ImageFiles`.
        keep: whether decoded images may be cached for further passes.
    """
    if isinstance(X, ImageFiles):
        return X
    size = checked_size(size)
    listed = paths_of(X)
    if listed is not None or isinstance(X, str | Path):
        paths = found_images(Path(X)) if listed is None else listed
        return ImageFiles(paths, channels=channels, size=size, cache_bytes=CACHE_BYTES if keep else 0, unread=unread)
    pixels = images_of_array(X)
    pixels = pixels if channels is None else with_channels(pixels, channels)
    return InMemory(pixels if size is None else resize(pixels, size))


def tiles_of(
    X: Any,
    size: tuple[int, int],
    channels: int | None,
    *,
    unread: dict[Path, str] | None = None,
    keep: bool = False,
) -> Tiles:
    """The tiles of photos of any source.

    Args:
        X: a folder, a file, a list of files, an array, or a list of arrays.
        size: height and width of a tile.
        channels: 1 for grey, 3 for RGB; None for RGB if any photo has colour.
        unread: see `Tiles`.
        keep: whether tiles may be cached for further passes.
    """
    photos = found_images(Path(X)) if isinstance(X, str | Path) else X
    photos = photos.paths if isinstance(photos, ImageFiles) else photos
    return Tiles(photos, size, channels=channels, cache_bytes=CACHE_BYTES if keep else 0, unread=unread)


def smallest_side(X: Any) -> int:
    """The shorter side of the first image of a source, in pixels; as a rule, all are alike."""
    listed = paths_of(X)
    if listed is not None or isinstance(X, str | Path):
        return min(header((find_images(Path(X)) if listed is None else listed)[0]).size)
    if isinstance(X, ImageFiles):
        return min(X.size)
    if isinstance(X, list | tuple) and X:
        X = np.asarray(X[0])[None]
    return min(images_of_array(X[:1]).shape[2:])


def found(X: Any) -> Any:
    """A source whose files have been found, so that a folder is listed once; any other source as it is."""
    return Found(found_images(Path(X)), Path(X)) if isinstance(X, str | Path) else X


def found_images(source: Path, notes: Notes | None = None) -> list[Path]:
    """The images of a file or folder; what is left out is noted, or, without notes, told by a warning."""
    skipped: list[Path] = []
    paths = find_images(source, skipped)
    if notes is not None:
        notes.skipped[source] = skipped
    elif told := describe_skipped(source, skipped):
        warnings.warn(told, MemaeWarning, stacklevel=2)
    return paths


def _names(images: Indexed, indices: Tensor, unread: dict[Path, str]) -> Names:
    """Names of the images with these indices, without unreadable ones."""
    if not isinstance(images, ImageFiles):
        return {"image": indices.tolist()}
    paths = [images.paths[index] for index in indices.tolist()]
    return {"path": [path for path in paths if path not in unread]}
