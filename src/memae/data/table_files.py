"""Files of tables, read again and again in constant memory."""

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
CHUNK = 65_536  # rows read at once, at most
CELLS = 2**21  # values read at once, so that wide tables take no more memory than narrow ones

Chunks = Callable[[], Iterator[pd.DataFrame]]


def table_chunks(path: Path, rows: int = CHUNK, *, text: Iterable[str] | None = None) -> Chunks:
    """A table file as something that can be read again and again, in constant memory; it is read ahead in a thread.

    Args:
        path: a .csv or .parquet file.
        rows: rows at once; fewer where `CELLS` values are less.
        text: names of the columns of a .csv file that are read literally, as categories; None looks for those that
            hold text in the first rows. A cell is then the same category, whatever its neighbours are.

    Raises:
        SourceError: missing, unreadable, empty, or of another kind; see also `check_header`.
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
    return min(rows, max(CELLS // max(columns, 1), 256))


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
    """What pandas reads, where rows longer than the header, which it would cut off with a warning, are an error."""
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
        # without a buffer size, Arrow reads all columns of a row group whole, however large it is
        with pyarrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=2**16) as file:
            check_width(path, file.metadata.num_columns)
            for batch in file.iter_batches(_rows_at_once(rows, file.metadata.num_columns)):
                batch.validate(full=True)  # text may be no UTF-8, and indices of categories may lead nowhere
                yield batch.to_pandas(split_blocks=True, self_destruct=True)
    except (MemaeError, MemoryError):
        raise
    except Exception as error:  # Arrow and pandas raise nearly any type on damaged bytes
        raise _unreadable(path, error) from error
