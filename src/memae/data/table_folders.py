"""Folders of table files as one table, with a column for each part of Hive-partitioned paths."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote

import pandas as pd

from memae.data.dialects import Reading
from memae.data.table_readers import FILE, TableReader
from memae.data.unpacking import ending
from memae.errors import MemaeNotice, SourceError

NOTHING = "__HIVE_DEFAULT_PARTITION__"
"""A missing value in a partition's name."""


class Opener(Protocol):
    """Opens one file of a folder."""

    def __call__(self, path: Path, text: Iterable[str] | None, reading: Reading) -> TableReader:
        """The file as a table."""


def table_paths(folder: Path, endings: frozenset[str]) -> list[Path]:
    """The table files in a folder and its folders, in order of their paths, but for hidden ones and those with a _."""
    inside = (path for path in sorted(folder.rglob("*")) if path.is_file() and ending(path) in endings)
    return [path for path in inside if not any(part[0] in "._" for part in path.relative_to(folder).parts)]


class InFolder(NamedTuple):
    """One table file of a folder."""

    path: Path
    folder: Path

    def whole(self, chunk: pd.DataFrame, text: Sequence[str]) -> pd.DataFrame:
        """Rows of the file with a column for each part of its path.

        Args:
            chunk: rows as they lie in the file.
            text: columns whose values are taken literally.
        """
        parts = _partition(self.path.relative_to(self.folder))
        values = {key: value if key in text else _typed([value])[0] for key, value in parts.items()}
        return chunk.assign(**{key: value for key, value in values.items() if key not in chunk.columns})


def tables_of_one_format(folder: Path, endings: frozenset[str]) -> list[Path]:
    """The table files in a folder; see `table_paths`.

    Raises:
        SourceError: there is none, or there are several formats.
    """
    paths = table_paths(folder, endings)
    if not paths:
        raise SourceError(f"{folder} has no table in it: no file ends in {', '.join(sorted(endings))}")
    forms = sorted({ending(path) for path in paths})
    if len(forms) > 1:
        raise SourceError(f"{folder} has files of several formats, {', '.join(forms)}; give a folder of one of them")
    return paths


def folder_of(
    folder: Path, endings: frozenset[str], opener: Opener, text: Iterable[str] | None, reading: Reading
) -> TableReader:
    """A folder as one table: its files one after the other, in the order of columns of the first.

    Args:
        folder: with files of one format.
        endings: of table files.
        opener: opens a file.
        text: see `table_chunks`.
        reading: what is known of the files; the first one decides where others do not tell.

    Raises:
        SourceError: there is no table, there are several formats, or the columns differ.
    """
    paths = tables_of_one_format(folder, endings)
    _tell(folder, paths)
    first = opener(paths[0], text, reading)
    readers = [first, *(_like(first, path, opener, reading) for path in paths[1:])]
    parts = [_partition(path.relative_to(folder)) for path in paths]
    keys = list(parts[0])
    for path, part in zip(paths, parts, strict=True):
        if list(part) != keys:
            raise SourceError(f"{path} lies in partitions {list(part)}, {paths[0]} in {keys}; give files of one kind")
    columns = {key: _typed([part[key] for part in parts]) for key in keys}
    literal = first.text | {key for key, values in columns.items() if values.dtype == object}

    def read() -> Iterator[pd.DataFrame]:
        names: list[Any] | None = None
        for number, (path, reader) in enumerate(zip(paths, readers, strict=True)):
            for chunk in reader.chunks():
                given = {key: values[number] for key, values in columns.items() if key not in chunk.columns}
                whole = chunk.assign(**given)
                names = list(whole.columns) if names is None else names
                whole = _in_order(whole, names, path, paths[0])
                whole.attrs[FILE] = number
                yield whole

    return TableReader(read, first.dialect, frozenset(literal))


def _tell(folder: Path, paths: Sequence[Path]) -> None:
    """Says how many files are read, the partition columns, and what else lies in the folder."""
    keys = list(_partition(paths[0].relative_to(folder)))
    columns = f", with the columns {', '.join(map(repr, keys))} from the names of their folders" if keys else ""
    count = f"{len(paths):,} {ending(paths[0])} file{'s' * (len(paths) > 1)}"
    known = set(paths)
    others = [path for path in folder.rglob("*") if path.is_file() and path not in known and path.name[0] not in "._"]
    rest = f"; {len(others):,} other files are left out, such as {others[0].name}" if others else ""
    warnings.warn(f"{folder}: {count} as one table{columns}{rest}", MemaeNotice, stacklevel=3)


def _like(first: TableReader, path: Path, opener: Opener, reading: Reading) -> TableReader:
    """A further file, whose layout is told only if it differs from that of the first."""
    reading = Reading(reading.wanted, first.dialect)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        reader = opener(path, first.text, reading)
    for each in told:
        if reader.dialect != first.dialect or not issubclass(each.category, MemaeNotice):
            warnings.warn(str(each.message), each.category, stacklevel=2)
    return reader


def _partition(path: Path) -> dict[str, str | None]:
    """Column → value, as the folders of a path name them: year=2024/month=5."""
    pairs = (part.partition("=") for part in path.parts[:-1] if "=" in part)
    return {unquote(key): None if value == NOTHING else unquote(value) for key, _, value in pairs}


def _typed(values: list[str | None]) -> "pd.Series[Any]":
    """Values of a partition column, as numbers if all are."""
    texts = pd.Series(values, dtype=object)
    numbers = pd.to_numeric(texts, errors="coerce")
    return numbers if (numbers.notna() | texts.isna()).all() and numbers.notna().any() else texts


def _in_order(chunk: pd.DataFrame, names: list[Any], path: Path, first: Path) -> pd.DataFrame:
    """A chunk with its columns as in the first file."""
    if list(chunk.columns) == names:
        return chunk
    lacking = [name for name in names if name not in chunk.columns]
    more = [name for name in chunk.columns if name not in names]
    if lacking or more:
        message = f"lacks the column {lacking[0]!r}" if lacking else f"has a column {more[0]!r} more"
        raise SourceError(f"{path} {message} than {first}; the files of a folder must have the same columns")
    return chunk[names]
