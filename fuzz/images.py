"""Images: all formats that are read, in many modes, formats that must be refused, and bombs."""

import struct
import zlib
from collections.abc import Sequence
from functools import cache, partial
from io import BytesIO
from random import Random
from typing import Any

import av
import numpy as np
import torch
from PIL import Image

from fuzz import mutations, places
from fuzz.formats import Format, taken
from memae.cli.score_table import Places
from memae.data.images import ImageFiles, find_images

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SIZE = (9, 13)  # height and width


def target(data: bytes) -> int:
    """Uses an image for fit and score."""
    path = places.put("a.png", data)
    score = partial(places.scored_into, places.image_detector(), path, ".csv")
    return taken(partial(_fitted, path), partial(score, places=Places(places.folder() / "maps")))


def _fitted(path: Any) -> None:
    """Reads an image as `memae fit images` does, without and with a size."""
    one = torch.tensor([0])
    ImageFiles(find_images(path)).take(one)
    ImageFiles(find_images(path), channels=1, size=(5, 5)).take(one)


# --------------------------------------------------------------------------------------------------------- valid files


@cache
def seeds() -> tuple[bytes, ...]:
    """A small image of each kind."""
    return (*_pngs(), *_jpegs(), *_bitmaps(), *_tiffs(), *_webps(), *_gifs(), *_jpegs_2000(), *_others(), *_foreign())


def _saved(mode: str, kind: str, **options: Any) -> bytes:
    noise = Image.fromarray(places.pixels(*SIZE, 4), "RGBA")
    image = Image.fromarray(places.pixels(*SIZE).astype(np.uint16) * 257) if mode == "I;16" else _as(noise, mode)
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _as(image: Image.Image, mode: str) -> Image.Image:
    return image.convert(mode) if mode in ("RGBA", "LA") else image.convert("RGB").convert(mode)


def _pngs() -> list[bytes]:
    exif = Image.Exif()
    exif[0x0112] = 6
    plain = [_saved(mode, "PNG") for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")]
    text = _saved("L", "PNG", exif=exif, dpi=(72, 72), icc_profile=b"no profile")
    clear = _saved("P", "PNG", transparency=0)
    interlaced = png(1, 1, 8, 0, bytes(2), interlace=1)
    deep = png(3, 2, 16, 2, b"".join(b"\0" + bytes(range(18)) for _ in range(2)))
    return [*plain, text, clear, interlaced, deep]


def _jpegs() -> list[bytes]:
    exif = Image.Exif()
    exif[0x0112] = 5
    kinds = [_saved(mode, "JPEG") for mode in ("L", "RGB", "CMYK", "YCbCr")]
    return [*kinds, _saved("RGB", "JPEG", progressive=True, exif=exif), _saved("RGB", "JPEG", subsampling=0, quality=3)]


def _bitmaps() -> list[bytes]:
    return [_saved(mode, "BMP") for mode in ("1", "L", "P", "RGB", "RGBA")]


def _tiffs() -> list[bytes]:
    plain = [_saved(mode, "TIFF") for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "F", "I")]
    ways = ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
    packed = [_saved("RGB", "TIFF", compression=way) for way in ways]
    fax = _saved("1", "TIFF", compression="group4")
    pages = _saved("L", "TIFF", save_all=True, append_images=[Image.new("L", (3, 4))])
    return [*plain, *packed, fax, pages, _deep("tiff")]


def _deep(codec: str) -> bytes:
    """An image with 16 bits a channel, which Pillow cannot write."""
    out = BytesIO()
    with av.open(out, "w", format="image2pipe") as container:
        stream: Any = container.add_stream(codec, rate=1)
        stream.width, stream.height, stream.pix_fmt = SIZE[1], SIZE[0], "rgb48le"
        frame = av.VideoFrame.from_ndarray(places.pixels(*SIZE, 3).astype(np.uint16) * 257, "rgb48le")
        container.mux([*stream.encode(frame), *stream.encode()])
    return out.getvalue()


def _webps() -> list[bytes]:
    exif = Image.Exif()
    exif[0x0112] = 8
    frames = _saved("RGB", "WEBP", save_all=True, append_images=[Image.new("RGB", SIZE[::-1])])
    return [_saved("RGB", "WEBP", exif=exif), _saved("RGBA", "WEBP"), _saved("RGBA", "WEBP", lossless=True), frames]


def _gifs() -> list[bytes]:
    frames = _saved("P", "GIF", save_all=True, append_images=[Image.new("P", SIZE[::-1])])
    return [_saved("L", "GIF"), _saved("P", "GIF", transparency=3), _saved("P", "GIF", interlace=1), frames]


def _jpegs_2000() -> list[bytes]:
    plain = [_saved(mode, "JPEG2000") for mode in ("L", "LA", "RGB", "RGBA", "I;16")]
    return [*plain, _saved("RGB", "JPEG2000", no_jp2=True), _deep("jpeg2000")]


def _others() -> list[bytes]:
    avif = [_saved(mode, "AVIF") for mode in ("RGB", "RGBA")]
    deep = b"P6 2 1 65535\n" + bytes(range(12))
    return [*avif, *(_saved(mode, "PPM") for mode in ("1", "L", "RGB", "I;16")), deep, b"P2 2 1 4095\n7 4000\n"]


def _foreign() -> list[bytes]:
    """Images in formats that are not read, at least with the ending of a PNG."""
    return [_saved("RGB", "ICO"), _saved("RGB", "TGA"), _saved("RGB", "PCX"), _saved("RGB", "SGI")]


@cache
def bombs() -> tuple[bytes, ...]:
    """Small files of huge images, below and above the limit of pixels."""
    kinds = (
        (9990, 8, 0, 1),
        (9990, 8, 6, 4),
        (4990, 16, 2, 6),
        (9990, 1, 3, 1 / 8),
    )  # side, bits, colour, bytes a pixel
    pictures = [png(side, side, bits, kind, lines=(side, int(side * width) + 2)) for side, bits, kind, width in kinds]
    return (*pictures, png(20_000, 20_000, 8, 0, b""), png(2**31 - 1, 2**31 - 1, 8, 0, b""))


def png(
    height: int, width: int, bits: int, kind: int, raw: bytes = b"", *, interlace: int = 0, lines: Any = None
) -> bytes:
    """A PNG of the raw lines `raw`, or of zeros: `lines` is the number of lines and the bytes of each."""
    head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, interlace)
    palette = [(b"PLTE", bytes(range(48)))] if kind == 3 else []
    packed = zlib.compress(raw) if lines is None else _zeros(*lines)
    return joined([(b"IHDR", head), *palette, (b"IDAT", packed), (b"IEND", b"")])


def _zeros(count: int, line: int) -> bytes:
    packer = zlib.compressobj(1)
    return b"".join([*(packer.compress(bytes(line)) for _ in range(count)), packer.flush()])


# ------------------------------------------------------------------------------------------------------------- spoiling


def spoiled(files: Sequence[bytes], random: Random) -> bytes:
    """An image with faults, in its structure if that is known."""
    data = random.choice(files)
    if random.random() < 0.6:
        for signature, way in _STRUCTURES:
            if data.startswith(signature):
                data = way(data, random)
    return data if random.random() < 0.4 else mutations.spoiled(data, files, random)


def joined(chunks: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A PNG of chunks, with correct checksums."""
    parts = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    ]
    return SIGNATURE + b"".join(parts)


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    chunks, start = [], len(SIGNATURE)
    while start + 8 <= len(data):
        (length,) = struct.unpack(">I", data[start : start + 4])
        chunks.append((data[start + 4 : start + 8], data[start + 8 : start + 8 + length]))
        start += length + 12
    return chunks


def _png(data: bytes, random: Random) -> bytes:
    chunks = _chunks(data)
    for _ in range(random.choice((1, 1, 2))):
        index = random.randrange(len(chunks))
        name, body = chunks[index]
        way = random.randrange(5)
        if way == 0:
            del chunks[index]
        elif way == 1:
            chunks.insert(random.randrange(len(chunks) + 1), (name, body))
        elif way == 2:
            name = random.choice((b"tRNS", b"gAMA", b"iCCP", b"zTXt", b"iTXt", b"eXIf", b"acTL", b"fcTL", b"PLTE"))
            chunks.insert(index, (name, random.choice((zlib.compress(bytes(10**6)), random.randbytes(9), body))))
        else:
            chunks[index] = name, mutations.spoiled(body, [each for _, each in chunks], random)
        if not chunks:
            break
    return joined(chunks)


def _jpeg(data: bytes, random: Random) -> bytes:
    """Changes a number in a segment, such as the size, depth or number of components in the frame header."""
    out = bytearray(data)
    starts = [offset for offset in range(len(out) - 1) if out[offset] == 0xFF and out[offset + 1] not in (0, 0xFF)]
    start = random.choice(starts) + random.randrange(2, 12)
    size = random.choice((1, 2))
    out[start : start + size] = mutations.number(random, size, ">")
    return bytes(out)


def _tiff(data: bytes, random: Random) -> bytes:
    """Changes entries of the directory: tag, type, count or value."""
    out, order = bytearray(data), "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack(f"{order}I", data[4:8])
    (count,) = struct.unpack(f"{order}H", data[start : start + 2]) if start + 2 <= len(data) else (0,)
    for _ in range(random.choice((1, 1, 2, 4)) if count else 0):
        entry = start + 2 + 12 * random.randrange(count)
        offset, size = random.choice(((0, 2), (2, 2), (4, 4), (8, 4), (8, 2)))
        out[entry + offset : entry + offset + size] = mutations.number(random, size, order)
    return bytes(out)


_STRUCTURES = ((SIGNATURE, _png), (b"\xff\xd8", _jpeg), (b"II*\0", _tiff), (b"MM\0*", _tiff))
FORMAT = Format("images", seeds, spoiled, target, bombs)
