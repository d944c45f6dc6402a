"""What may be meant otherwise in a table of text, in words for the user."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

Rows = list[list[str]]


def of_names(names: Sequence[str]) -> Iterator[str]:
    """Names that occur twice, and columns without a name but for the first and the last."""
    taken = set(names)
    for name, times in Counter(names).items():
        if times > 1 and name.strip():
            number = next(at for at in range(1, len(taken) + 2) if f"{name}.{at}" not in taken)
            yield f"{times} columns are called {name!r}: the second is read as {f'{name}.{number}'!r}"
    bare = [index for index, name in enumerate(names) if not name.strip()]
    for index in bare:
        if 0 < index < len(names) - 1:
            yield f"its column {index + 1} has no name and is called 'Unnamed: {index}'"


def of_codes(names: Sequence[str], rows: Rows, body: str, whole: frozenset[int]) -> Iterator[str]:
    """Columns of whole numbers that are written with zeros in front, as codes are."""
    if not re.search(r"(?<![\d.,:+-])0\d", body):
        return
    for index in sorted(whole):
        cell = next((row[index] for row in rows if index < len(row) and re.match(r"\s*0\d", row[index])), None)
        if cell is not None:
            yield f"{cell.strip()!r} in {names[index]!r} is read as the number {int(cell)}"


def of_single_column(rows: Rows) -> Iterator[str]:
    """Something that may separate columns, where none was found: each row has it equally often."""
    if len(rows) < 2 or any(len(row) != 1 for row in rows):
        return
    lines = [row[0].strip() for row in rows]
    for mark in "^:~!&/\x01\x1f":
        counts = {line.count(mark) for line in lines}
        if len(counts) == 1 and counts != {0}:
            yield f"it is read as a single column; if {mark!r} separates columns, give --separator {mark!r}"
            return
    words = {len(line.split()) for line in lines}
    if len(words) == 1 and words != {1}:
        yield "it is read as a single column; if white space separates columns, give --separator ' '"
