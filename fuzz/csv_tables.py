"""CSV: dialects, encodings and cells of every kind, rows of wrong length, huge fields and thousands of columns."""

import csv
from collections.abc import Sequence
from functools import cache, partial
from io import StringIO
from random import Random

from fuzz import mutations, places
from fuzz.formats import Format, taken
from memae.cli.quality import evaluated
from memae.estimators import TabularMemAE

CELLS = (
    *("", " ", "nan", "NA", "null", "None", "inf", "-inf", "Infinity", "1e999", "-1e308", "1e-320", "0", "-0.0", "1"),
    *("0x1F", "1_000", "1,5", "1.5.2", "١٢", "½", "True", "false", "yes", "2024-02-30", "12:00", "1 %", "€ 3", "+1"),
    *("9223372036854775808", "-170141183460469231731687303715884105728", "9" * 400, "x", "y", "grün", "x" * 300),
    *('"', '""', "'", '"a', 'a"b', "a\nb", "a\r\nb", "a;b", "a\tb", "a,b", "\\", "\0", "\x1a", "\ufeff", "\u2028"),
    *("#", "=1+1", "<NA>", "[1, 2]", "{'a': 1}", "1+2j", "é", "日本", "\U0001f600", "e", ".", "-", "1e", "0e0", "1d5"),
)
NAMES = ("a", "b", "c", "kind", "id", "", "a.1", "Unnamed: 0", "1", "0.5", "kind ", "A", "label", "score", "row", "c\n")
ENCODINGS = ("utf-8", "utf-8", "utf-8", "utf-8-sig", "latin-1", "utf-16", "utf-16-le", "utf-32", "cp1252", "utf-7")

Table = list[list[str]]


def target(data: bytes) -> int:
    """Uses a table for fit, score and evaluate."""
    path = places.put("a.csv", data)
    score = partial(places.scored_into, places.table_detector(), path)
    fresh = TabularMemAE(widths=(4,), **places.SMALL)
    return taken(
        partial(places.begun, fresh, path),
        partial(score, ".parquet", keep=True),
        partial(score, ".jsonl", keep=True, ignore=("label",)),
        partial(evaluated, places.table_detector(), places.table_detector().kind_, path, "label", ["x"]),
    )


@cache
def seeds() -> tuple[bytes, ...]:
    """Tables with the detector's columns, and others."""
    known = places.rows(12)
    labelled = known.assign(label=["x", "y"] * 6)
    wide = known.assign(id=range(12), flag=[True, False] * 6, day="2024-01-01", note="free, text")
    frames = [known, labelled, wide, known.astype({"a": int}), known[["a"]], known.rename(columns={"b": "B"})]
    return tuple(frame.to_csv(index=False).encode() for frame in frames)


# ------------------------------------------------------------------------------------------------------------- spoiling


def spoiled(files: Sequence[bytes], random: Random) -> bytes:
    """A table with changed cells, rows and columns, in another dialect and encoding, and with damaged bytes."""
    table = list(csv.reader(StringIO(random.choice(files).decode())))
    for _ in range(random.choice((0, 1, 1, 2, 3, 10))):
        random.choice(WAYS)(table, random)
    data = _written(table, random)
    return data if random.random() < 0.7 else mutations.spoiled(data, files, random)


def _written(table: Table, random: Random) -> bytes:
    out = StringIO()
    if random.random() < 0.6:
        csv.writer(out, lineterminator="\n").writerows(table)
        return out.getvalue().encode()
    separator, end = random.choice(",;\t| :"), random.choice(("\n", "\r\n", "\r", "\n\n"))
    if random.random() < 0.5:
        csv.writer(out, delimiter=separator, quoting=csv.QUOTE_ALL, lineterminator=end).writerows(table)
    else:
        out.write(end.join(separator.join(row) for row in table))
    return out.getvalue().encode(random.choice(ENCODINGS), errors="replace")


def _cell(table: Table, random: Random) -> None:
    row = random.choice(table) if table else []
    if row:
        row[random.randrange(len(row))] = random.choice(CELLS)


def _column(table: Table, random: Random) -> None:
    """Fills a column mostly with one cell."""
    column, cell = random.randrange(6), random.choice(CELLS)
    for row in table[1:]:
        row[column : column + 1] = [cell if random.random() < 0.8 else random.choice(CELLS)]


def _name(table: Table, random: Random) -> None:
    if table and table[0]:
        table[0][random.randrange(len(table[0]))] = random.choice(NAMES)


def _shorter(table: Table, random: Random) -> None:
    if table:
        del random.choice(table)[random.randrange(5) :]


def _longer(table: Table, random: Random) -> None:
    if table:
        random.choice(table).extend(random.choices(CELLS, k=random.choice((1, 2, 30))))


def _added(table: Table, random: Random) -> None:
    name = random.choice(NAMES)
    for number, row in enumerate(table):
        row.append(random.choice(CELLS) if number else name)


def _headless(table: Table, _: Random) -> None:
    del table[:1]


def _mixed(table: Table, random: Random) -> None:
    random.shuffle(table)


def _empty(table: Table, random: Random) -> None:
    table.insert(random.randrange(len(table) + 1), random.choice(([], [""], [" "], ["#"])))


def _without(table: Table, random: Random) -> None:
    column = random.randrange(5)
    for row in table:
        del row[column : column + 1]


def _fewer(table: Table, random: Random) -> None:
    del table[random.randrange(4) :]


WAYS = (
    _cell,
    _cell,
    _cell,
    _column,
    _column,
    _name,
    _shorter,
    _longer,
    _added,
    _headless,
    _mixed,
    _empty,
    _without,
    _fewer,
)


@cache
def bombs() -> tuple[bytes, ...]:
    """Files of some megabytes that might make a reader take much more memory."""
    many = 10**6
    return (
        b"a,b,c,kind\n1,2,3," + b"x" * 10 * many,
        b'a,b,c,kind\n1,2,3,"' + b"x\n" * 10 * many,
        b"," * many + b"\n" + b"1," * many,
        ",".join(map(str, range(1000))).encode() + b"\n" + b"1," * 1000,
        ",".join(f"a{each}" for each in range(5000)).encode() + b"\n" + b"1," * 4999 + b"1\n",
        b"a,b,c,kind\n" + b"\n" * 10 * many,
        b"a,b,c,kind\n" + b"1,2,3,x," * many,
        b"a,b,c,kind\n" + b"1,2,3,x\n" * (many // 10) + b"1,2,text,x\n",
        b"a,b,c,kind\n" + b"".join(b"1,2,3,%d\n" % each for each in range(many // 10)),
        b"\0" * many,
        b'"' * many,
        b"a\n" + b"9" * many,
        b"a" * 2**25 + b",b",
    )


FORMAT = Format("csv", seeds, spoiled, target, bombs)
