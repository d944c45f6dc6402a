"""Compressed files as streams of bytes."""

import bz2
import gzip
import lzma
import zipfile
from collections.abc import Callable, Mapping
from io import BufferedReader
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

from memae.errors import SourceError

BLOCK = 2**20


def _zstd(path: Path) -> BufferedReader:
    import pyarrow as pa  # noqa: PLC0415 (only such files need it)

    return BufferedReader(pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"))


COMPRESSED: Mapping[str, Callable[[Path], Any]] = MappingProxyType(
    {
        ".gz": gzip.GzipFile,
        ".bz2": bz2.BZ2File,
        ".xz": lzma.LZMAFile,
        ".zst": _zstd,
    }
)
"""Endings of compressed files, and how they are opened."""
SIGNATURES = {b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\xfd7zXZ\0": ".xz", b"\x28\xb5\x2f\xfd": ".zst"}
"""First bytes of compressed files."""


def compression(path: Path) -> str:
    """How a file is compressed, by its first bytes: an ending of `COMPRESSED`, or "" for a file that is not."""
    with path.open("rb") as file:
        start = file.read(6)
    return next((ending for signature, ending in SIGNATURES.items() if start.startswith(signature)), "")


def opened(path: Path) -> IO[bytes]:
    """The bytes of a file, unpacked if it is compressed; its first bytes tell, not its name."""
    packed = compression(path)
    return COMPRESSED[packed](path) if packed else path.open("rb")


def ending(name: str | Path) -> str:
    """The ending of a file's name in lower case, without that of a compression.

    Example:
        >>> ending("orders.CSV.gz"), ending("orders.parquet"), ending("orders")
        ('.csv', '.parquet', '')
    """
    path = Path(name)
    return (Path(path.stem) if path.suffix.lower() in COMPRESSED else path).suffix.lower()


def check_unpacked(path: Path, most: float) -> None:
    """Raises SourceError if a packed file has more than `most` bytes unpacked; it is read once, in blocks.

    A sheet of Excel is a zip archive, which tells its size.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            size = sum(each.file_size for each in archive.infolist())
    elif compression(path):
        with opened(path) as file:
            size = 0
            while size <= most and (block := file.read(BLOCK)):
                size += len(block)
    else:
        return
    if size > most:
        raise SourceError(f"{path} has more than {most / 1e6:,.0f} MB unpacked; send it in several parts")
