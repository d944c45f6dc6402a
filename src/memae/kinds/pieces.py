"""A folder in pieces that are scored apart: each file of tables, some pictures at a time, each film."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from memae.data.images import images_below, none_found
from memae.data.samples import digest
from memae.data.table_files import FORMATS
from memae.data.table_folders import InFolder, tables_of_one_format
from memae.data.videos import find_videos, frame_files

TOGETHER = 2000
"""Pictures of a piece: enough that starting it costs little, few enough that their headers are soon read."""


class Piece(NamedTuple):
    """What is scored apart from the rest of a folder."""

    name: str  # unique in the folder: the path in it, with /
    source: Any  # for `Kind.open`
    files: Sequence[Path]  # that are read

    def stamp(self) -> str:
        """Checksum of names, sizes and times of change of its files."""
        found = ((path.name, path.stat()) for path in self.files)
        return digest([f"{name}/{status.st_size}/{status.st_mtime_ns}\n".encode() for name, status in found])

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(path.stat().st_size for path in self.files)


def table_pieces(folder: Path) -> Iterator[Piece]:
    """Each table file of a folder, the largest first."""
    paths = tables_of_one_format(folder, FORMATS)
    yield from _largest_first(Piece(_name(path, folder), InFolder(path, folder), [path]) for path in paths)


def film_pieces(folder: Path) -> Iterator[Piece]:
    """Each film of a folder, a file or a folder of frames, the largest first."""
    films = find_videos(folder)
    yield from _largest_first(
        Piece(_name(path, folder), [path], frame_files(path) if path.is_dir() else [path]) for path in films
    )


def picture_pieces(folder: Path, skipped: list[Path]) -> Iterator[Piece]:
    """The pictures of a folder, `TOGETHER` at a time, in their order; of no picture more is read than its name.

    Args:
        folder: with pictures at any depth.
        skipped: receives what is left out as no picture.
    """
    pictures = images_below(folder, skipped)
    number = 0
    while paths := list(islice(pictures, TOGETHER)):
        yield Piece(f"pictures-{number:06d}", paths, paths)
        number += 1
    if not number:
        raise none_found(folder, skipped)


def _largest_first(pieces: Iterator[Piece]) -> list[Piece]:
    """Pieces by falling size, so that the last to be scored are small and no worker waits long for another."""
    return sorted(pieces, key=lambda piece: (-piece.size, piece.name))


def _name(path: Path, folder: Path) -> str:
    return path.name if path == folder else path.relative_to(folder).as_posix()
