"""Writes scores as CSV, Parquet or JSON lines; a file is written completely or not at all."""

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from memae.errors import MemaeError, OptionError, OutputError
from memae.files import replacing
from memae.regions import Region

ENDINGS = (".csv", ".parquet", ".jsonl")
ROWS = 1024  # converted to text at once


def write(parts: Iterable[pd.DataFrame], output: Path | None) -> tuple[int, int]:
    """Writes rows as CSV, Parquet or JSON lines by the ending of `output`, or as CSV to stdout.

    Returns:
        The number of rows, and of flagged rows.

    Raises:
        OutputError: the file cannot be written; an existing one is kept.
    """
    counts = [0, 0]

    def counted() -> Iterator[pd.DataFrame]:
        for part in parts:
            counts[0] += len(part)
            counts[1] += int(part["is_anomaly"].sum())
            yield part

    if output is None:
        for number, part in enumerate(_slices(counted())):
            sys.stdout.write(_as_csv(part, header=number == 0))
    else:
        with replacing(output) as temporary:
            _write_as(output.suffix.lower(), counted(), temporary)
    return counts[0], counts[1]


def check_ending(output: Path | None) -> None:
    """Raises OptionError, before anything is computed, if `output` has another ending than `ENDINGS`."""
    if output is not None and output.suffix.lower() not in ENDINGS:
        raise OptionError(f"{output} must end in {', '.join(ENDINGS)}; the ending selects the format")


def _write_as(ending: str, parts: Iterator[pd.DataFrame], path: Path) -> None:
    if ending == ".parquet":
        write_parquet(parts, path)
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        for number, part in enumerate(_slices(parts)):
            file.write(_as_csv(part, header=number == 0) if ending == ".csv" else _as_json_lines(part))


def _slices(parts: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """The rows in slices of `ROWS`, since as text they may take far more memory than as a table."""
    for part in parts:
        for start in range(0, len(part), ROWS):
            yield part[start : start + ROWS]


def write_parquet(
    parts: Iterator[pd.DataFrame], path: Path, footer: Callable[[], Mapping[str, str]] | None = None
) -> None:
    """Writes rows as Parquet.

    Args:
        parts: of which there is at least one.
        path: to write.
        footer: called when all rows are written; what it gives is stored in the file's footer.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    first = next(parts)
    with _converting("Parquet"):
        table = pa.Table.from_pandas(first, preserve_index=False)
        writer = pq.ParquetWriter(path, table.schema)
    with writer:
        writer.write_table(table)
        for part in parts:
            with _converting("Parquet"):
                writer.write_table(pa.Table.from_pandas(part, table.schema, preserve_index=False))
        if footer is not None:
            writer.add_key_value_metadata(footer())


def _as_csv(rows: pd.DataFrame, *, header: bool) -> str:
    with _converting("CSV"):
        text: str = rows.to_csv(index=False, header=header)
    return text


def _as_json_lines(rows: pd.DataFrame) -> str:
    """One line per row; regions become objects, and what else is neither number nor text, such as dates, text.

    pandas' own writer would round scores to ten digits, and crash on dates that it can hold but not write.
    """
    with _converting("JSON"):
        columns = [list(map(_plain, rows.iloc[:, index].tolist())) for index in range(rows.shape[1])]
        names = [str(name) for name in rows.columns]
        lines = (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))
        return "".join(f"{json.dumps(line, ensure_ascii=False, allow_nan=False)}\n" for line in lines)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, np.generic | np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, tuple) and all(isinstance(each, Region) for each in value):
        return [each.as_json() for each in value]
    return value if isinstance(value, str | int) else str(value)


@contextmanager
def _converting(kind: str) -> Iterator[None]:
    """Turns whatever pandas or Arrow raise into an OutputError: this kind of file cannot hold a kept column."""
    try:
        yield
    except (OSError, MemaeError, MemoryError):
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        message = f"a column of the table cannot be written as {kind} ({reason})"
        raise OutputError(f"{message}; choose another ending for the output, or leave out --keep") from error
