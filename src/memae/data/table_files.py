"""Table files and folders of them, read repeatedly in constant memory."""

import lzma
import math
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd
from pandas.errors import ParserWarning

from memae.data import table_formats
from memae.data.cells import kind_of
from memae.data.csv_files import DOUBTED, text_table
from memae.data.dialects import Dialect, Reading
from memae.data.number_formats import doubts
from memae.data.table_folders import folder_of
from memae.data.table_formats import unreadable
from memae.data.table_readers import Chunks, TableReader
from memae.data.unpacking import COMPRESSED, ending
from memae.errors import MemaeError, MemaeWarning, SourceError, memory_guard

TEXT = frozenset({".csv", ".tsv", ".tab", ".txt", ".dat", ".data"})
JSON = frozenset({".jsonl", ".ndjson", ".json"})
ARROW = frozenset({".feather", ".arrow", ".arrows", ".ipc"})
SHEETS = frozenset({".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"})
FORMATS = TEXT | JSON | ARROW | SHEETS | {".parquet"}
TABLE_SUFFIXES = FORMATS | frozenset(COMPRESSED)
SIGNATURES = {b"PAR1": ".parquet", b"ARROW1": ".arrow", b"PK\x03\x04": ".xlsx", b"\xd0\xcf\x11\xe0": ".xls"}
"""First bytes of files that are no text."""
TAKEN = ".csv, .tsv, .txt, .jsonl (each also as .gz, .bz2, .xz or .zst), .parquet, .feather, .xlsx, .xls or .ods"
CHUNK = 65_536  # maximum number of rows read at once
CELLS = 2**19  # values read at once, so that wide tables take no more memory than narrow ones
FEWEST = 256  # rows read at once, however wide a table is


def table_chunks(
    path: Path,
    rows: int = CHUNK,
    *,
    text: Iterable[str] | None = None,
    reading: Reading = Reading(),  # noqa: B008 (immutable)
) -> TableReader:
    """A function that reads a table in chunks, in constant memory; a thread prefetches the next chunks.

    Args:
        path: a file (see `TAKEN`), or a folder of such files.
        rows: maximum number of rows per chunk; fewer for wide tables, so that a chunk has about `CELLS` values at most.
        text: columns of a text file that are read literally, as categories, so that the category of a cell does not
            depend on its neighbours; None for those that hold text in the first rows.
        reading: what is known of the file.

    Raises:
        SourceError: the file is missing, unreadable, empty, or of another kind.
        ResourceError: out of memory.
    """
    with _errors_of(path):
        if path.is_dir():
            found = folder_of(path, FORMATS, lambda *each: _reader(rows, *each), text, reading)
        else:
            found = _reader(rows, path, text, reading)

    def read() -> Iterator[pd.DataFrame]:
        count = 0
        with _errors_of(path), memory_guard("give a table with fewer columns or shorter texts"):
            for chunk in found.chunks():
                count += len(chunk)
                yield chunk
        if not count:
            raise SourceError(f"{path} has 0 rows; at least one is needed")

    return TableReader(read, found.dialect, found.text)


def _reader(rows: int, path: Path, text: Iterable[str] | None, reading: Reading) -> TableReader:
    """One file as a table."""
    form = _format(path)

    def at_once(columns: int) -> int:
        return _rows_at_once(rows, columns)

    if form in TEXT | SHEETS:
        content = table_formats.sheet_as_text(path, reading.wanted.sheet) if form in SHEETS else None
        if content is not None:
            reading = replace(reading, wanted=replace(reading.wanted, separator=",", encoding="utf-8"))
        table = text_table(path, at_once, text=text, reading=reading, content=content)
        size = at_once(len(table.columns))
        return TableReader(lambda: table.chunks(size), table.layout.dialect, table.text or frozenset())
    known = None if text is None else frozenset(text)
    if form in JSON:
        if known is None:
            first = next(table_formats.json_lines(path, at_once, None), pd.DataFrame())
            known = frozenset(name for name in first.columns if kind_of(first[name]) == "category")
        return TableReader(
            _watched(lambda: table_formats.json_lines(path, at_once, known), path, text), Dialect(), known
        )
    read = table_formats.parquet if form == ".parquet" else table_formats.arrow
    return TableReader(_watched(lambda: read(path, at_once), path, text), Dialect(), known or frozenset())


def _watched(chunks: Chunks, path: Path, text: Iterable[str] | None) -> Chunks:
    """The chunks of a table; in training, with a warning for a column of text that may be meant as one of numbers."""
    if text is not None:
        return chunks

    def read() -> Iterator[pd.DataFrame]:
        for number, chunk in enumerate(chunks()):
            for index, name in enumerate(chunk.columns) if number == 0 else ():
                cells = chunk.iloc[:DOUBTED, index]
                if cells.dtype in (object, "str") and (doubt := doubts(cells)):
                    warnings.warn(f"{path}: column {name!r} {doubt}", MemaeWarning, stacklevel=2)
            yield chunk

    return read


def _format(path: Path) -> str:
    """The ending of a file's format: its first bytes tell it, or its name."""
    if not path.is_file():
        raise SourceError(f"{path} is not a file; a table is a file, {TAKEN}, or a folder of such files")
    if path.stat().st_size == 0:
        raise SourceError(f"{path} is empty (0 bytes)")
    with path.open("rb") as file:
        start = file.read(64)
    signed = next((form for signature, form in SIGNATURES.items() if start.startswith(signature)), None)
    named = ending(path)
    if signed in (".parquet", ".arrow") or (signed and not named):
        return signed
    if start.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        raise SourceError(f"{path} is a page of HTML or XML, not a table; save it as CSV or Excel")
    if named in SHEETS and signed not in (".xlsx", ".xls"):
        return ".csv"  # many programs call text so, in order that Excel opens it
    if named in FORMATS:
        return named
    if named:
        raise SourceError(f"{path} is no table that can be read: {TAKEN}; convert it to one of them")
    return ".jsonl" if start.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[") else ".csv"


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    """Turns the errors of parsers into a sentence."""
    try:
        yield
    except MemaeError:
        raise
    except UnicodeError as error:
        message = f"{path} cannot be read as a table: it has bytes that its start does not ({error})"
        raise SourceError(f"{message}; give its encoding with --encoding, such as cp1252") from error
    except (
        ValueError,
        OSError,
        EOFError,
        zlib.error,
        lzma.LZMAError,
        ParserWarning,
    ) as error:  # pandas' are ValueErrors
        raise unreadable(path, error) from error


def _rows_at_once(rows: int, columns: int) -> int:
    """A power of two, unless `rows` are fewer: the scorer's chunks then divide it, and none is padded."""
    return min(rows, max(1 << max(int(math.log2(CELLS / max(columns, 1))), 0), FEWEST))
