"""Keys: the values of one or several columns that tell whose a row is, such as the device."""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memae.data.tables import listed
from memae.errors import InputError, SchemaError

Value = str | int | bool | dt.date | dt.datetime
Key = tuple[Value, ...]
"""One value for each column."""

TEXT, WHOLE, TRUTH, DATE = "text", "whole numbers", "truth values", "dates"
TIME, ZONED = "times", "times with a zone"
"""What a column of keys may hold."""
EXACT = 2**53
"""Whole numbers below are exact in floating point, in which pandas holds a column with missing values."""
LARGEST = 2**63
NO_KEY = "a key is text, a whole number, a date or a time"


def plain(value: Any, column: str) -> Value:
    """A value of a cell as one of Python's own types; times with a zone are in UTC.

    Args:
        value: not missing.
        column: its name, for the error.

    Raises:
        InputError: it cannot be a key.
    """
    if isinstance(value, np.generic):
        value = value.item() if not isinstance(value, np.datetime64) else pd.Timestamp(value)
    if isinstance(value, dt.datetime):
        stamp = pd.Timestamp(value)
        return (stamp if stamp.tz is None else stamp.tz_convert("UTC")).to_pydatetime(warn=False)
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        return int(value)
    if isinstance(value, str | bool | dt.date) or (isinstance(value, int) and -LARGEST <= value < LARGEST):
        return value
    raise InputError(f"column {column!r} has {value!r}; {NO_KEY}: give such a column")


def kind_of(value: Value) -> str:
    """What a key is."""
    time = ZONED if isinstance(value, dt.datetime) and value.tzinfo else TIME
    kinds = {str: TEXT, bool: TRUTH, int: WHOLE, dt.datetime: time, dt.date: DATE}
    return next(kind for known, kind in kinds.items() if isinstance(value, known))


def shown(key: Key | None) -> str:
    """A key for users: 'd042', 7, 2026-12-01; of several columns, with commas.

    Example:
        >>> shown(("d042",)), shown((7, dt.date(2026, 12, 1))), shown(None)
        ("'d042'", '7, 2026-12-01', 'no key')
    """
    if key is None:
        return "no key"
    return ", ".join(str(plain_text(value)) if isinstance(value, dt.date) else repr(value) for value in key)


def plain_text(value: Value) -> Value:
    """A value of a key for JSON: times as text."""
    return value.isoformat() if isinstance(value, dt.date) else value


def counted(count: int, what: str) -> str:
    """A number with a noun: 1 row, 2 rows."""
    return f"{count:,} {what}{'s' * (count != 1)}"


class InGroups(NamedTuple):
    """The rows of a table by their keys."""

    codes: NDArray[np.int64]  # (n,): index of the key of each row
    keys: list[Key | None]  # in the order of their first rows; None for rows without a key

    def rows(self) -> Iterator[tuple[Key | None, NDArray[np.int64]]]:
        """Each key, and the indices of its rows in their order."""
        order = np.argsort(self.codes, kind="stable")
        ends = np.searchsorted(self.codes[order], np.arange(len(self.keys)), side="right")
        return zip(self.keys, np.split(order, ends[:-1]), strict=True)


@dataclass(frozen=True)
class Keys:
    """The columns of keys.

    Args:
        names: of the columns.
        kinds: what each holds, if known: values that say the same in another type are then found too.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...] = ()

    def in_groups(self, frame: pd.DataFrame, names: Sequence[str] = ()) -> InGroups:
        """The rows of a table by their keys.

        Args:
            frame: with the columns.
            names: of the columns in this table; by default, those of the keys.

        Raises:
            SchemaError: a column is missing.
            InputError: a value cannot be a key, and the kinds are not known.
        """
        names = names or self.names
        self.check(frame, names)
        numbers, values = [], []
        for at, name in enumerate(names):
            found, distinct = pd.factorize(frame[name])
            numbers.append(found)
            values.append([self._value(at, value, name) for value in distinct])
        codes, combinations = pd.MultiIndex.from_arrays(numbers).factorize()
        keys = [
            tuple(each[number] for each, number in zip(values, combination, strict=True))
            if min(combination) >= 0
            else None
            for combination in combinations
        ]
        keys = [None if key is None or "" in key else key for key in keys]
        whole: dict[Key | None, int] = {}
        places = np.array([whole.setdefault(key, len(whole)) for key in keys], dtype=np.int64)
        return InGroups(places[codes], list(whole))

    def of_row(self, values: Sequence[Any]) -> Key | None:
        """The key of a row from the values of its cells, None if one is missing."""
        if any(value is None or value == "" for value in values):
            return None
        return tuple(
            self._value(at, value, name) for at, (name, value) in enumerate(zip(self.names, values, strict=True))
        )

    def _value(self, at: int, value: Any, name: str) -> Value:
        """A value of a cell; where the groups are known, what cannot be a key is the key of none of them."""
        try:
            return self.as_known(at, plain(value, name))
        except InputError:
            if not self.kinds:
                raise
            return str(value)

    def as_known(self, at: int, value: Value) -> Value:
        """A value in the type of its column, if it can be told in it; else unchanged."""
        kind = self.kinds[at] if self.kinds else kind_of(value)
        if kind == kind_of(value):
            return value
        try:
            return _converted(value, kind)
        except (ValueError, TypeError):
            return value

    def check(self, frame: pd.DataFrame, names: Sequence[str] = ()) -> None:
        """Raises SchemaError if a table lacks one of the columns."""
        there = [str(name) for name in frame.columns]
        lost = [name for name in names or self.names if name not in there]
        if lost:
            raise SchemaError(f"there is no column {lost[0]!r} to tell groups by; the columns are {listed(there)}")

    def of(self, given: Any) -> Key:
        """The key that a user means: a value, or for several columns a tuple or list of values.

        Raises:
            InputError: it cannot be a key.
        """
        values = tuple(given) if isinstance(given, tuple | list) else (given,)
        if len(values) != len(self.names):
            raise InputError(f"a key has {counted(len(self.names), 'value')}, for {listed(self.names)}; got {given!r}")
        pairs = zip(self.names, values, strict=True)
        return tuple(self.as_known(at, plain(value, name)) for at, (name, value) in enumerate(pairs))


def _converted(value: Value, kind: str) -> Value:
    """A value in another type; ValueError if it does not say the same there."""
    if kind == TEXT and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if kind == WHOLE and isinstance(value, str) and str(int(value)) == value:
        return int(value)
    if kind in (TIME, ZONED) and isinstance(value, str | dt.date):
        found = plain(pd.Timestamp(value), "")
        if kind_of(found) == kind:
            return found
    if kind == DATE and isinstance(value, str):
        return dt.date.fromisoformat(value)
    if kind == DATE and isinstance(value, dt.datetime) and value.time() == dt.time():
        return value.date()
    raise ValueError(f"{value!r} is not of {kind}")
