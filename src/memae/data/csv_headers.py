"""Checks of a CSV file's header, which reveals most files that are not comma-separated tables."""

import csv
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from memae.errors import MemaeWarning, SourceError

MAX_COLUMNS = 20_000
"""Maximum number of columns of a table: each costs time and memory even without values."""
LONGEST = 2**24
"""Maximum number of characters in a header line."""
OTHER_SEPARATORS = (";", "\t", "|")


def check_header(path: Path, *, fits: bool) -> None:
    """Refuses a CSV file whose first rows show that it is not a comma-separated table.

    Args:
        path: a .csv file.
        fits: whether a model is fitted to it; if so, doubtful column names are warned about.

    Raises:
        SourceError: it cannot be read, its columns are not separated by commas, its first row is longer than its
            header, or it has more than `MAX_COLUMNS` columns.
    """
    try:
        check_width(path, _first_line(path).count(",") + 1)
        names, first = _rows(path, ",")
        check_width(path, len(names))
        if len(names) == 1:
            _check_separator(path, names[0])
    except csv.Error:  # a cell too long for this reader, but not for pandas
        return
    except (OSError, UnicodeError) as error:
        raise SourceError(
            f"{path} cannot be read as a table: it is not a CSV file in UTF-8 ({error}); export it again"
        ) from error
    if any(cell.strip() for cell in first[len(names) :]):
        message = f"{path} names {len(names)} columns but has {len(first)} values in its first row"
        raise SourceError(f"{message}; give every column a name, and put quotes around text with commas")
    if fits:
        for doubt in _doubts(names):
            warnings.warn(f"{path}: {doubt}", MemaeWarning, stacklevel=3)


def check_width(path: Path, columns: int) -> None:
    """Raises SourceError if a table has more than `MAX_COLUMNS` columns."""
    if columns > MAX_COLUMNS:
        message = f"{path} has {columns:,} columns, over the limit of {MAX_COLUMNS:,}"
        raise SourceError(f"{message}; leave some out, or transpose the table if its rows are columns")


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8-sig", newline="") as file:
        line = file.readline(LONGEST)
    if len(line) == LONGEST:
        raise SourceError(f"{path} has a line of more than {LONGEST:,} characters; is it a CSV file?")
    return line


def _rows(path: Path, separator: str) -> tuple[list[str], list[str]]:
    """The first two rows that are not blank."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = iter(lambda: file.readline(LONGEST), "")
        rows = list(islice(filter(None, islice(csv.reader(lines, delimiter=separator), 100)), 2))
    return tuple([*rows, [], []][:2])  # type: ignore[return-value]  # two of them


def _check_separator(path: Path, header: str) -> None:
    """Raises SourceError if another separator cuts header and first row into the same number of parts."""
    for separator in OTHER_SEPARATORS:
        if separator in header:
            names, first = _rows(path, separator)
            if len(names) == len(first) > 1:
                raise SourceError(
                    f"{path} separates its columns by {separator!r}; a comma is expected: export it with commas, "
                    f"or read it in Python with pandas.read_csv(…, sep={separator!r})"
                )


def _doubts(names: list[str]) -> Iterator[str]:
    """Sentences on column names that are probably a mistake."""
    shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    if all(map(_is_number, names)) and names != [str(index) for index in range(len(names))]:
        yield f"all column names are numbers ({shown}); if that is a row of values, put a header above it"
    elif names and not names[0].strip():
        yield "its first column has no name; if it numbers the rows, leave it out with --ignore 'Unnamed: 0'"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
