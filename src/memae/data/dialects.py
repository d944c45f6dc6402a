"""How a table of text is written (encoding, separator, header, numbers), detected from the start of a file."""

import codecs
import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import StringIO

import pandas as pd

from memae.data.number_formats import PLAIN, SQL_NULL, NumberFormat, Numbers, is_number, numbers_in, resolved
from memae.data.oddities import of_codes, of_names, of_single_column
from memae.data.separators import LOOKED_AT, WHITE, rows_of, separator_of, title_lines
from memae.errors import OptionError

SAMPLE = 2**20
"""Bytes at the start of a file from which its dialect is detected."""
NAMES_OF = {"\t": "tabs", WHITE: "white space"}
BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
EXACT = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")
"""Encodings that bytes prove; all others accept nearly any bytes."""

COMMENTS = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\r?\n)*")
"""Blank lines and comments above a table."""

Rows = list[list[str]]


WORDS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "apostrophe": "'", "none": ""}
"""Characters that are hard to type in a shell."""


@dataclass(frozen=True)
class Dialect:
    """How a table file is written; what is None is detected.

    Args:
        separator: between columns: one character, or a space for any run of white space.
        decimal: decimal separator of numbers, "." or ",".
        thousands: separator of groups of three digits: ".", ",", "'", or " " for any kind of space; "" for none.
        encoding: of the text, such as "utf-8" or "cp1252".
        sheet: name of a sheet of an Excel or OpenDocument file.
        header: whether the first line names the columns.

    Raises:
        OptionError: a value that is not possible.
    """

    separator: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None
    sheet: str | None = None
    header: bool | None = None

    def __post_init__(self) -> None:
        if self.separator is not None and (len(self.separator) != 1 or self.separator in '"\r\n\0'):
            raise OptionError(f"separator must be one character, such as ';' or a tab; got {self.separator!r}")
        if self.decimal not in (None, ".", ","):
            raise OptionError(f"decimal must be '.' or ','; got {self.decimal!r}")
        if self.thousands not in (None, "", ".", ",", "'", " "):
            raise OptionError(f"thousands must be '.', ',', an apostrophe, a space or empty; got {self.thousands!r}")
        if self.thousands and self.thousands == self.decimal:
            raise OptionError(f"decimal and thousands are both {self.decimal!r}; give two different separators")
        try:
            codecs.lookup(self.encoding or "utf-8")
        except (LookupError, ValueError) as error:
            raise OptionError(f"encoding {self.encoding!r} is not known; give one such as utf-8 or cp1252") from error


@dataclass(frozen=True)
class Reading:
    """How tables are read.

    Args:
        wanted: what the user says of the dialect; the rest is detected.
        known: how the training file was read, which decides where a file does not tell.
    """

    wanted: Dialect = field(default_factory=Dialect)
    known: Dialect = field(default_factory=Dialect)


@dataclass(frozen=True)
class Layout:
    r"""What was detected of a text file.

    Args:
        dialect: nothing in it is None but the sheet; its `decimal` is that of columns which have no own format.
        skipped: number of lines above the header, or above the first row if there is none.
        names: of the columns, where the file has none or has them in a comment; None if the header has them.
        width: number of cells of most rows.
        first: number of cells of the first row below the header, without empty ones at its end.
        numbered: whether the first column numbers the rows, and is left out.
        spaced: whether spaces follow the separators, which belong to no cell.
        trailing: whether the last column has neither name nor cells, since each row ends with a separator.
        comment: whether what follows a # is a comment.
        nulls: whether \N counts as missing, in columns of text too.
        numeric: indices of the columns of numbers.
        formats: index of a column → how its numbers are written, if the dialect does not tell.
        remarks: what is unusual, in a few words each.
        sentences: on what the cells do not tell.
    """

    dialect: Dialect
    skipped: int = 0
    names: tuple[str, ...] | None = None
    width: int = 0
    first: int = 0
    numbered: bool = False
    spaced: bool = False
    trailing: bool = False
    comment: bool = False
    nulls: bool = False
    numeric: frozenset[int] = frozenset()
    formats: Mapping[int, NumberFormat] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """What is unusual, in one line; "" for a plain file: commas, decimal points, a header, UTF-8."""
        separator, encoding = self.dialect.separator or ",", self.dialect.encoding or ""
        parts = [] if separator == "," else [f"separated by {NAMES_OF.get(separator, repr(separator))}"]
        used = self.formats.values()
        parts += ["decimal comma"] * (self.dialect.decimal == "," or any(form.decimal == "," for form in used))
        marks = sorted({form.thousands for form in used} - {""})
        parts += [f"thousands separated by {'spaces' if mark == ' ' else repr(mark)}" for mark in marks]
        parts += [] if encoding in ("utf-8", "utf-8-sig") else [encoding.replace("utf", "UTF")]
        return ", ".join([*parts, *self.remarks])


def encoding_of(start: bytes, *, whole: bool, known: str | None) -> str:
    """The encoding of a text, from its first bytes.

    Bytes that are not UTF-8 are cp1252, the usual one of Western Europe and of Excel, unless training used another.

    Args:
        start: the first bytes.
        whole: whether they are all.
        known: encoding of the training file.

    Example:
        >>> encoding_of("größe".encode("latin-1"), whole=True, known=None)
        'cp1252'
    """
    for bom, name in BOMS:
        if start.startswith(bom):
            return name
    for name, zeros in (("utf-16-le", start[1:400:2]), ("utf-16-be", start[:400:2])):
        if len(zeros) > 1 and zeros.count(0) > 0.7 * len(zeros):
            return name
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start, final=whole)
    except UnicodeDecodeError:
        if known is not None and known not in EXACT:
            return known
        return "latin-1" if any(byte in start for byte in (0x81, 0x8D, 0x8F, 0x90, 0x9D)) else "cp1252"
    return "utf-8"


def detected(start: bytes, reading: Reading, *, whole: bool, tabs: bool = False) -> Layout:
    """The layout of a text file, from its first bytes.

    Args:
        start: the first bytes, unpacked.
        reading: what is known of the file.
        whole: whether they are all.
        tabs: whether the file's name says that tabs separate its columns.

    Raises:
        UnicodeError: the bytes do not have the encoding that the user gave.
    """
    wanted, known = reading.wanted, reading.known
    encoding = wanted.encoding or encoding_of(start, whole=whole, known=known.encoding)
    text = codecs.getincrementaldecoder(encoding)().decode(start, final=whole).removeprefix("\ufeff")
    excel = re.match(r'"?sep=(.)"?\r?\n', text, re.IGNORECASE)  # Excel's own line, which names the separator
    body = text[excel.end() :] if excel else text
    above = COMMENTS.match(body)
    comments = above.group() if above else ""
    body = body[len(comments) :]
    separator = wanted.separator or (excel and excel.group(1)) or separator_of(body, tabs=tabs)
    titles = title_lines(body, separator)
    body = "".join(body.splitlines(keepends=True)[titles:]) if titles else body
    rows = list(rows_of(body, separator))
    spaced = separator != WHITE and bool(rows) and all(cell[:1] == " " for cell in rows[0][1:]) and len(rows[0]) > 1
    rows = [[cell.lstrip(" ") for cell in row] for row in rows] if spaced else rows
    rows = rows if whole or len(rows) < 2 else rows[:-1]
    inside = [row for row in rows if row[0].lstrip().startswith("#")]
    comment = (
        bool(inside)
        and sum(cell.count("#") for row in rows for cell in row) >= len(inside)
        and not any("#" in cell for row in rows if row not in inside for cell in row)
    )
    rows = [row for row in rows if row not in inside] if comment else rows
    layout = Layout(Dialect(separator, encoding=encoding), text[: len(text) - len(body)].count("\n"), comment=comment)
    layout = replace(layout, spaced=spaced)
    if titles:
        layout = replace(layout, remarks=(f"its first {titles} lines are a title" if titles > 1 else "a title above",))
    return _with_numbers(*_with_names(layout, rows, comments, reading), body, reading)


def _with_names(layout: Layout, rows: Rows, comments: str, reading: Reading) -> tuple[Layout, list[str], Rows]:
    """The layout with what is known of the header, the names of the columns, and the rows below the header."""
    separator = layout.dialect.separator or ","
    first, rest = (rows[0], rows[1:]) if rows else ([], [])
    wanted = reading.wanted.header
    commented = _commented(comments, separator, len(first))
    header = is_header(first, rest, known=reading.known.header) if wanted is None else wanted
    if commented and wanted is None and any(_numeric_below(rows, index) for index in range(len(first))):
        header = False  # the names stand in a comment, and the first row has numbers as the others do
    names, remarks = list(first), list(layout.remarks)
    count = len(re.findall("#.*", comments))
    if count:
        remarks.append(f"{count} line{'s' * (count > 1)} of comments above")
    if layout.comment:
        remarks.append("lines that begin with # are comments")
    if header and _names_rows(first, rest, separator):
        names = ["", *first]
        remarks.append("its first column, which the header does not name, is left out")
        layout = replace(layout, names=tuple(names), numbered=True, skipped=layout.skipped + 1)
    elif header and first and not first[0].strip() and _all_distinct([row[0] for row in rest], whole_numbers=True):
        remarks.append("its first column, which has no name, numbers the rows and is left out")
        layout = replace(layout, numbered=True)
    elif not header and first:
        names = commented or [f"x{number}" for number in range(len(first))]
        shown = ", ".join(names if len(names) < 4 else [*names[:2], "…", names[-1]])
        remarks.append(f"no header: its columns are called {shown}")
        layout, rest = replace(layout, names=tuple(names)), rows
    remarks += of_names(names) if header else []
    if header and first and all(map(is_number, first)) and first != [str(number) for number in range(len(first))]:
        shown = ", ".join(names[:5])
        remarks.append(f"all column names are numbers ({shown}); if that is a row of values, give --no-header")
    filled = [cell.strip() for cell in rest[0]] if rest else []
    while filled and not filled[-1]:
        filled.pop()
    trailing = len(names) > 1 and not names[-1].strip() and all(not "".join(row[len(names) - 1 :]) for row in rest)
    layout = replace(
        layout,
        dialect=replace(layout.dialect, header=header),
        remarks=tuple(remarks),
        width=Counter(map(len, rest)).most_common(1)[0][0] if rest else len(names),
        first=len(filled),
        trailing=trailing,
    )
    return layout, names, rest


def _with_numbers(layout: Layout, names: list[str], rows: Rows, body: str, reading: Reading) -> Layout:
    """The layout with what is known of numbers in the columns."""
    wanted, known = reading.wanted, reading.known
    separator = layout.dialect.separator or ","
    whole, points = _plain(layout, body, len(names))
    found = ((index, _numbers(rows, index, separator, whole, points)) for index in range(len(names)))
    numeric = {index: numbers for index, numbers in found if numbers is not None}
    called = {index: names[index].strip() or f"Unnamed: {index}" for index in numeric}
    formats, sentences = resolved(numeric, called, separator, (wanted.decimal, wanted.thousands), known.decimal)
    pointed = any(form == PLAIN and numeric[index].marked is not None for index, form in formats.items())
    comma = any(form == NumberFormat(",") for form in formats.values())
    decimal = "," if comma and not pointed else "."
    own = {i: form for i, form in formats.items() if form.thousands or (form.decimal == "," and decimal == ".")}
    words: dict[str, list[str]] = {}
    for index, numbers in numeric.items():
        for word in numbers.words:
            words.setdefault(word, []).append(called[index])
    remarks = [f"{word!r} counts as missing in {_listed(columns)}" for word, columns in words.items()]
    remarks += of_codes(names, rows, body, whole)
    sentences = [*sentences, *(of_single_column([names, *rows]) if wanted.separator is None else ())]
    return replace(
        layout,
        dialect=replace(layout.dialect, decimal=decimal, thousands=wanted.thousands),
        nulls=SQL_NULL in body and any(SQL_NULL in row for row in rows),
        numeric=frozenset(numeric),
        formats=own,
        remarks=(*layout.remarks, *remarks),
        sentences=tuple(sentences),
    )


def _plain(layout: Layout, body: str, columns: int) -> tuple[frozenset[int], frozenset[int]]:
    """Indices of the columns that pandas reads as whole numbers, and of those that it reads as numbers with a point.

    This is many times faster than to look at each cell. There are none if it cannot read the rows.
    """
    separator = layout.dialect.separator or ","
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            frame = pd.read_csv(
                StringIO(body[: body.rfind("\n") + 1]),
                sep=r"\s+" if separator == WHITE else separator,
                header=0 if layout.dialect.header else None,
                names=range(columns),
                index_col=False,
                comment="#" if layout.comment else None,
                low_memory=False,
            )
        except (ValueError, Warning):
            return frozenset(), frozenset()
    kinds = [dtype.kind for dtype in frame.dtypes]
    whole, points = (frozenset(at for at, kind in enumerate(kinds) if kind in wanted) for wanted in ("iu", "f"))
    return whole, points


def _numbers(rows: Rows, index: int, separator: str, whole: frozenset[int], points: frozenset[int]) -> Numbers | None:
    """How the numbers of a column are written; see `numbers_in` and `_plain`."""
    cells = (row[index] if index < len(row) else "" for row in rows)
    if index in whole:
        return Numbers((PLAIN,), None)
    if index in points and separator == ",":
        return Numbers((PLAIN,), next((cell for cell in cells if "." in cell), None))
    return numbers_in([*cells], separator)


# -------------------------------------------------------------------------------------------------------------- header


def is_header(first: Sequence[str], rest: Rows, *, known: bool | None) -> bool:
    """Whether the first row names the columns.

    A name is no decimal number, occurs once, and only rows of years or of 0, 1, 2, … are numbers throughout.

    Args:
        first: the first row.
        rest: the other rows.
        known: whether the training file has a header.
    """
    numbers = [cell.strip() for cell in first if is_number(cell)]
    if not numbers or not rest or known:
        return True
    if known is False:
        return False
    if len(numbers) == len(first):
        if numbers == [str(index) for index in range(len(first))]:
            return True
        years = [int(each) for each in numbers if re.fullmatch(r"(19|20)\d\d", each)]
        return len(years) > 1 and years == list(range(years[0], years[0] + len(first)))
    below = [index for index, cell in enumerate(first) if is_number(cell) and _numeric_below(rest, index)]
    decimals = any(not re.fullmatch(r"\s*\d+\s*", first[index]) for index in below)
    return not decimals and len({first[index].strip() for index in below}) == len(below)


def _numeric_below(rest: Rows, index: int) -> bool:
    cells = [row[index] for row in rest[:LOOKED_AT] if len(row) > index and row[index].strip()]
    return bool(cells) and all(map(is_number, cells))


def _names_rows(first: Sequence[str], rest: Rows, separator: str) -> bool:
    """Whether rows have a name in front that the header lacks, as R's write.table writes them."""
    if len(rest) < 2 or any(len(row) != len(first) + 1 for row in rest) or not all(row[-1] for row in rest):
        return False
    names = [row[0].strip() for row in rest]
    if separator in ",;|":  # a forgotten name of a column is likelier, unless they are numbered
        return names == [str(number) for number in range(1, len(rest) + 1)]
    return _all_distinct(names, whole_numbers=False)


def _all_distinct(cells: Sequence[str], *, whole_numbers: bool) -> bool:
    if whole_numbers and not all(re.fullmatch(r"\s*\d+\s*", cell) for cell in cells):
        return False
    return len(cells) > 0 and len(set(cells)) == len(cells)


def _commented(comments: str, separator: str, count: int) -> list[str] | None:
    """Names from the last comment above the rows, where NumPy's savetxt writes them."""
    last = (re.findall(r"#(.*)", comments) or [""])[-1].strip()
    names = next(rows_of(last, separator), [])
    names = [name.strip() for name in names]
    return names if len(names) == count and not any(map(is_number, names)) and len(set(names)) == count else None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more columns" if len(names) > 5 else "")
