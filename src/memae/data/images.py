"""Images: files and arrays as pixels in grey levels 0..255, and error maps as images."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from memae.data import pixels
from memae.data.image_formats import NAMES
from memae.errors import InputError, OptionError, SourceError, memory_guard
from memae.files import replacing

T = TypeVar("T")

CACHE_BYTES = 2**31
"""Memory that decoded images may take; a larger set is decoded again each time."""

LISTED = 5
"""Maximum number of skipped files that are named."""
LITTER = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", ".ds_store", ".directory"})
"""Files of file browsers, in small letters, which are not worth a word; nor are those of macOS that start with "._"."""

# black, violet, red, orange, pale yellow: lightness increases, so that it also reads in grey
_HEAT = (
    (0, 0, 0), (31, 12, 72), (85, 15, 109), (136, 34, 106), (186, 54, 85),
    (227, 89, 51), (249, 140, 10), (249, 201, 50), (252, 255, 164),
)  # fmt: skip


class Found(list[Path]):
    """The images of a file or folder, found once, in their order.

    Args:
        paths: the files.
        source: the file or folder.
    """

    def __init__(self, paths: Iterable[Path], source: Path) -> None:
        super().__init__(paths)
        self.source = source


def find_images(source: Path, skipped: list[Path] | None = None) -> list[Path]:
    """The image file `source`, or all images in the folder `source` and the folders below it.

    Hidden files and folders and files of other kinds are skipped; the order is natural (9 before 10).

    Args:
        source: a file or a folder.
        skipped: receives what is skipped in a folder; see `describe_skipped`.

    Raises:
        SourceError: `source` does not exist, or is or holds no image.
    """
    skipped = [] if skipped is None else skipped
    if source.is_dir():
        images = list(images_below(source, skipped))
        if not images:
            raise none_found(source, skipped)
        return sorted(images, key=pixels.natural_key)
    pixels.check_readable(source)
    if not pixels.is_image(source):
        raise SourceError(f"{source} is not an image file; the ending of a {NAMES} file is expected")
    return [source]


def none_found(source: Path, skipped: Sequence[Path]) -> SourceError:
    """The error for a folder without images."""
    told = describe_skipped(source, skipped)
    return SourceError(f"{source} holds no image; {NAMES} files are expected{told and f' ({told})'}")


def images_below(folder: Path, skipped: list[Path], above: tuple[str, ...] = ()) -> Iterator[Path]:
    """Images at any depth, folder by folder.

    Args:
        folder: to look in.
        skipped: see `find_images`.
        above: real paths of the parent folders, to stop at loops of links.
    """
    real = os.path.realpath(folder)
    if real in above:
        return
    for entry in pixels.entries(folder):
        if pixels.is_hidden(entry):
            skipped.append(entry)
        elif entry.is_dir():
            yield from images_below(entry, skipped, (*above, real))
        elif pixels.is_image(entry):
            yield entry
        else:
            skipped.append(entry)


def describe_skipped(source: Path, skipped: Sequence[Path]) -> str:
    """A sentence on what `find_images` skipped in the folder `source`, without `LITTER`; empty if that is nothing.

    >>> describe_skipped(Path("good"), [Path("good/notes.txt"), Path("good/.cache"), Path("good/Thumbs.db")])
    'left out in good: 1 file that is no picture (notes.txt) and 1 hidden file or folder (.cache)'
    """
    named = [path for path in skipped if path.name.lower() not in LITTER and not path.name.startswith("._")]
    others = [path for path in named if not pixels.is_hidden(path)]
    hidden = [path for path in named if pixels.is_hidden(path)]
    told = []
    if others:
        kind = "files that are no pictures" if len(others) > 1 else "file that is no picture"
        told.append(f"{len(others):,} {kind} ({_listed(source, others)})")
    if hidden:
        kind = "hidden files or folders" if len(hidden) > 1 else "hidden file or folder"
        told.append(f"{len(hidden):,} {kind} ({_listed(source, hidden)})")
    return f"left out in {source}: {' and '.join(told)}" if told else ""


def _listed(source: Path, paths: Sequence[Path]) -> str:
    """The first `LISTED` paths, relative to `source`."""
    return ", ".join([*(str(path.relative_to(source)) for path in paths[:LISTED]), *["…"] * (len(paths) > LISTED)])


class ImageFiles:
    """Image files as indexed samples (c, h, w), decoded when they are taken.

    Decoded images are cached if all of them fit into `cache_bytes`; a larger set is decoded again each time,
    in constant memory. Samples are uint8, or all float32 if any file has 16 bits a channel.

    Args:
        paths: the image files.
        channels: 1 for grey, 3 for RGB; None for RGB if any of the files can hold colour.
        size: height and width to scale to; None for the size that all files have.
        cache_bytes: memory that decoded images may take.
        unread: receives the error message of each file that cannot be read. Such files are then left out instead of
            raising: from `paths` if their header is damaged, else from what `take` returns. Not for cached images.

    Attributes:
        paths: the image files, in the order of the samples.
        channels: 1 or 3.
        size: (h, w) of a sample, in pixels.
        shape: (c, h, w) of a sample.
        dtype: torch.uint8 or torch.float32.

    Raises:
        InputError: no paths are given.
        OptionError: `channels` is neither 1 nor 3, or `size` is not two positive numbers.
        SourceError: a file cannot be read (with `unread`: no file can), or, without `size`, two files differ in size.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        channels: int | None = None,
        size: tuple[int, int] | None = None,
        cache_bytes: int = CACHE_BYTES,
        unread: dict[Path, str] | None = None,
    ) -> None:
        if not paths:
            raise InputError("no image files are given; at least one is needed")
        self.unread = unread
        readable = [(path, head) for path in paths if (head := self._if_read(path, pixels.header)) is not None]
        if not readable:
            raise none_read(unread or {})
        self.paths = [path for path, _ in readable]
        headers = [head for _, head in readable]
        self.channels = (3 if any(head.colour for head in headers) else 1) if channels is None else channels
        pixels.check_channels(self.channels)
        self.size = _common_size(self.paths, headers) if size is None else _checked_size(size)
        self.shape = (self.channels, *self.size)
        self.dtype = torch.float32 if any(head.deep for head in headers) else torch.uint8
        total = len(self.paths) * self.channels * self.size[0] * self.size[1] * self.dtype.itemsize
        # an empty tensor takes no memory until its pages are written
        self._cache = torch.empty(len(self.paths), *self.shape, dtype=self.dtype) if total <= cache_bytes else None
        self._cached = np.zeros(len(self.paths), dtype=bool)

    @property
    def cached(self) -> bool:
        """Whether decoded images are cached."""
        return self._cache is not None

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, index: Tensor) -> Tensor:
        """The images at the indices `index` (k,), as (k, c, h, w).

        Raises:
            SourceError: a file cannot be decoded.
            ResourceError: out of memory.
        """
        with memory_guard("scale the images down, or give the model a smaller --size"):
            return self._taken(index)

    def _taken(self, index: Tensor) -> Tensor:
        paths = [self.paths[position] for position in index.tolist()]
        if self._cache is None:
            taken, count = torch.empty(len(paths), *self.shape, dtype=self.dtype), 0
            for path in paths:
                image = self._if_read(path, self._decoded)
                if image is not None:
                    taken[count] = image
                    count += 1
            return taken[:count]
        for position, path in zip(index.tolist(), paths, strict=True):
            if not self._cached[position]:
                self._cache[position] = self._decoded(path)
                self._cached[position] = True
        return self._cache[index]

    def _decoded(self, path: Path) -> Tensor:
        image = pixels.decode(path, self.channels)
        return pixels.resize(image, self.size).to(self.dtype)

    def _if_read(self, path: Path, read: Callable[[Path], T]) -> T | None:
        try:
            return read(path)
        except SourceError as error:
            if self.unread is None:
                raise
            self.unread[path] = str(error)
            return None


def none_read(unread: dict[Path, str]) -> SourceError:
    """The error for the case that none of the files could be read."""
    return SourceError(f"none of {len(unread)} files could be read; the first: {next(iter(unread.values()))}")


def _checked_size(size: tuple[int, int]) -> tuple[int, int]:
    if len(size) != 2 or min(size) < 1:
        raise OptionError(f"size must be a height and a width of at least 1 pixel; got {size}")
    return int(size[0]), int(size[1])


def _common_size(paths: Sequence[Path], headers: Sequence[pixels.Header]) -> tuple[int, int]:
    first = headers[0].size
    for path, head in zip(paths, headers, strict=True):
        if head.size != first:
            sizes = f"{paths[0]} has {first[0]} x {first[1]} pixels (h x w) and {path} {head.size[0]} x {head.size[1]}"
            raise SourceError(f"{sizes}; scale all images to one size with --size H W (size=(H, W))")
    return first


def images_of_array(X: np.ndarray[Any, Any] | Tensor) -> Tensor:
    """Images (n, c, h, w) in grey levels from an array (n, h, w), (n, c, h, w) or (n, h, w, c), c 1 or 3.

    An ambiguous array is taken as channels first. dtypes are those of `pixels.pixels_of_array`.

    Raises:
        InputError: the array has another shape or type, or values that are not finite.

    >>> images_of_array(np.zeros((2, 28, 28, 3), dtype=np.uint8)).shape
    torch.Size([2, 3, 28, 28])
    """
    array = pixels.array_of(X, "images")
    shape = array.shape
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[1] not in (1, 3) and array.shape[3] in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    if array.ndim != 4 or array.shape[1] not in (1, 3):
        message = f"images must be (n, h, w), (n, c, h, w) or (n, h, w, c) with 1 or 3 channels; got {shape}"
        raise InputError(f"{message}. For one image use images[None].")
    if 0 in shape:
        raise InputError(f"images must hold at least one image of at least one pixel; got {shape}, which is empty")
    return pixels.pixels_of_array(array, "images")


def write_picture(pixels: np.ndarray[Any, np.dtype[np.uint8]], path: str | Path) -> None:
    """Saves pixels `(h, w)` or `(h, w, 3)` as a PNG, completely or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    with replacing(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")


def heat_colours(values: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """RGB colours (..., 3) of values (...): black at 0, pale yellow at 1; values outside are clipped.

    >>> heat_colours(np.array([0.0, 1.0])).tolist()
    [[0, 0, 0], [252, 255, 164]]
    """
    colours: np.ndarray[Any, np.dtype[np.uint8]] = _heat_table()[(np.clip(values, 0, 1) * 255).round().astype(np.uint8)]
    return colours


def _heat_table() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(256, 3) colours, interpolated between the anchors."""
    anchors = np.array(_HEAT, dtype=np.float64).T
    steps = np.linspace(0, 255, anchors.shape[1])
    return np.stack([np.interp(np.arange(256), steps, part) for part in anchors], 1).round().astype(np.uint8)
