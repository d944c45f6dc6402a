"""What the columns of a table mean, decided from one pass over it."""

import shlex
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

import pandas as pd

from memae.data.contents import EMPTY, NO_PACE, Content, Meaning
from memae.data.roles import LeftOut, Roles
from memae.data.tables import TableEncoder, check_unique, listed
from memae.errors import InputError, SchemaError


class Surveyed(NamedTuple):
    """What a table means."""

    roles: Roles
    encoder: TableEncoder
    rows: int
    remarks: tuple[str, ...]


def surveyed(chunks: Iterable[pd.DataFrame], keep: Collection[str] = ()) -> Surveyed:
    """Decides what the columns of a table mean, in one pass and bounded memory.

    Args:
        chunks: of the table, in order.
        keep: columns that are taken even if they seem to name rows.

    Raises:
        InputError: the table has no rows, no column that says something, or a value that cannot be used.
        SchemaError: a column of `keep` is not there.
    """
    columns: list[Content] = []
    rows = 0
    for chunk in chunks:
        if not rows:
            check_unique(chunk)
            columns = [Content(str(name)) for name in chunk.columns]
        for column, (_, series) in zip(columns, chunk.items(), strict=True):
            column.add(series)
        rows += len(chunk)
    names = [column.name for column in columns]
    absent = [name for name in keep if name not in names]
    if absent:
        raise SchemaError(f"there is no column {listed(absent)} to keep; the columns are {listed(names)}")
    if not rows or not columns:
        raise InputError(f"the table has {rows} rows and {len(columns)} columns; at least one of each is needed")
    return _summed_up({each.name: each.meaning(kept=each.name in keep) for each in columns}, rows)


def _summed_up(meanings: dict[str, Meaning], rows: int) -> Surveyed:
    out = {name: meaning.why for name, meaning in meanings.items() if meaning.why}
    read = {name: meaning for name, meaning in meanings.items() if not meaning.why}
    sentences = [*_of_left_out(out), *(remark for each in meanings.values() for remark in each.remarks)]
    if not read:
        raise InputError(f"no column is left to learn from: {'; '.join(_of_left_out(out))}")
    roles = Roles(
        tuple(read),
        tuple(LeftOut(name, why) for name, why in out.items()),
        tuple(meaning.time for meaning in read.values() if meaning.time is not None),
        tuple(name for name, meaning in read.items() if meaning.seconds),
    )
    encoder = TableEncoder(tuple(column for meaning in read.values() for column in meaning.columns))
    check_unique(pd.DataFrame(columns=[column.name for column in encoder.columns]))
    if encoder.constant and rows > 1:
        sentences.append(
            f"all {rows} rows are alike, so that any other row will count as anomalous; give normal rows as different "
            "as they come"
        )
    return Surveyed(roles, encoder, rows, tuple(sentences))


def _of_left_out(out: dict[str, str]) -> Iterator[str]:
    """A sentence for each reason to leave columns out."""
    for why in dict.fromkeys(out.values()):
        names = [name for name, other in out.items() if other == why]
        columns = f"column{'s' * (len(names) > 1)} {listed(names)}"
        remedy = "" if why in (EMPTY, NO_PACE) else f"; take it all the same with --keep-column {shlex.quote(names[0])}"
        yield f"{columns} left out, since it {why}{remedy}"
