"""Photos of any size as tiles of one size, and maps of tiles as the map of their photo."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from memae.data.images import CACHE_BYTES, images_of_array, none_read
from memae.data.pixels import check_channels, decode, header, resize, with_channels
from memae.errors import InputError, SourceError, memory_guard

T = TypeVar("T")

WHOLE = 1024
"""Longer side, in pixels, up to which a photo is seen whole: scaled to 224, ten of its pixels leave two."""
LONG = 3
"""Ratio of the sides up to which a photo is seen whole: a longer one would be squeezed until its parts look alike."""
SIDE = 640
"""Side of the tiles of larger photos, in pixels: scaled to 224, ten pixels leave 3.5, which the network still sees."""
LEAST = 64
"""Least length of a tile along the photo: a strip thinner than that is cut into few tiles that are not square."""
OVERLAP = 8
"""Neighbouring tiles share at least this fraction of their side, 1/8, so that each defect lies well within a tile."""

AROUND = 72
"""Side of what is shown of a tile around a patch, in pixels of the tile: about what its features describe."""
OF_FRAME = 0.5
"""The same, of the frames of a film: the most of the shorter side, since small frames show all people at once."""
THUMBNAIL = 24
"""Side of a picture of a patch, in pixels."""


class Box(NamedTuple):
    """A rectangle in pixels of a photo, without the row `bottom` and the column `right`."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left


@dataclass(frozen=True)
class Cutting:
    """How photos become tiles, as data, for programs without memae: what `grid` does, in numbers."""

    whole: int = WHOLE  # longer side up to which a photo is one tile, unless it is
    long: int = LONG  # times as long as it is wide, or longer
    side: int = SIDE  # of tiles, in pixels of the photo: this, or the photo's shorter side if that is less,
    least: int = LEAST  # but at least this along the photo
    overlap: int = OVERLAP  # neighbours share at least this fraction of their side: 1/8


def grid(height: int, width: int) -> tuple[Box, ...]:
    """The tiles of a photo, row by row: the whole photo, or equal squares that overlap and cover it.

    >>> grid(480, 640)
    (Box(top=0, left=0, bottom=480, right=640),)
    >>> [(box.left, box.right) for box in grid(200, 700)]
    [(0, 200), (166, 366), (333, 533), (500, 700)]
    """
    shorter, longer = sorted((height, width))
    if longer <= WHOLE and longer <= LONG * shorter:
        return (Box(0, 0, height, width),)
    side = min(SIDE, max(shorter, LEAST))
    rows, columns = _spans(height, side), _spans(width, side)
    return tuple(Box(top, left, bottom, right) for top, bottom in rows for left, right in columns)


def _spans(length: int, side: int) -> list[tuple[int, int]]:
    """Spans of `side` pixels, evenly spread over `length`, of which neighbours overlap by at least 1/`OVERLAP`."""
    side = min(side, length)
    room, step = length - side, side - -(-side // OVERLAP)
    gaps = -(-room // step) if room else 0
    starts = [room * index // gaps for index in range(gaps)] + [room]
    return [(start, start + side) for start in starts]


def cut(photo: Tensor, boxes: tuple[Box, ...], size: tuple[int, int]) -> Tensor:
    """The tiles (k, c, *size) of a photo (c, h, w), each scaled to `size`."""
    tiles = photo.new_empty(len(boxes), len(photo), *size)
    for tile, (top, left, bottom, right) in zip(tiles, boxes, strict=True):
        tile.copy_(resize(photo[:, top:bottom, left:right], size))
    return tiles


def stitched(maps: Tensor, boxes: tuple[Box, ...], size: tuple[int, int]) -> Tensor:
    """The map (H, W) of a photo from those of its tiles.

    Each map is scaled to its box. Where tiles overlap, the map is their mean, weighted by a tent that falls linearly
    from a tile's middle to its edges, so that there are no seams.

    Args:
        maps: (k, h, w), one map for each box.
        boxes: of the tiles; together they cover the photo.
        size: height and width of the photo.
    """
    if len(boxes) == 1:
        return resize(maps[0], size)
    total, weight = maps.new_zeros(size), maps.new_zeros(size)
    for each, box in zip(maps, boxes, strict=True):
        rows, columns = (_tent(length, maps) for length in box.size)
        tent = rows[:, None] * columns
        at = (slice(box.top, box.bottom), slice(box.left, box.right))
        total[at] += tent * resize(each, box.size)
        weight[at] += tent
    return total.div_(weight)


def _tent(length: int, like: Tensor) -> Tensor:
    """Weights (length,) that rise linearly to the middle and fall again; never 0."""
    position = torch.arange(length, dtype=like.dtype, device=like.device)
    return torch.minimum(position + 0.5, length - 0.5 - position)


def around(tile: Tensor, row: float, column: float, side: int = THUMBNAIL, *, most: float = 1.0) -> Tensor:
    """A picture `(c, side, side)`, uint8, of what surrounds a position of a tile in 0 … 1, given as shares of it.

    It shows `AROUND` pixels, but at most a share of `most` of the tile's shorter side.
    """
    seen = max(min(round(most * min(tile.shape[1:])), AROUND), 1)
    top, left = (
        min(max(round(share * length - seen / 2), 0), length - seen)
        for share, length in zip((row, column), tile.shape[1:], strict=True)
    )
    part = tile[:, top : top + seen, left : left + seen]
    return resize(part.float(), (side, side)).clamp(0, 1).mul(255).round().to(torch.uint8)


Photos = Sequence[str | Path | np.ndarray[Any, Any] | Tensor] | np.ndarray[Any, Any] | Tensor


class Tiles:
    """Tiles of photos as indexed samples (c, h, w) of one size, in the order of the photos.

    A photo is decoded once for all of its tiles. Tiles of files are cached if all of them fit into `cache_bytes`. Else
    those of the photo read last are held, so that a pass in order decodes each photo once, in constant memory: the
    pixels of one photo, its tiles, and the batch. (20 photos of 12 megapixels, 840 tiles of 224 x 224 pixels: 180 MiB
    above the libraries, and 290 MiB with the cache.)

    Args:
        photos: image files; an array (n, h, w), (n, c, h, w) or (n, h, w, c); or a list of arrays (h, w), (c, h, w) or
            (h, w, c) of different sizes.
        size: height and width of a tile, to which its part of the photo is scaled.
        channels: 1 for grey, 3 for RGB; None for RGB if any photo can hold colour.
        cache_bytes: memory that cached tiles may take.
        unread: receives the error message of each file that cannot be read. Such files are then left out instead of
            raising: from `paths` if their header is damaged, else from what `take` and `by_photo` return.

    Attributes:
        paths: the files, in the order of the photos; empty for arrays.
        sizes: (h, w) of each photo, upright.
        photo: (n,), the number of each tile's photo.
        boxes: the place of each tile in its photo.
        shape: (c, h, w) of a tile.
        dtype: torch.uint8, or torch.float32 if any photo has 16 bits a channel or is an array of numbers.

    Raises:
        InputError: no photos are given, or arrays that are no images.
        OptionError: `channels` is neither 1 nor 3.
        SourceError: a file cannot be read (with `unread`: no file can).
    """

    def __init__(
        self,
        photos: Photos,
        size: tuple[int, int] = (224, 224),
        *,
        channels: int | None = None,
        cache_bytes: int = CACHE_BYTES,
        unread: dict[Path, str] | None = None,
    ) -> None:
        self.unread = unread
        formed = [(each, form) for each in _listed(photos) if (form := self._if_read(each, _form)) is not None]
        if not formed:
            raise none_read(unread or {})
        self.channels = (3 if any(form.colour for _, form in formed) else 1) if channels is None else channels
        check_channels(self.channels)
        self.shape = (self.channels, *size)
        self._photos = [photo for photo, _ in formed]
        self.paths = [photo for photo in self._photos if isinstance(photo, Path)]
        self.sizes = tuple(form.size for _, form in formed)
        self.dtype = torch.float32 if any(form.deep for _, form in formed) else torch.uint8
        grids = {each: grid(*each) for each in set(self.sizes)}
        counts = torch.tensor([len(grids[each]) for each in self.sizes])
        self.photo = torch.repeat_interleave(torch.arange(len(counts)), counts)
        self.boxes = tuple(chain.from_iterable(grids[each] for each in self.sizes))
        self._starts = [0, *counts.cumsum(0).tolist()]
        total = len(self) * self.channels * size[0] * size[1] * self.dtype.itemsize
        # an empty tensor takes no memory until its pages are written
        cached = self.paths and total <= cache_bytes
        self._cache = torch.empty(len(self), *self.shape, dtype=self.dtype) if cached else None
        self._cached = np.zeros(len(self.sizes), dtype=bool)
        self._last: tuple[int, Tensor] | None = None  # the photo read last, and its tiles

    @property
    def cached(self) -> bool:
        """Whether tiles are cached."""
        return self._cache is not None

    def __len__(self) -> int:
        return len(self.boxes)

    def boxes_of(self, number: int) -> tuple[Box, ...]:
        """The boxes of the tiles of a photo."""
        return self.boxes[self._starts[number] : self._starts[number + 1]]

    def take(self, index: Tensor) -> Tensor:
        """The tiles at the indices `index` (k,), as (k, c, h, w); without those of unreadable photos.

        Raises:
            SourceError: a file cannot be decoded.
            ResourceError: out of memory.
        """
        numbers = self.photo[index]
        taken, read = torch.empty(len(index), *self.shape, dtype=self.dtype), torch.ones(len(index), dtype=torch.bool)
        for number in sorted(set(numbers.tolist())):
            here = numbers == number
            tiles = self._tiles(number)
            if tiles is None:
                read[here] = False
            else:
                taken[here] = tiles[index[here] - self._starts[number]]
        return taken if read.all() else taken[read]

    def by_photo(self, numbers: Iterable[int] | None = None) -> Iterator[tuple[int, Tensor]]:
        """Number and tiles (k, c, h, w) of each photo, or of those with these numbers; without unreadable photos."""
        for number in range(len(self.sizes)) if numbers is None else numbers:
            tiles = self._tiles(number)
            if tiles is not None:
                yield number, tiles

    def contents(self) -> Iterator[bytes | Tensor]:
        """What a checksum of the data is of: the bytes of each file, which need not be decoded, or each array."""
        for photo in self._photos:
            yield photo.read_bytes() if isinstance(photo, Path) else photo

    def _tiles(self, number: int) -> Tensor | None:
        """All tiles of a photo; None if it cannot be read and `unread` receives why."""
        last, rows = self._last, slice(self._starts[number], self._starts[number + 1])
        if self._cache is not None and self._cached[number]:
            return self._cache[rows]
        if last is not None and last[0] == number:
            return last[1]
        tiles = self._if_read(self._photos[number], lambda _: self._cut(number))
        if tiles is None:
            return None
        if self._cache is None:
            self._last = number, tiles
        else:
            self._cache[rows] = tiles
            self._cached[number] = True
        return tiles

    def _cut(self, number: int) -> Tensor:
        photo = self._photos[number]
        with memory_guard("scale the photos down"):
            pixels = decode(photo, self.channels) if isinstance(photo, Path) else with_channels(photo, self.channels)
            if pixels.shape[1:] != self.sizes[number]:
                raise SourceError(f"{photo} has changed while it was used; run the command again")
            return cut(pixels, self.boxes_of(number), (self.shape[1], self.shape[2])).to(self.dtype)

    def _if_read(self, photo: Path | Tensor, read: Callable[[Path | Tensor], T]) -> T | None:
        try:
            return read(photo)
        except SourceError as error:
            if self.unread is None or not isinstance(photo, Path):
                raise
            self.unread[photo] = str(error)
            return None


class _Form(NamedTuple):
    size: tuple[int, int]
    deep: bool  # whether it needs float32
    colour: bool


def _form(photo: Path | Tensor) -> _Form:
    if isinstance(photo, Path):
        head = header(photo)
        return _Form(head.size, head.deep, head.colour)
    return _Form((photo.shape[1], photo.shape[2]), photo.is_floating_point(), len(photo) == 3)


def _listed(photos: Photos) -> list[Path | Tensor]:
    """Photos as files or as images (c, h, w) in grey levels."""
    if not len(photos):
        raise InputError("no photos are given; at least one is needed")
    if isinstance(photos, np.ndarray | Tensor):
        return list(images_of_array(photos))
    return [Path(each) if isinstance(each, str | Path) else images_of_array(each[None])[0] for each in photos]
