"""A group of a shelf: its model or why it has none, and what the model promises; the columns of the file."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from memae.data.tables import listed
from memae.errors import InputError, OptionError
from memae.shelves.keys import DATE, TEXT, TIME, TRUTH, WHOLE, ZONED, Key, Keys, counted, kind_of, plain

if TYPE_CHECKING:
    import pyarrow as pa

MODEL = "model"


@dataclass(frozen=True, kw_only=True)
class Group:
    """A row of a shelf."""

    key: Key | None  # None for the rows without a key, and for the model that groups share
    model: bytes | None = None  # content of a model file
    error: str | None = None  # why there is no model
    shared: bool = False  # whether it has the shared model
    rows: int = 0  # of training
    false_alarm_rate: float | None = None  # that the threshold keeps
    lowest_false_alarm_rate: float | None = None  # that its scores of normal rows can promise
    seconds: float = 0.0  # of fitting
    remarks: str | None = None  # what was to be said of its columns, a line each
    in_order: bool = False  # whether the score of a row depends on the rows before it
    text: tuple[str, ...] = ()  # columns of text files that are read literally

    @property
    def is_shared_model(self) -> bool:
        """Whether this row holds the model that groups share."""
        return self.key is None and self.shared


TYPES = {
    "model": ("binary", "binary", "object"),
    "error": ("string", "string", "object"),
    "shared": ("bool", "boolean", "bool"),
    "rows": ("int64", "bigint", "int64"),
    "false_alarm_rate": ("double", "double", "float64"),
    "lowest_false_alarm_rate": ("double", "double", "float64"),
    "seconds": ("double", "double", "float64"),
    "remarks": ("string", "string", "object"),
    "in_order": ("bool", "boolean", "bool"),
    "text": ("list", "array<string>", "object"),
}
"""Type of each column but those of the key: of Arrow, Spark and pandas."""


RESULTS = ("row", "score", "p_value", "is_anomaly", "is_discovery", "reason", "threshold")
"""Columns beside those of keys where rows are scored."""


def checked_names(names: str | Sequence[str]) -> tuple[str, ...]:
    """Names of columns of keys.

    Raises:
        OptionError: there is none, one is there twice, or one is called as a column of a shelf.
    """
    given = (names,) if isinstance(names, str) else tuple(names)
    taken = [name for name in given if name in TYPES or name in RESULTS]
    if not given or len(set(given)) < len(given) or taken:
        why = f"{taken[0]!r} is what memae calls another column; rename it" if taken else "give each column once"
        raise OptionError(f"groups are told by one column or several, not by {list(given)!r}: {why}")
    return given


def columns_of(names: Sequence[str], groups: Iterable[Group]) -> dict[str, list[Any]]:
    """Groups as columns."""
    known = list(groups)
    keys = {name: [None if each.key is None else each.key[at] for each in known] for at, name in enumerate(names)}
    return keys | {name: [getattr(each, name) for each in known] for name in TYPES}


def groups_of(names: Sequence[str], frame: pd.DataFrame) -> list[Group]:
    """The inverse of `columns_of`, of a DataFrame."""
    rows = [dict(zip(frame.columns, row, strict=True)) for row in frame.itertuples(index=False)]
    return [group_of(names, row) for row in rows]


def group_of(names: Sequence[str], row: dict[str, Any]) -> Group:
    """A group from a row of a shelf; what is missing is None.

    Raises:
        TypeError, KeyError: it is none.
    """
    row = {name: _known(value) for name, value in row.items()}  # engines write NaN for None
    values = [row.pop(name) for name in names]
    key = None if None in values else tuple(plain(value, name) for name, value in zip(names, values, strict=True))
    return Group(key=key, **(row | {"text": tuple(row["text"] or ())}))


def _known(value: Any) -> Any:
    """A value, or None if it is missing."""
    if isinstance(value, tuple | list | np.ndarray):
        return list(value)
    return None if pd.isna(value) else value.item() if isinstance(value, np.generic) else value


def unkeyed(names: Sequence[str], rows: int) -> Group:
    """The group of rows that belong to none."""
    return Group(key=None, rows=rows, error=f"{counted(rows, 'row')} without a value in {listed(names)}")


def ordered(keys: Iterable[Key | None]) -> list[Key | None]:
    """Keys in the order of a shelf; none comes first."""
    return sorted(keys, key=lambda key: (key is not None, key or ()))


def kinds_of(names: Sequence[str], keys: Iterable[Key | None]) -> Keys:
    """The columns of keys with what they hold.

    Raises:
        InputError: a column holds several kinds of values.
    """
    found: list[set[str]] = [set() for _ in names]
    for key in keys:
        for each, value in zip(found, key or (), strict=key is not None):
            each.add(kind_of(value))
    for name, kinds in zip(names, found, strict=True):
        if len(kinds) > 1:
            raise InputError(f"column {name!r} holds {' and '.join(sorted(kinds))}; give groups of one kind of key")
    return Keys(tuple(names), tuple(next(iter(kinds), TEXT) for kinds in found))


def schema_of(keys: Keys) -> "pa.Schema":
    """The columns of a shelf in Arrow's types, for columns of keys of known kinds."""
    import pyarrow as pa  # noqa: PLC0415 (only shelves need it)

    times = {TIME: pa.timestamp("us"), ZONED: pa.timestamp("us", tz="UTC")}
    kinds = {TEXT: pa.string(), WHOLE: pa.int64(), TRUTH: pa.bool_(), DATE: pa.date32()} | times
    ours = {"list": pa.list_(pa.string())}
    types = {name: ours.get(arrow) or pa.type_for_alias(arrow) for name, (arrow, *_) in TYPES.items()}
    return pa.schema(
        [*((name, kinds[kind]) for name, kind in zip(keys.names, keys.kinds, strict=True)), *types.items()]
    )
