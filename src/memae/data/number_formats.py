"""How numbers are written in columns of text: decimal and thousands separators, and words for missing values."""

import re
import unicodedata
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

MISSING = ("\\N", "-", "--", "?", ".", "*", "...", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#NV", "missing")
"""Words that count as missing in columns of numbers, beside those that pandas knows: NA, N/A, NaN, null, None, …"""
NOTHING = frozenset(
    {
        *(
            "",
            "#N/A",
            "#N/A N/A",
            "#NA",
            "-1.#IND",
            "-1.#QNAN",
            "-NaN",
            "-nan",
            "1.#IND",
            "1.#QNAN",
            "<NA>",
            "N/A",
            "NA",
        ),
        *("NULL", "NaN", "None", "n/a", "nan", "null"),
    }
)
"""What pandas counts as missing in any column."""
SQL_NULL = "\\N"
"""Counts as missing in any column: dumps of MySQL and PostgreSQL have it."""
SPACES = " \u00a0\u202f\u2009"
"""Kinds of space between groups of digits; French and Swiss programs write the narrow one."""
MINUS = "\u2212"
"""The typographic minus sign, which programs in some languages write."""
UNITS = r"(?i)^\s*[+-]?\s*(?:[€$£¥₹]|eur|usd|chf|gbp)\s*|\s*(?:[€$£¥₹%‰°]|eur|usd|chf|gbp)\s*$"


UNIT = r"(?<=[\d.])\s*[^\W\d_]{1,6}\s*$"
ODD = r"^\s*\((?=.*\)\s*$)|(?<=\d)\)\s*$|(?<=[\d.,])-\s*$|(?<=\d)_(?=\d)"
"""What bookkeepers write around negative numbers, as (5.00) and 5.00-, and programmers between digits."""


@dataclass(frozen=True)
class NumberFormat:
    """A way to write numbers.

    Example:
        >>> NumberFormat(",", ".").values(pd.Series(["1.234,5", "-2"])).tolist()
        [1234.5, -2.0]
    """

    decimal: str = "."
    thousands: str = ""  # between groups of three digits: a comma, a point, an apostrophe or a space; "" for none

    @property
    def marks(self) -> str:
        """The thousands separator as characters of a regular expression's class."""
        return SPACES if self.thousands == " " else "'\u2019" if self.thousands == "'" else self.thousands

    @property
    def pattern(self) -> str:
        """A regular expression that matches a whole cell; groups have three digits, but for the first."""
        digits = rf"(?:[1-9]\d{{0,2}}(?:[{self.marks}]\d{{3}})+|\d+)" if self.thousands else r"\d+"
        point = re.escape(self.decimal)
        return rf"\s*[+\-{MINUS}]?(?:{digits}(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?\s*"

    def matches(self, cells: "pd.Series[Any]") -> "pd.Series[Any]":
        """Whether each cell is a number written this way; False for a missing cell."""
        return cells.str.fullmatch(self.pattern).fillna(False).astype(bool)

    def values(self, cells: "pd.Series[Any]") -> "pd.Series[Any]":
        """Cells of text as numbers; one that is not written this way stays text, in a column of objects."""
        known = self.matches(cells)
        plain = cells.where(known).str.strip()
        if self.thousands:
            plain = plain.str.replace(f"[{self.marks}]", "", regex=True)
        if self.decimal != ".":
            plain = plain.str.replace(self.decimal, ".", regex=False)
        values = pd.to_numeric(_in_ascii(plain)).astype(float)
        wrong = cells.notna() & ~known
        return values.astype(object).where(~wrong, cells) if wrong.any() else values


def _in_ascii(cells: "pd.Series[Any]") -> "pd.Series[Any]":
    """Numbers with the digits and the minus sign of ASCII instead of other scripts' ones."""
    other = {char for cell in cells.dropna() if not cell.isascii() for char in cell if not char.isascii()}
    for char in sorted(other):
        cells = cells.str.replace(char, "-" if char == MINUS else str(unicodedata.digit(char, "")), regex=False)
    return cells


PLAIN = NumberFormat()
FORMATS = (
    PLAIN,
    NumberFormat(","),
    NumberFormat(".", ","),
    NumberFormat(",", "."),
    *(NumberFormat(decimal, thousands) for thousands in (" ", "'") for decimal in ".,"),
)
"""All formats, the plain ones first."""


ANY = re.compile("|".join(form.pattern for form in FORMATS))
GROUPED = re.compile(r"\d\.\d{3}\s*$")
MARK = re.compile(rf"[.,'\u2019]|\d[{SPACES}]\d")
WORDS = frozenset(MISSING)


@dataclass(frozen=True)
class Numbers:
    """A column of text that holds numbers.

    Args:
        fits: the formats that each cell has; more than one if the cells do not tell.
        marked: the first cell with a decimal or thousands separator; None if all are whole numbers.
        grouped: whether cells without a separator speak for thousands: there are some, of three digits at most.
        long: whether cells without a separator speak against thousands: one has four digits or more.
        words: those of `MISSING` that occur.
    """

    fits: tuple[NumberFormat, ...]
    marked: str | None
    grouped: bool = False
    long: bool = False
    words: tuple[str, ...] = ()


def numbers_in(cells: Sequence[str], separator: str) -> Numbers | None:
    """How the numbers of a column are written; None if a cell is no number, or none is.

    Args:
        cells: all of the column.
        separator: between the columns.
    """
    words: tuple[str, ...] = ()
    plain = all_plain(cells)  # nearly all columns of numbers; nothing but nan is missing then
    if not plain:
        first = next((cell for cell in cells if cell.strip() not in NOTHING and cell not in WORDS), None)
        if first is None or not is_number(first):  # nearly all columns of text
            return None
        words = tuple(sorted(WORDS.intersection(cells)))
        cells = [cell for cell in cells if cell.strip() not in NOTHING and cell not in WORDS]
        plain = all_plain(cells)
    if plain and (separator == "," or not any(map(GROUPED.search, cells))):
        return Numbers((PLAIN,), next((cell for cell in cells if "." in cell), None), words=words)
    if not all(map(is_number, cells)):
        return None
    fits = _fits(pd.Series(cells, dtype="str"))
    if not fits:
        return None
    marked = next((cell.strip() for cell in cells if MARK.search(cell)), None)
    bare = [cell.strip().lstrip("+-") for cell in cells if cell.strip().lstrip("+-").isdecimal()]
    long = any(len(cell) > 3 for cell in bare)
    return Numbers(fits, marked, grouped=bool(bare) and not long, long=long, words=words)


def is_plain(cell: str) -> bool:
    """Whether a cell is a number with a decimal point, or a whole one."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def all_plain(cells: Sequence[str]) -> bool:
    """Whether all cells are `is_plain`, without a call for each."""
    try:
        deque(map(float, cells), maxlen=0)
    except ValueError:
        return False
    return "_" not in "".join(cells)


def is_number(cell: str) -> bool:
    """Whether a cell is a number in any format."""
    return is_plain(cell) or ANY.fullmatch(cell) is not None


def numeric(cells: "pd.Series[Any]") -> "pd.Series[Any]":
    """Whether each cell of text is a number, in the format that most are written in."""
    return max((each.matches(cells) for each in FORMATS), key=lambda found: int(found.sum()))


def doubts(cells: "pd.Series[Any]") -> str | None:
    """Why a column of text may be meant as one of numbers, for the user; None if nothing speaks for it."""
    cells = cells.dropna().map(str).astype("str")
    if not len(cells):
        return None
    if not PLAIN.matches(cells).all() and _numeric(cells):
        return f"is text, since its numbers are written as {cells.iloc[0][:30]!r}; turn them into numbers before"
    for pattern, what in (
        (ODD, "are written as {}; turn them into numbers before"),
        (UNITS, "have a unit, as {}; leave out the unit to have numbers"),
        (UNIT, "have a unit, as {}; leave out the unit to have numbers"),
    ):
        bare = cells.str.replace(pattern, "", regex=True)
        changed = cells[bare != cells]
        if len(changed) and _numeric(bare) and (pattern != UNIT or _one_unit(cells)):
            return f"is text, since its numbers {what.format(repr(changed.iloc[0][:30]))}"
    return None


def _numeric(cells: "pd.Series[Any]") -> bool:
    return any(each.matches(cells).all() for each in FORMATS)


def _one_unit(cells: "pd.Series[Any]") -> bool:
    """Whether all cells end with the same letters."""
    return len({*cells.str.extract(f"({UNIT})", expand=False).str.strip()}) == 1


def _fits(cells: "pd.Series[Any]") -> tuple[NumberFormat, ...]:
    """The formats that all cells have: one, or for 1.234 or 1,234 a plain one and one with a thousands separator."""
    fits = [each for each in FORMATS if each.matches(cells).all() and _used(each, cells)]
    spaced = [each for each in fits if each.thousands in (" ", "'")]
    return tuple(spaced[:1] or fits)  # if two of them fit, there are no decimals, and they agree


def _used(form: NumberFormat, cells: "pd.Series[Any]") -> bool:
    """Whether cells have the separators of a format: 12 and 7 are no evidence of thousands."""
    if form.thousands:
        return bool(cells.str.contains(rf"\d[{form.marks}]\d{{3}}").any())
    return form.decimal == "." or bool(cells.str.contains(form.decimal, regex=False).any())


def resolved(
    columns: Mapping[int, Numbers],
    names: Mapping[int, str],
    separator: str,
    wanted: tuple[str | None, str | None],
    known: str | None,
) -> tuple[dict[int, NumberFormat], list[str]]:
    """The format of each column of numbers, and a sentence for each whose cells do not tell.

    "1,234" may be 1234 or 1.234: other columns of the file decide, then how the model's training file was read, then
    cells without a separator, then the separator of the columns.

    Args:
        columns: how numbers are written, by index.
        names: of the columns.
        separator: between the columns.
        wanted: decimal and thousands separator, where the user gave them.
        known: decimal separator of the training file.
    """
    decimal, thousands = wanted
    told: dict[int, NumberFormat] = {}
    doubtful: dict[int, list[NumberFormat]] = {}
    for index, numbers in columns.items():
        fits = [each for each in numbers.fits if each.decimal == decimal] or list(numbers.fits)
        fits = [each for each in fits if each.thousands == thousands] or fits
        told[index] = fits[0]
        if thousands and numbers.marked is None:  # there may be some further on
            told[index] = NumberFormat(decimal or ("," if thousands == "." else "."), thousands)
        if len(fits) > 1:
            doubtful[index] = fits
    sure = {form.decimal for index, form in told.items() if index not in doubtful and _tells(form, columns[index])}
    decimals = {decimal} if decimal else sure or ({known} if known else set())
    sentences = []
    for index, fits in doubtful.items():
        told[index] = _decided(fits, columns[index], decimals, separator)
        if len(decimals) != 1 and not (separator == "," and told[index] == PLAIN):
            sentences.append(_sentence(names[index], columns[index], told[index], fits))
    return told, sentences


def _tells(form: NumberFormat, numbers: Numbers) -> bool:
    """Whether a column shows the decimal separator of its file."""
    return numbers.marked is not None and (form.thousands in (".", ",") or form.decimal in numbers.marked)


def _decided(fits: Sequence[NumberFormat], numbers: Numbers, decimals: set[str], separator: str) -> NumberFormat:
    """One of two formats, of which the first has no thousands separator."""
    plain, grouped = fits[0], fits[-1]
    if len(decimals) == 1:
        return next((each for each in fits if each.decimal in decimals), plain)
    if separator == ",":  # a decimal comma would separate columns
        return plain if plain == PLAIN or numbers.long else grouped
    return grouped if numbers.grouped else plain


def _sentence(name: str, numbers: Numbers, chosen: NumberFormat, fits: Sequence[NumberFormat]) -> str:
    other = next(each for each in fits if each != chosen)
    cell = pd.Series([numbers.marked])
    read, instead = (f"{each.values(cell)[0]:g}" for each in (chosen, other))
    return (
        f"column {name!r}: {numbers.marked!r} is read as {read}, not {instead}; --decimal {other.decimal!r} overrules"
    )
