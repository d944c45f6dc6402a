"""Formats of image files that are read, and how a damaged or unknown file is told from one that needs a plugin."""

from functools import cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

from PIL import Image

SIGNED = MappingProxyType(
    {
        "PNG": (".png", ".apng"),
        "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
        "BMP": (".bmp", ".dib"),
        "TIFF": (".tif", ".tiff"),
        "WEBP": (".webp",),
        "GIF": (".gif",),
        "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpx", ".jpf"),
        "AVIF": (".avif",),
        "HEIF": (".heic", ".heif", ".hif"),
        "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    }
)
"""Pillow's name of a format → its file endings; the first bytes tell these formats, whatever the ending."""
UNSIGNED = MappingProxyType({"TGA": (".tga",), "PCX": (".pcx",)})
"""Formats without clear first bytes: read only where the ending names them, since other files could be taken for one.

Formats that run programs (EPS, WMF), hold no photos (ICO, DDS, FITS, …) or are decoded on opening (JPEG XL) are left
out: `memae.data.pixels` promises that a header is read, and its size checked, before memory is allocated.
"""
SUFFIXES = frozenset(suffix for suffixes in (*SIGNED.values(), *UNSIGNED.values()) for suffix in suffixes)
NAMES = "PNG, JPEG, BMP, TIFF, WebP, GIF, JPEG 2000, AVIF, HEIC, PNM, TGA or PCX"
"""The formats, for texts."""
PAGED = frozenset({"TIFF", "GIF", "WEBP", "AVIF", "HEIF", "PNG"})
"""Formats whose files may hold several images; the further ones of a JPEG (MPO) are previews and depth."""

_BRANDS = {b"heic": "HEIF", b"heix": "HEIF", b"heim": "HEIF", b"heis": "HEIF", b"mif1": "HEIF", b"avif": "AVIF"}
_MISSING = {
    "HEIF": "is a HEIC photo, which needs the package pillow-heif: pip install 'memae[heic]'",
    "AVIF": "is an AVIF photo, which the installed Pillow does not decode: upgrade it (pip install -U pillow)",
}


def formats_of(path: Path) -> list[str]:
    """Pillow's names of the formats that `path` may have, of those that can be decoded here."""
    if _brand(path) == "HEIF":
        _with_heif()
    unsigned = [name for name, suffixes in UNSIGNED.items() if path.suffix.lower() in suffixes]
    return [name for name in (*SIGNED, *unsigned) if name in _registered()]


def why_unknown(path: Path) -> str:
    """Why Pillow recognises none of these formats in a file, and what to do."""
    missing = _brand(path)
    if missing and missing not in _registered():
        return f"{_MISSING[missing]}, or convert it to PNG"
    return f"is not a {NAMES} image, or it is damaged; convert it to PNG or take it out"


def _brand(path: Path) -> str:
    """Which of the formats that need a plugin the first bytes of a file name; empty for none."""
    with path.open("rb") as file:
        first = file.read(12)
    return _BRANDS.get(first[8:], "") if first[4:8] == b"ftyp" else ""


def _registered() -> dict[str, object]:
    Image.init()  # Pillow's own plugins; at once if they are there
    return Image.OPEN  # type: ignore[return-value]


@cache
def _with_heif() -> None:
    """Registers the plugin for HEIC with Pillow, if it is installed."""
    try:
        import_module("pillow_heif").register_heif_opener()
    except ImportError:
        return


def depth_of_jpeg2000(path: Path) -> int:
    """Bits a channel of a JPEG 2000 file, from the marker SIZ at the start of its codestream (ISO 15444-1, A.5.1)."""
    with path.open("rb") as file:
        start = file.read(2**20)  # boxes with metadata may come first
    at = start.find(b"\xff\x4f\xff\x51")
    depth = start[at + 42 : at + 43] if at >= 0 else b""
    return (depth[0] & 0x7F) + 1 if depth else 8
