"""The separator between the columns of a text, and its rows."""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from io import StringIO
from itertools import islice

from memae.data.number_formats import is_number

LOOKED_AT = 200
"""Rows from which the separator and the header are told."""
SEPARATORS = (",", ";", "\t", "|")
WHITE = " "
"""Stands for any run of white space between columns of numbers, and of texts in quotes."""
QUOTED = re.compile(r'"[^"\n]*"|\bNA\b')
"""Cells of R's write.table that may be beside numbers: texts in quotes, and missing values."""
AGREE = 0.95
"""Share of the rows that must have as many cells as the header."""


def separator_of(text: str, *, tabs: bool = False) -> str:
    r"""The separator by which the rows have as many cells as the header, and the most numbers among them.

    Example:
        >>> separator_of("a;b\n1,5;2,5\n")
        ';'
    """
    head = text[: 2**16]
    found = [(key, each) for each in SEPARATORS if (key := _agreement(head, each, tabs=tabs)) is not None]
    if found:
        return max(found, key=lambda pair: pair[0])[1]
    white = _agreement(QUOTED.sub('""', head), WHITE)
    if white is not None and white[2] >= AGREE:
        return WHITE
    rows = list(islice(rows_of(head, ";"), LOOKED_AT))
    alone = all(len(row) == 1 for row in rows) and rows and "," not in rows[0][0]
    if alone and any("," in row[0] for row in rows) and all(is_number(row[0]) for row in rows[1:]):
        return ";"  # a single column with decimal commas
    return ","


def _agreement(head: str, separator: str, *, tabs: bool = False) -> tuple[bool, float, float, int] | None:
    """How well a separator fits, as a key to compare by; None if it does not."""
    rows = [row for row in islice(rows_of(head, separator), LOOKED_AT) if not row[0].lstrip().startswith("#")]
    rows = rows[title_lines(head, separator) and next((at for at, row in enumerate(rows) if len(row) > 1), 0) :]
    rows = rows[:-1] if len(rows) > 2 and not head.endswith("\n") else rows
    if not rows or len(rows[0]) < 2:
        return None
    width = len(rows[0]) if len(rows) == 1 else Counter(map(len, rows[1:])).most_common(1)[0][0]
    if width < 2 or len(rows[0]) not in (width - 1, width, width + 1):
        return None
    fitting = [row for row in rows[1:] if len(row) in (width, width - 1)]
    share = len(fitting) / max(len(rows) - 1, 1) if len(rows) > 1 else 1.0
    if share < 0.5:
        return None
    cells = [cell for row in fitting for cell in row if cell.strip()]
    numbers = sum(map(is_number, cells)) / max(len(cells), 1)
    return tabs and separator == "\t", float(share >= AGREE), numbers, width


def title_lines(text: str, separator: str) -> int:
    """Number of lines above a table of three columns or more that have a single cell, or are blank."""
    widths = [len(row) for row in islice(rows_of(text[: 2**16], separator), LOOKED_AT)]
    if not widths or Counter(widths).most_common(1)[0][0] < 3:
        return 0
    lines = text[: 2**16].splitlines()
    return next((at for at, line in enumerate(lines) if _filled(line, separator) > 1 or '"' in line), 0)


def _filled(line: str, separator: str) -> int:
    return sum(bool(cell.strip(' "')) for row in rows_of(line, separator) for cell in row)


def rows_of(text: str, separator: str) -> Iterator[list[str]]:
    """The rows of a text that are not blank; they end where a cell is too long for this parser."""
    if separator == WHITE:
        text = "\n".join(line.strip().replace("\t", WHITE) for line in text.splitlines())
    try:
        lines = StringIO(text, newline="")
        for row in csv.reader(lines, delimiter=separator, skipinitialspace=separator == WHITE):
            if len(row) > 1 or (row and row[0].strip()):
                yield row
    except csv.Error:
        return
