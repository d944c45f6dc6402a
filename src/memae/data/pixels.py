"""Pixels of any source in one unit: the 8-bit grey level, 0 (black) to 255 (white).

8-bit sources give uint8. 16-bit sources give float32, divided by 257, so that 65535 becomes 255.0.
"""

import ctypes
import io
import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import torch
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError, _imaging
from torch import Tensor

from memae.data import image_formats
from memae.errors import InputError, MemaeError, MemaeWarning, OptionError, SourceError

IMAGE_SUFFIXES = image_formats.SUFFIXES
MAX_PIXELS = 100_000_000  # larger images are refused by their header, before memory is allocated
DEEP = 4  # ratio of the peak memory of 16-bit colour to that of 8-bit colour
_HUNGRY = frozenset({"WEBP", "JPEG2000", "AVIF", "HEIF"})  # formats whose decoders take up to twice the memory

_COLOUR = frozenset({"P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr"})
_LUMA = (19595, 38470, 7471)  # ITU-R 601 in 1/65536, as Pillow rounds it
_PIPES = {"PNG": "png_pipe", "TIFF": "tiff_pipe", "JPEG2000": "j2k_pipe", "PPM": "ppm_pipe"}  # of FFmpeg
_FLIPS: dict[int, tuple[int, ...]] = {2: (-1,), 3: (-2, -1), 4: (-2,), 6: (-1,), 7: (-2, -1), 8: (-2,)}


class Header(NamedTuple):
    """Properties of an image file from its header.

    Attributes:
        size: height and width in pixels, upright.
        colour: whether it can hold colour.
        deep: whether it has 16 bits a channel.
    """

    size: tuple[int, int]
    colour: bool
    deep: bool


def is_image(path: Path) -> bool:
    """Whether `path` has the file ending of an image.

    >>> is_image(Path("a/001.TIF")), is_image(Path("notes.txt"))
    (True, False)
    """
    return path.suffix.lower() in IMAGE_SUFFIXES


def natural_key(path: Path) -> tuple[Any, ...]:
    """Sorting key for natural order: frame 10 comes after frame 9.

    >>> [path.name for path in sorted([Path("f10.png"), Path("f9.png")], key=natural_key)]
    ['f9.png', 'f10.png']
    """
    parts = (re.split(r"([0-9]+)", part) for part in path.parts)
    return *((tuple(int(p) if i % 2 else p.casefold() for i, p in enumerate(part))) for part in parts), (str(path),)


def is_hidden(path: Path) -> bool:
    """Whether a file or folder is hidden: its name starts with a dot."""
    return path.name.startswith(".")


def entries(folder: Path) -> list[Path]:
    """The files and folders in `folder`, in natural order; SourceError if it cannot be listed."""
    try:
        return sorted(folder.iterdir(), key=natural_key)
    except OSError as error:
        raise _unreadable(folder, error) from error


def visible(folder: Path) -> list[Path]:
    """The entries of `folder` that are not hidden; see `entries`."""
    return [entry for entry in entries(folder) if not is_hidden(entry)]


def check_readable(path: Path) -> None:
    """Raises SourceError unless `path` is a file that may be read and is not empty."""
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise _unreadable(path, error) from error
    if empty:
        raise SourceError(f"{path} is empty (0 bytes); copy or export it again")


def _unreadable(path: Path, error: OSError) -> SourceError:
    return SourceError(f"cannot read {path}: {error.strerror}; check the path and its permissions")


def _oversized(path: Path, count: int, limit: int) -> SourceError:
    return SourceError(f"{path} has {count:,} pixels, over the limit of {limit:,}; scale it down or cut it")


@cache
def _hush() -> None:
    """Keeps Pillow and libtiff from writing to stderr what our own errors already say."""
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    with suppress(OSError, AttributeError):  # libtiff may not be a shared library
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences Pillow's warnings about metadata, which do not affect pixels, and sizes, which MAX_PIXELS limits."""
    _hush()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        yield


class _File(io.BufferedReader):
    """A file whose `read` asks for no more than the file holds.

    Otherwise memory would be allocated for whatever length a damaged file claims.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(os.fstat(self.fileno()).st_size - self.tell(), 0)
        return super().read(left if size is None or size < 0 else min(size, left))


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The image with its header read; whatever Pillow raises becomes a SourceError."""
    check_readable(path)
    try:
        # given a path, Pillow would memory-map a rotated TIFF with height and width swapped
        formats = image_formats.formats_of(path)
        with _quiet(), _File(io.FileIO(path)) as file, Image.open(file, formats=formats) as image:
            yield image
    except (MemaeError, MemaeWarning, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise _oversized(path, int(re.findall("[0-9]+|$", str(error))[0] or 0), MAX_PIXELS) from error
    except UnidentifiedImageError as error:
        raise SourceError(f"{path} {image_formats.why_unknown(path)}") from error
    except Exception as error:  # Pillow's parsers raise nearly any type on damaged bytes
        raise SourceError(f"{path} is damaged or incomplete ({error}); copy or export it again") from error


def _header(image: Image.Image, path: Path) -> Header:
    raw, deep = _depth(image, path)
    limit = MAX_PIXELS // (DEEP if deep and image.mode in _COLOUR else 2 if image.format in _HUNGRY else 1)
    if image.width * image.height > limit:
        raise _oversized(path, image.width * image.height, limit)
    if image.mode.startswith("I;16") or (image.mode == "I" and (raw == "I;16B" or image.format == "PPM")):
        return Header(_upright_size(image), False, True)
    if image.mode not in _COLOUR | {"1", "L", "LA"}:
        expected = "8- or 16-bit grey or colour is expected: convert it"
        raise SourceError(f"{path} has pixels of the kind {raw or image.mode!r}; {expected}")
    return Header(_upright_size(image), image.mode in _COLOUR and not raw.startswith("LA"), deep)


def _depth(image: Image.Image, path: Path) -> tuple[str, bool]:
    """Pillow's raw mode of the pixels, and whether the file has 16 bits a channel.

    It must come from the header, since Pillow reduces 16-bit colour to 8 bits on loading.
    """
    args = getattr(image, "tile", None) and image.tile[0].args  # type: ignore[attr-defined]
    raw = str(args[0] if isinstance(args, tuple) else args or "")
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return raw, max(image.tag_v2.get(258, (1,))) > 8
    if image.format == "PPM":
        return raw, isinstance(args, tuple) and max(int(each) for each in args[1:2]) > 255
    if image.format == "JPEG2000" and image.mode in _COLOUR:
        return raw, image_formats.depth_of_jpeg2000(path) > 8
    return raw, ";16" in raw and image.format == "PNG"  # BMP packs 8-bit colours as BGR;16


def _orientation(image: Image.Image) -> int:
    # getexif() of a PNG without EXIF would decode the whole image to search the chunks after the pixels
    no_exif = image.format == "PNG" and "exif" not in image.info
    return 1 if no_exif else int(image.getexif().get(0x0112, 1))


def _upright_size(image: Image.Image) -> tuple[int, int]:
    swapped = image.format != "TIFF" and _orientation(image) >= 5  # Pillow swaps the size of a TIFF itself
    return (image.width, image.height) if swapped else (image.height, image.width)


def header(path: Path) -> Header:
    """Size, colour and depth of an image file without decoding its pixels; SourceError as in `decode`."""
    with _opened(path) as image:
        return _header(image, path)


def decode(path: Path, channels: int) -> Tensor:
    """The pixels of an image file, upright (EXIF) and without alpha, as (channels, h, w).

    Colours are kept as stored where alpha is above 0. Pixels that alpha hides completely become black, since encoders
    fill them with anything; if it hides all pixels, it is taken as unset. Colour profiles are not applied.

    Args:
        path: a file of one of the formats in `image_formats`; the first image of one that holds several.
        channels: 1 for grey (ITU-R 601 luma of colours), 3 for RGB (grey is repeated).

    Returns:
        uint8; float32 in the same unit for a file with 16 bits a channel. AVIF and HEIC give 8 bits, as Pillow does.

    Raises:
        OptionError: `channels` is neither 1 nor 3.
        SourceError: the file is missing, empty, truncated, oversized or not such an image.
    """
    check_channels(channels)
    with _opened(path) as image:
        head = _header(image, path)
        pages = getattr(image, "n_frames", 1) if image.format in image_formats.PAGED else 1
        if pages > 1:
            message = f"{path} has {pages} {_parts_of(image)} and only the first is read; save each as a file"
            warnings.warn(message, MemaeWarning, stacklevel=3)
        orientation = _orientation(image)
        image.load()  # raises on truncated files, whose missing part FFmpeg would fill in
        if head.deep and image.mode in _COLOUR:
            alpha = "A" in image.mode or "A" in _depth(image, path)[0]
            pixels = _deep_colour(path, head.colour, _PIPES[image.format or ""], alpha=alpha)
            return with_channels(_upright(pixels, orientation), channels)
        return with_channels(pixels_of_array(_flat(image, head), str(path)), channels)


def _flat(image: Image.Image, head: Header) -> np.ndarray[Any, Any]:
    """Pixels (1 or 3, h, w) of an image that Pillow decodes without loss."""
    ImageOps.exif_transpose(image, in_place=True)
    image.info.pop("transparency", None)  # alpha is dropped, and Pillow would warn about it
    if head.deep:
        return np.asarray(image)[None].astype(np.uint16)
    # RGBa holds colours multiplied by alpha, which only RGBA undoes
    straight = image.convert("RGBA") if image.mode == "RGBa" else image
    mode = "RGB" if head.colour else "L"
    kept = straight if straight.mode == mode else straight.convert(mode)  # which copies
    planes = np.asarray(kept).transpose(2, 0, 1) if head.colour else np.asarray(kept)[None]
    return _visible(planes, np.asarray(straight.getchannel("A"))) if straight.mode.endswith("A") else planes


def _visible(planes: np.ndarray[Any, Any], alpha: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Planes (c, h, w), black where `alpha` (h, w) is 0, unless it is 0 everywhere."""
    return np.multiply(planes, alpha > 0, order="C") if alpha.min() == 0 < alpha.max() else planes


def _parts_of(image: Image.Image) -> str:
    return "pages" if image.format in ("TIFF", "HEIF") else "frames"


def _deep_colour(path: Path, colour: bool, pipe: str, *, alpha: bool) -> Tensor:
    """Pixels (c, h, w) of a 16-bit image, decoded by FFmpeg, since Pillow would reduce them to 8 bits."""
    kind = "rgba64le" if alpha else "rgb48le" if colour else "gray16le"
    try:
        with av.open(BytesIO(path.read_bytes()), "r", format=pipe) as file:
            array = np.atleast_3d(frame_array(next(file.decode(video=0)), kind)).transpose(2, 0, 1)
    except (av.FFmpegError, StopIteration) as error:
        raise SourceError(f"{path} is 16-bit colour in an unsupported format; save it as 16-bit PNG") from error
    planes = array[: 3 if colour else 1]
    return pixels_of_array(_visible(planes, array[3]) if alpha else planes, str(path))


def frame_array(frame: av.VideoFrame, kind: str, size: tuple[int, int] | None = None) -> np.ndarray[Any, Any]:
    """A frame converted to the pixel format `kind`, `(h, w)` or `(h, w, 3)`, and scaled to `size` if given.

    It is converted on this thread, since FFmpeg would start a pool of threads for each frame. It is copied, since a
    view would free FFmpeg's memory on whatever thread drops it last.
    """
    height, width = size or (frame.height, frame.width)
    return frame.to_ndarray(format=kind, width=width, height=height, threads=1).copy()


def _upright(pixels: Tensor, orientation: int) -> Tensor:
    """`ImageOps.exif_transpose` for a tensor (c, h, w)."""
    return (pixels.mT if orientation >= 5 else pixels).flip(_FLIPS.get(orientation, ())).contiguous()


def check_channels(channels: int) -> None:
    """Raises OptionError unless `channels` is 1 or 3."""
    if channels not in (1, 3):
        raise OptionError(f"channels must be 1 (grey) or 3 (RGB); got {channels}")


def with_channels(pixels: Tensor, channels: int) -> Tensor:
    """Pixels (..., c, h, w) with `channels` channels: grey is the ITU-R 601 luma of RGB, RGB repeats grey.

    >>> with_channels(torch.tensor([255, 0, 0], dtype=torch.uint8).reshape(3, 1, 1), 1).item()
    76
    """
    if pixels.shape[-3] == channels:
        return pixels
    if channels == 3:
        return pixels.repeat_interleave(3, -3)
    exact = pixels.dtype == torch.uint8
    weights = torch.tensor(_LUMA, dtype=torch.int32 if exact else torch.float32).reshape(3, 1, 1)
    total = (pixels * weights).sum(-3, keepdim=True, dtype=weights.dtype)
    return ((total + 32768) >> 16).to(torch.uint8) if exact else total / 65536


def resize(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """`pixels` (..., h, w) scaled to `size` (height, width): bilinear, with antialiasing, same dtype.

    >>> resize(torch.full((1, 8, 8), 7, dtype=torch.uint8), (4, 2)).unique().tolist()
    [7]
    """
    if tuple(pixels.shape[-2:]) == tuple(size):
        return pixels
    # one plane at a time, so that values do not depend on channels or batch size
    planes = pixels.reshape(-1, 1, *pixels.shape[-2:])
    scaled = torch.nn.functional.interpolate(planes, size=tuple(size), mode="bilinear", antialias=True)
    return scaled.reshape(*pixels.shape[:-2], *size)


def pixels_of_array(array: np.ndarray[Any, Any], name: str) -> Tensor:
    """Pixels of an array of any shape in grey levels: uint8 for uint8 and bool, else float32.

    uint16 is divided by 257, bool becomes 0 and 255; floats and other integers are taken as grey levels.

    Raises:
        InputError: the values are not real and finite.

    >>> pixels_of_array(np.array([0, 65535], dtype=np.uint16), "image")
    tensor([  0., 255.])
    """
    if array.dtype.kind not in "buif":
        raise InputError(f"{name} has values of type {array.dtype}; uint8, uint16, bool or float is expected")
    if array.dtype.kind == "b":
        return torch.from_numpy(array.astype(np.uint8) * 255)
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        scaled = array.astype(np.float32)
        scaled /= 257
        return torch.from_numpy(scaled)
    if array.dtype == np.uint8:
        return torch.from_numpy(np.require(array, requirements=["C", "W"]))
    with np.errstate(over="ignore"):  # values that overflow float32 are reported as not finite
        array = np.require(array, np.float32, ["C", "W"])
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        values = f"{len(wrong)} values that are not finite, the first at {tuple(map(int, wrong[0]))}"
        raise InputError(f"{name} has {values}; replace them or leave those samples out")
    return torch.from_numpy(array)


def array_of(values: Any, name: str) -> np.ndarray[Any, Any]:
    """`values` (array, tensor or nested lists) as a NumPy array; InputError if their shapes differ."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return np.asarray(values.float() if values.dtype == torch.bfloat16 else values)
    try:
        return np.asarray(values)
    except ValueError as error:
        raise InputError(f"{name} must form one array; got parts of different shapes: make them equal") from error
