"""Table files, read repeatedly in constant memory."""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import pandas as pd
from pandas.errors import ParserWarning

from memae.data.ahead import ahead
from memae.data.cells import kind_of
from memae.data.csv_headers import check_header, check_width
from memae.errors import MemaeError, SourceError, memory_guard

TABLE_SUFFIXES = frozenset({".csv", ".parquet"})
CHUNK = 65_536  # maximum number of rows read at once
CELLS = 2**19  # values read at once, so that wide tables take no more memory than narrow ones
FEWEST = 256  # rows read at once, however wide a table is

Chunks = Callable[[], Iterator[pd.DataFrame]]


def table_chunks(path: Path, rows: int = CHUNK, *, text: Iterable[str] | None = None) -> Chunks:
    """A function that reads a table file in chunks, in constant memory; a thread prefetches the next chunks.

    Args:
        path: a .csv or .parquet file.
        rows: maximum number of rows per chunk; fewer for wide tables, so that a chunk has about `CELLS` values at most.
        text: columns of a .csv file that are read literally, as categories, so that the category of a cell does not
            depend on its neighbours; None for those that hold text in the first rows.

    Raises:
        SourceError: the file is missing, unreadable, empty, or of another kind; see also `check_header`.
        ResourceError: out of memory.
    """
    if not path.is_file():
        raise SourceError(f"{path} is not a file; a table is a .csv or .parquet file")
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise SourceError(f"{path} is neither .csv nor .parquet; convert it to one of them")
    if path.stat().st_size == 0:
        raise SourceError(f"{path} is empty (0 bytes)")
    if path.suffix.lower() == ".csv":
        check_header(path, fits=text is None)
    literal = None if text is None else set(text)

    def read() -> Iterator[pd.DataFrame]:
        count = 0
        try:
            with memory_guard("give a table with fewer columns or shorter texts"):
                for chunk in _parquet(path, rows) if path.suffix.lower() == ".parquet" else _csv(path, rows, literal):
                    count += len(chunk)
                    yield chunk
        except MemaeError:
            raise
        except (ValueError, OSError, ParserWarning) as error:  # pandas' errors are ValueErrors
            raise _unreadable(path, error) from error
        if not count:
            raise SourceError(f"{path} has 0 rows; at least one is needed")

    return lambda: ahead(read())


def _unreadable(path: Path, error: Exception) -> SourceError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return SourceError(f"{path} cannot be read as a table: {reason}; repair or export it again")


def _rows_at_once(rows: int, columns: int) -> int:
    """A power of two, unless `rows` are fewer: the scorer's chunks then divide it, and none is padded."""
    return min(rows, max(1 << max(int(math.log2(CELLS / max(columns, 1))), 0), FEWEST))


def _csv(path: Path, rows: int, text: set[str] | None) -> Iterator[pd.DataFrame]:
    rows = _rows_at_once(rows, pd.read_csv(path, nrows=0, index_col=False).shape[1])
    read = partial(pd.read_csv, path, chunksize=rows, index_col=False, low_memory=False)
    if text is None:
        text = set()
        with read(nrows=CHUNK) as head:
            for chunk in _chunks(head):
                text |= {name for name in chunk.columns if kind_of(chunk[name]) == "category"}
    with read(dtype=dict.fromkeys(text, str)) as reader:
        yield from _chunks(reader)


def _chunks(reader: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Chunks from pandas; rows longer than the header, which pandas truncates with a warning, raise an error."""
    while True:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", category=ParserWarning)
            chunk = next(reader, None)
        if chunk is None:
            return
        yield chunk


def _parquet(path: Path, rows: int) -> Iterator[pd.DataFrame]:
    import pyarrow.parquet  # noqa: PLC0415 (only Parquet needs it)

    try:
        # without a buffer size, Arrow reads whole row groups, however large they are
        with pyarrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=2**16) as file:
            check_width(path, file.metadata.num_columns)
            for batch in file.iter_batches(_rows_at_once(rows, file.metadata.num_columns)):
                batch.validate(full=True)  # damaged text may not be UTF-8, and category codes may be out of range
                yield batch.to_pandas(split_blocks=True, self_destruct=True)
    except (MemaeError, MemoryError):
        raise
    except Exception as error:  # Arrow and pandas raise nearly any type on damaged bytes
        raise _unreadable(path, error) from error
