"""Table files that are no text of rows: Parquet, Arrow, JSON lines, Excel; all but Excel in constant memory."""

import codecs
import csv
import json
import warnings
from collections.abc import Callable, Iterable, Iterator
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pandas as pd

from memae.data.cells import kind_of
from memae.data.csv_files import check_width
from memae.data.unpacking import opened
from memae.errors import MemaeError, MemaeNotice, MissingExtraError, SourceError

Rows = Callable[[int], int]
"""Number of columns → maximum number of rows to read at once."""


def unreadable(path: Path, error: Exception) -> SourceError:
    """The error of a file that a library cannot read."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return SourceError(f"{path} cannot be read as a table: {reason}; repair or export it again")


def parquet(path: Path, rows: Rows) -> Iterator[pd.DataFrame]:
    """A Parquet file in chunks."""
    import pyarrow.parquet  # noqa: PLC0415 (only Parquet needs it)

    try:
        # without a buffer size, Arrow reads whole row groups, however large they are
        with pyarrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=2**16) as file:
            check_width(path, file.metadata.num_columns)
            yield from _frames(file.iter_batches(rows(file.metadata.num_columns)))
    except (MemaeError, MemoryError):
        raise
    except Exception as error:  # Arrow and pandas raise nearly any type on damaged bytes
        raise unreadable(path, error) from error


def arrow(path: Path, rows: Rows) -> Iterator[pd.DataFrame]:
    """An Arrow or Feather file, or a stream of Arrow's, in chunks."""
    import pyarrow as pa  # noqa: PLC0415 (only such files need it)
    import pyarrow.ipc  # noqa: PLC0415

    try:
        with pa.memory_map(str(path)) as source:
            with path.open("rb") as file:
                is_file = file.read(6) == b"ARROW1"
            reader = pyarrow.ipc.open_file(source) if is_file else pyarrow.ipc.open_stream(source)
            check_width(path, len(reader.schema))
            most = rows(len(reader.schema))
            batches = map(reader.get_batch, range(reader.num_record_batches)) if is_file else reader
            yield from _frames(batch.slice(at, most) for batch in batches for at in range(0, batch.num_rows, most))
    except (MemaeError, MemoryError):
        raise
    except Exception as error:
        raise unreadable(path, error) from error


def _frames(batches: Iterable[Any]) -> Iterator[pd.DataFrame]:
    import pyarrow as pa  # noqa: PLC0415

    for batch in batches:
        batch.validate(full=True)  # damaged text may not be UTF-8, and category codes may be out of range
        found = pa.Table.from_batches([batch])
        while any(pa.types.is_struct(field.type) for field in found.schema):
            found = found.flatten()  # fields become columns called "outer.inner"
        yield found.to_pandas(split_blocks=True, self_destruct=True)


# ---------------------------------------------------------------------------------------------------------------- JSON


def json_lines(path: Path, rows: Rows, text: Iterable[str] | None) -> Iterator[pd.DataFrame]:
    """A file with a JSON object in each line, or with a list of objects, in chunks; the latter is held in memory.

    A field that an object lacks is missing there. Columns are those of the first chunk.
    """
    names: list[str] = []
    literal = None if text is None else set(text)
    with opened(path) as file:
        objects = _objects(path, file)
        head = list(islice(objects, 256))
        count = rows(max((len(each) for each in head), default=1))
        known: set[str] = set()
        start = 0
        if head:
            _check_rows(path, head[0])
        head = [flat(each, str(path)) for each in head]
        while part := [*head, *(flat(each, str(path)) for each in islice(objects, count - len(head)))]:
            head = []
            if not names:
                names = list(dict.fromkeys(name for each in part for name in each))
                known = set(names)
                check_width(path, len(names))
            _check_fields(path, part, known, start)
            start += len(part)
            frame = pd.DataFrame([[each.get(name) for name in names] for each in part], columns=names, dtype=object)
            literal = {name for name in names if kind_of(frame[name]) == "category"} if literal is None else literal
            yield frame.apply(lambda column, text=literal: column if column.name in text else _as_numbers(column))


def _objects(path: Path, file: IO[bytes]) -> Iterator[dict[str, Any]]:
    """The objects of a file, in order."""
    for number, raw in enumerate(file):
        line = raw.removeprefix(codecs.BOM_UTF8) if number == 0 else raw
        if not line.strip():
            continue
        if number == 0 and line.lstrip()[:1] == b"[":
            yield from _listed(path, line + file.read())
            return
        try:
            found = json.loads(line, object_pairs_hook=_object)
        except (ValueError, RecursionError) as error:
            ends = "" if line.endswith(b"\n") or number == 0 else "; the file ends there, and may be cut off"
            raise SourceError(
                f"{path} cannot be read as a table: its line {number + 1} is not JSON ({error}){ends}; "
                "each line must be an object"
            ) from error
        if not isinstance(found, dict):
            raise SourceError(f"{path}: line {number + 1} is {type(found).__name__}, not an object of column and value")
        yield found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; ValueError if a field is there twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the field {next(name for name in names if names.count(name) > 1)!r} is there twice")
    return found


def flat(given: dict[str, Any], source: str) -> dict[str, Any]:
    """An object whose fields are no objects: a field of one inside has the names of both, with a point.

    Args:
        given: the object.
        source: where it stands, for errors.

    Raises:
        SourceError: a name occurs twice then.

    Example:
        >>> flat({"engine": {"speed": 12, "heat": {"oil": 80}}}, "row 0")
        {'engine.speed': 12, 'engine.heat.oil': 80}
    """
    if not any(isinstance(value, dict) for value in given.values()):
        return given
    found: dict[str, Any] = {}
    for name, value in given.items():
        inner = {f"{name}.{key}": each for key, each in value.items()} if isinstance(value, dict) else {name: value}
        if twice := found.keys() & inner.keys():
            raise SourceError(
                f"{source} has the field {min(twice)!r} twice, once as an object inside; rename one of them"
            )
        found |= inner
    return flat(found, source)


def _check_rows(path: Path, first: dict[str, Any]) -> None:
    """Refuses a file that has columns where rows are expected, as pandas writes them by default."""
    inside = [each for each in first.values() if isinstance(each, dict)]
    keys = [[*each] for each in inside]
    if len(inside) == len(first) > 0 and all(each == keys[0] and all(map(str.isdecimal, each)) for each in keys):
        raise SourceError(
            f"{path} has columns, not rows; write an object for each row (in pandas: to_json(path, orient='records', "
            "lines=True))"
        )


def _listed(path: Path, content: bytes) -> list[dict[str, Any]]:
    try:
        found = json.loads(content, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise unreadable(path, error) from error
    if not all(isinstance(each, dict) for each in found):
        raise SourceError(f"{path} must be a list of objects, or have an object in each line; give it as such")
    return found  # type: ignore[no-any-return]


def _check_fields(path: Path, part: list[dict[str, Any]], known: set[str], start: int) -> None:
    """Refuses a field that the first rows do not have: whether it is there would depend on where the rows begin."""
    for number, each in enumerate(part, start):
        if not known.issuperset(each):
            name = next(name for name in each if name not in known)
            message = f"{path}: row {number} has the field {name!r}, which none of the first {start:,} rows has"
            raise SourceError(f"{message}; write it in the first row too, as null if it is missing there")


def _as_numbers(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """A column of objects as numbers, if each of its values is one or missing."""
    inferred = column.infer_objects()
    if inferred.dtype != object or not {type(value) for value in column} <= {int, float, type(None)}:
        return inferred
    return pd.to_numeric(column)


# --------------------------------------------------------------------------------------------------------------- sheets


def sheet_as_text(path: Path, wanted: str | None) -> bytes:
    """A sheet of an Excel or OpenDocument file as CSV, so that cells of text are read as in any other file.

    Raises:
        SourceError: it cannot be read, or has no such sheet.
        MissingExtraError: python-calamine is not installed.
    """
    try:
        import python_calamine  # noqa: PLC0415 (only such files need it)
    except ImportError as error:
        raise MissingExtraError(
            f"{path} needs the extra memae[excel], which is not installed: pip install 'memae[excel]'"
        ) from error
    try:
        with python_calamine.CalamineWorkbook.from_path(str(path)) as book:
            names = book.sheet_names
            name = names[0] if wanted is None else wanted
            rows = book.get_sheet_by_name(name).to_python() if name in names else None
    except Exception as error:  # the library has errors of its own, without a common class
        raise unreadable(path, error) from error
    if rows is None:
        raise SourceError(f"{path} has no sheet {wanted!r}; its sheets are {', '.join(map(repr, names))}")
    if len(names) > 1 and wanted is None:
        others = ", ".join(map(repr, names[1:6])) + (", …" if len(names) > 6 else "")
        warnings.warn(f"{path}: sheet {name!r}, the first; --sheet reads another: {others}", MemaeNotice, stacklevel=2)
    out = StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows([map(_cell, row) for row in rows])
    return out.getvalue().encode()


def _cell(value: Any) -> Any:
    """A cell as text: all numbers of Excel are floats, and a date without a time has one of midnight."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value
