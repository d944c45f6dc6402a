"""Text tables (CSV and its kin), read in chunks in constant memory; what is odd is told, or an error."""

import codecs
import csv
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from io import BytesIO, StringIO
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pandas as pd
from pandas.errors import ParserWarning

from memae.data.cells import kind_of
from memae.data.dialects import SAMPLE, Layout, Reading, detected
from memae.data.number_formats import MISSING, SQL_NULL, NumberFormat, doubts, is_number
from memae.data.separators import WHITE
from memae.data.unpacking import BLOCK, compression, ending, opened
from memae.errors import MemaeNotice, MemaeWarning, SourceError

MAX_COLUMNS = 20_000
"""Maximum number of columns of a table: each costs time and memory even without values."""
HEAD = 65_536
"""Rows from which the columns of text are told when a model is fitted."""
DOUBTED = 1000
"""Rows from which a column of text is told that may be meant as one of numbers."""
QUOTED = re.compile(rb'"[^"]*"')


@dataclass(frozen=True)
class TextTable:
    """A text file with a table, whose layout was detected.

    Args:
        path: the file.
        layout: how it is written.
        columns: names of its columns as pandas reads them, with that of row numbers.
        text: columns that are read literally; None while they are not known.
        content: what is read instead of the file, of which it is a sheet.
    """

    path: Path
    layout: Layout
    columns: tuple[str, ...]
    text: frozenset[str] | None = None
    content: bytes | None = None

    def chunks(self, rows: int) -> Iterator[pd.DataFrame]:
        """The table in chunks of up to `rows` rows.

        Raises:
            SourceError: rows are longer than the header, or the file ends in the middle of a row.
            ValueError, OSError: it cannot be read.
        """
        checked = False
        for chunk in self.parsed(chunksize=rows):
            if not checked and chunk.iloc[:, -1].isna().any():
                self._check_short_rows()
                checked = True
            yield chunk

    def parsed(self, **more: Any) -> Iterator[pd.DataFrame]:
        """The table as pandas reads it, without row numbers and with all numbers parsed; short rows are not noticed."""
        with self.opened() as source, self.parser(source, **more) as reader:
            for chunk in _strictly(reader):
                yield self._finished(chunk)

    def opened(self) -> "AbstractContextManager[str | IO[bytes]]":
        """The file as pandas takes it: plain UTF-8 by its name, which is the fastest."""
        named = self.content is None and self.layout.dialect.encoding in ("utf-8", "utf-8-sig")
        return nullcontext(str(self.path)) if named and not compression(self.path) else _stream(self.path, self.content)

    def parser(self, source: "str | IO[bytes]", **more: Any) -> Any:
        """What `pandas.read_csv` makes of the opened file."""
        layout = self.layout
        own = {self.columns[index] for index in layout.formats}
        return pd.read_csv(
            source,
            sep=r"\s+" if layout.dialect.separator == WHITE else layout.dialect.separator,
            decimal=layout.dialect.decimal or ".",
            encoding=layout.dialect.encoding,
            skiprows=layout.skipped,
            header=0 if layout.names is None else None,
            names=None if layout.names is None else list(self.columns),
            comment="#" if layout.comment else None,
            skipinitialspace=layout.spaced,
            na_values=[SQL_NULL] if layout.nulls else None,
            dtype=dict.fromkeys(own.union(self.text or ()), str),
            index_col=False,
            low_memory=False,
            **more,
        )

    def _finished(self, chunk: pd.DataFrame) -> pd.DataFrame:
        """A chunk without row numbers, and with its numbers converted."""
        for index, name in enumerate(self.columns):
            numeric = index in self.layout.numeric if self.text is None else name not in self.text
            if numeric and not pd.api.types.is_numeric_dtype(chunk[name].dtype):
                chunk[name] = self._numbers(chunk[name], index)
        if self.layout.trailing:
            if chunk.iloc[:, -1].notna().any():
                raise SourceError(f"{self.path} has values in a last column without a name; give it a name")
            chunk = chunk.iloc[:, :-1]
        return chunk.iloc[:, 1:] if self.layout.numbered else chunk

    def _numbers(self, cells: "pd.Series[Any]", index: int) -> "pd.Series[Any]":
        """A column of text as numbers, as far as its cells are: words like ? count as missing."""
        if not any(isinstance(cell, str) for cell in cells):
            return cells
        form = self.layout.formats.get(index, NumberFormat(self.layout.dialect.decimal or "."))
        text = cells.astype("str")
        values = form.values(text.mask(text.isin(MISSING)))
        if form.decimal == "," and not pd.api.types.is_numeric_dtype(values.dtype):
            # what is left as text would be read with a decimal point later
            left = next((cell for cell in values if isinstance(cell, str) and is_number(cell)), None)
            if left is not None:
                raise SourceError(
                    f"{self.path}: column {self.columns[index]!r} has {left!r}, but its first numbers have no point; "
                    "say what it means with --thousands '.' or --decimal '.'"
                )
        return values

    # ------------------------------------------------------------------------------------------------------ short rows

    def _check_short_rows(self) -> None:
        """Warns of rows with fewer cells than the header, which pandas fills as missing; the last may be cut off."""
        short = [*islice(self._short_rows(), 1)]
        if not short:
            return
        count = 1 + sum(1 for _ in islice(self._short_rows(), 1, None))
        line, ended = short[0]
        if count == 1 and not ended:
            raise SourceError(
                f"{self.path} ends in the middle of a row, {line[:60]!r}: it is cut off; copy or export it again"
            )
        rows = "1 row has" if count == 1 else f"{count:,} rows have"
        message = f"{self.path}: {rows} fewer cells than there are columns, {len(self.columns)}; the first is"
        warnings.warn(f"{message} {line[:60]!r}. What they lack counts as missing", MemaeWarning, stacklevel=2)

    def _short_rows(self) -> Iterator[tuple[str, bool]]:
        """Rows with fewer cells than columns, and whether a line break ends each.

        Blocks whose separators add up are not taken apart, so that this is fast.
        """
        encoding, separator = self.layout.dialect.encoding or "utf-8", self.layout.dialect.separator or ","
        if separator == WHITE:
            return
        mark, usual = separator.encode(), self.layout.width - 1
        with _stream(self.path, self.content) as file:
            source = codecs.EncodedFile(file, "utf-8", encoding) if encoding.startswith("utf-") else file
            encoding = "utf-8" if encoding.startswith("utf-") else encoding
            for _ in range(self.layout.skipped):
                source.readline()
            for block in _blocks(source):
                bare = QUOTED.sub(b"", block) if b'"' in block else block
                ended = block.endswith((b"\n", b"\r"))
                if not ended or bare.count(mark) != usual * bare.count(b"\n"):
                    yield from self._short_rows_of(block.decode(encoding, errors="replace"), separator, ended=ended)

    def _short_rows_of(self, block: str, separator: str, *, ended: bool) -> Iterator[tuple[str, bool]]:
        rows = list(csv.reader(StringIO(block, newline=""), delimiter=separator))
        for index, row in enumerate(rows):
            comment = self.layout.comment and row[:1] and row[0].startswith("#")
            if 0 < len(row) < len(self.columns) - self.layout.trailing and any(row) and not comment:
                yield separator.join(row), ended or index < len(rows) - 1


def _stream(path: Path, content: bytes | None) -> IO[bytes]:
    return opened(path) if content is None else BytesIO(content)


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    """Blocks of whole rows: each ends at a line break outside of quotes."""
    kept = b""
    while block := file.read(BLOCK):
        block = kept + block
        end = block.rfind(b"\n") + 1
        while end and block.count(b'"', 0, end) % 2:
            end = block.rfind(b"\n", 0, end - 1) + 1
        kept = block[end:]
        if end:
            yield block[:end]
    if kept:
        yield kept


def _strictly(reader: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Chunks from pandas; rows longer than the header, which pandas truncates with a warning, raise an error."""
    while True:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", category=ParserWarning)
            chunk = next(reader, None)
        if chunk is None:
            return
        yield chunk


# ------------------------------------------------------------------------------------------------------------- opening


def text_table(
    path: Path,
    rows: Callable[[int], int],
    *,
    text: Iterable[str] | None,
    reading: Reading,
    content: bytes | None = None,
) -> TextTable:
    """A text file as a table: detects how it is written, says what is unusual, and finds its columns of text.

    Args:
        path: the file.
        rows: number of columns → rows to read at once.
        text: columns that are read literally; None for those that hold text in the first rows.
        reading: what is known of the file.
        content: what is read instead of the file, of which it is a sheet.

    Raises:
        SourceError: it is no table of text.
        ValueError, OSError: it cannot be read.
    """
    layout = _layout(path, content, reading)
    table = TextTable(path, layout, _names(path, content, layout), None if text is None else frozenset(text), content)
    check_width(path, len(table.columns))
    if layout.first > len(table.columns):
        raise SourceError(
            f"{path} names {len(table.columns)} columns but has {layout.first} values in its first row; give every "
            f"column a name, and put quotes around text with {layout.dialect.separator!r}"
        )
    if layout.told:
        warnings.warn(f"{path}: {layout.told}", MemaeNotice, stacklevel=2)
    for sentence in layout.sentences:
        warnings.warn(f"{path}: {sentence}", MemaeWarning, stacklevel=2)
    return table if text is not None else _fitted(table, rows(len(table.columns)))


def _layout(path: Path, content: bytes | None, reading: Reading) -> Layout:
    with _stream(path, content) as file:
        start = file.read(SAMPLE)
        whole = not file.read(1)
    if not whole and b"\n" not in start and b"\r" not in start:
        raise SourceError(f"{path} has a line of more than {SAMPLE:,} characters; is it a table of text?")
    try:
        layout = detected(start, reading, whole=whole, tabs=ending(path) in (".tsv", ".tab"))
    except UnicodeError as error:
        tried = reading.wanted.encoding or "UTF-8"
        raise SourceError(
            f"{path} cannot be read as a table: it is not in {tried} ({error}); give its encoding with --encoding"
        ) from error
    if b"\0" in start and not (layout.dialect.encoding or "").startswith(("utf-16", "utf-32")):
        where = start.index(b"\0")
        raise SourceError(
            f"{path} cannot be read as a table: its byte {where:,} is 0, which no text has; it is damaged, or no table "
            "of text: export it again"
        )
    return layout


def _names(path: Path, content: bytes | None, layout: Layout) -> tuple[str, ...]:
    """The names of all columns: pandas makes those of the header unique."""
    if layout.names is not None:
        return layout.names
    table = TextTable(path, replace(layout, formats={}), (), content=content)
    with table.opened() as source:
        return tuple(map(str, table.parser(source, nrows=0).columns))


def check_width(path: Path, columns: int) -> None:
    """Raises SourceError if a table has more than `MAX_COLUMNS` columns."""
    if columns > MAX_COLUMNS:
        message = f"{path} has {columns:,} columns, over the limit of {MAX_COLUMNS:,}"
        raise SourceError(f"{message}; leave some out, or transpose the table if its rows are columns")


def _fitted(table: TextTable, rows: int) -> TextTable:
    """A table for training: its columns of text are told from the first rows, with a warning for doubtful ones."""
    text: set[str] = set()
    first: list[pd.DataFrame] = []
    for chunk in table.parsed(nrows=HEAD, chunksize=rows):
        text |= {name for name in chunk.columns if name not in text and kind_of(chunk[name]) == "category"}
        if sum(map(len, first)) < DOUBTED:
            first.append(chunk[:DOUBTED])
    for name in sorted(text):
        if doubt := doubts(pd.concat([chunk[name] for chunk in first])):
            warnings.warn(f"{table.path}: column {name!r} {doubt}", MemaeWarning, stacklevel=2)
    if table.columns[0] == "Unnamed: 0" and not table.layout.numbered:
        remedy = "if it numbers the rows, leave it out with --ignore 'Unnamed: 0'"
        warnings.warn(f"{table.path}: its first column has no name; {remedy}", MemaeWarning, stacklevel=2)
    return replace(table, text=frozenset(text))
