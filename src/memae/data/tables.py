"""Tables: CSV, Parquet, DataFrames and arrays → rows of numbers, and back to the user's columns."""

import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from memae.data.cells import finite, kind_of, matrix, numbers, texts
from memae.data.column import MAX_CATEGORIES, Column, Kind
from memae.data.tallies import HourTally, NumberTally, TextTally, circle
from memae.errors import InputError, SchemaError
from memae.typed import typed

LIMIT = 8.0
"""Normalised numbers are clamped to ±`LIMIT` standard deviations."""
UNSEEN = 10.0
"""z-score given to a category, or a missing value, never seen in training."""


@dataclass(frozen=True)
class TableEncoder:
    """Encodes rows of the user's table as features; it is plain data."""

    columns: tuple[Column, ...]

    @property
    def width(self) -> int:
        """Number of features."""
        return sum(column.width for column in self.columns)

    @property
    def constant(self) -> bool:
        """Whether all rows of training were alike."""
        return all(column.constant for column in self.columns)

    @property
    def features(self) -> list[str]:
        """Name of each feature."""
        return [name for column in self.columns for name in column.features()]

    @property
    def text(self) -> list[str]:
        """Names of the columns that are categories."""
        return [column.name for column in self.columns if column.kind == "category"]

    @property
    def owner(self) -> NDArray[np.int64]:
        """Index of the column that each feature comes from, `(width,)`."""
        return np.repeat(np.arange(len(self.columns)), [column.width for column in self.columns])

    def encode(self, frame: pd.DataFrame) -> Tensor:
        """Rows `(n, columns)` → features `(n, width)`, float64; missing numbers become the column's training mean.

        The features may share memory with the table.

        Raises:
            SchemaError: a column is missing, added, in another order or of another type.
            InputError: a number is infinite.
        """
        self.check(frame)
        if all(column.kind == "number" and not column.missing for column in self.columns):
            values = matrix(frame, [column.name for column in self.columns])
            if finite(values):  # nothing is missing: each column is a feature
                return torch.from_numpy(np.require(values, requirements=["C", "W"]))
        out = np.zeros((len(frame), self.width))
        starts = self.places
        numeric = np.flatnonzero([column.kind == "number" for column in self.columns])
        if len(numeric):
            values = matrix(frame.iloc[:, numeric], [self.columns[index].name for index in numeric])
            absent = np.isnan(values)
            if absent.any():
                values = np.where(absent, [self.columns[index].mean for index in numeric], values)
                flagged = np.flatnonzero([self.columns[index].missing > 0 for index in numeric])
                out[:, starts[numeric[flagged]] + 1] = absent[:, flagged]
            out[:, starts[numeric] if len(numeric) < out.shape[1] else slice(None)] = values
        for column, name, start in zip(self.columns, frame.columns, starts, strict=True):
            if column.kind == "category":
                known = {value: index for index, value in enumerate(column.categories)}
                found = texts(frame[name])
                codes = np.array([known.get(text, len(known)) for text in found.names], dtype=np.int64)
                out[np.arange(len(frame)), start + codes[found.codes]] = 1.0
            elif column.kind == "hour":
                out[:, start : start + column.width] = _clock(column, numbers(frame[name], column.name))
        return torch.from_numpy(out)

    @property
    def places(self) -> NDArray[np.int64]:
        """Index of each column's first feature, `(columns,)`."""
        widths = [column.width for column in self.columns]
        return np.cumsum([0, *widths[:-1]], dtype=np.int64)

    def check(self, frame: pd.DataFrame) -> None:
        """Raises SchemaError unless `frame` has the columns of training, in the same order."""
        expected, got = [column.name for column in self.columns], [str(name) for name in frame.columns]
        if expected == got:
            return
        lost = [name for name in expected if name not in got]
        added = [name for name in got if name not in expected]
        if lost:
            raise SchemaError(missing_columns(lost))
        if added:
            raise SchemaError(unknown_columns(added))
        raise SchemaError(f"columns are in another order; expected {listed(expected)}, got {listed(got)}")

    def novelties(self, frame: pd.DataFrame) -> dict[str, int]:
        """Number of values in each column never seen in training: new categories, and missing numbers where none were.

        Columns without any are left out.
        """
        counts: dict[str, int] = {}
        absent = frame.isna().to_numpy().sum(0)
        for column, name, missing in zip(self.columns, frame.columns, absent, strict=True):
            if column.kind == "category":
                known = set(column.categories)
                found = {} if column.rare else texts(frame[name]).counts()
                count = sum(rows for text, rows in found.items() if text not in known)
            else:
                count = 0 if column.missing else int(missing)
            if count:
                counts[column.name] = count
        return counts

    def center_and_scale(self, scaling: Literal["standard", "minmax"]) -> tuple[Tensor, Tensor]:
        """Offset and divisor of each feature `(width,)`, float64.

        They scale the training rows to mean 0 and standard deviation 1 ("standard") or to 0..1 ("minmax"); a constant
        feature is only shifted. A category never seen in training lies `UNSEEN` standard deviations away.
        """
        standard = scaling == "standard"
        center, scale = [], []
        for column in self.columns:
            if column.kind == "number":
                center.append(column.mean if standard else column.least)
                scale.append(column.spread if standard else column.most - column.least)
            elif column.kind == "hour":
                center += column.circle if standard else (-1.0, -1.0)
                scale += [column.spread if standard else 2.0] * 2
            center += [share if standard else 0.0 for share in column.shares]
            scale += [_flag_scale(share) if standard else 1.0 for share in column.shares]
        spread = torch.tensor(scale, dtype=torch.float64)
        return torch.tensor(center, dtype=torch.float64), torch.where(spread > 0, spread, 1.0)

    def report(self) -> list[str]:
        """Sentences that warn the user of unusual columns."""
        lines = []
        for column in self.columns:
            if column.constant and not self.constant:
                lines.append(
                    f"column {column.name!r} has a single value in training: any other will count as anomalous"
                )
            if column.missing:
                lines.append(f"column {column.name!r} misses {column.missing} values: filled with its mean and flagged")
            if column.rare:
                lines.append(f"column {column.name!r}: only its {MAX_CATEGORIES} most frequent values are told apart")
        return lines

    def as_json(self) -> list[dict[str, Any]]:
        """The columns as JSON-ready data."""
        return [asdict(column) for column in self.columns]

    @classmethod
    def from_json(cls, data: list[dict[str, Any]]) -> "TableEncoder":
        """The inverse of `as_json`; TypeError if the data does not fit."""
        return cls(typed(data, tuple[Column, ...]))

    @classmethod
    def fit(cls, chunks: Iterable[pd.DataFrame], kinds: Mapping[str, Kind] | None = None) -> tuple["TableEncoder", int]:
        """The encoder of a table, from one pass over its chunks, and the number of its rows; each column is taken.

        Args:
            chunks: of the table.
            kinds: of the columns, where they are known.

        Raises:
            InputError: the table has no rows, a column with no value at all, or an infinite number.
        """
        tallies: dict[str, _Tally] = {}
        rows = 0
        for chunk in chunks:
            if rows == 0:
                check_unique(chunk)
                known = kinds or {str(name): cast("Kind", kind_of(chunk[name])) for name in chunk.columns}
                tallies = {str(name): _Tally(str(name), known[str(name)]) for name in chunk.columns}
            for name, tally in zip(chunk.columns, tallies.values(), strict=True):
                tally.add(chunk[name])
            rows += len(chunk)
        if not rows or not tallies:
            raise InputError(f"the table has {rows} rows and {len(tallies)} columns; at least one of each is needed")
        return cls(tuple(tally.counted.column() for tally in tallies.values())), rows


class _Tally:
    """Statistics of a column of a known kind."""

    def __init__(self, name: str, kind: Kind) -> None:
        self.name = name
        kinds = {"number": NumberTally, "category": TextTally, "hour": HourTally}
        self.counted: NumberTally | TextTally | HourTally = kinds[kind](name)

    def add(self, series: "pd.Series[Any]") -> None:
        counted = self.counted
        if isinstance(counted, NumberTally) and not counted.count and counted.missing and kind_of(series) != "number":
            counted = self.counted = TextTally(self.name, counted.missing)  # all values so far were missing
        if isinstance(counted, TextTally):
            counted.add(texts(series).counts())
        else:
            counted.add(numbers(series, self.name))


def _clock(column: Column, hours: NDArray[np.float64]) -> NDArray[np.float64]:
    """The features of an hour `(n, width)`."""
    absent = np.isnan(hours)
    pair = np.stack(circle(hours), 1)
    pair[absent] = column.circle
    return np.column_stack([pair, absent])[:, : column.width]


def check_unique(frame: pd.DataFrame) -> None:
    """Raises InputError if two columns have the same name, as text."""
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        twice = next(name for index, name in enumerate(names) if name in names[:index])
        raise InputError(f"two columns have the same name, {twice!r}; rename one of them")


def _flag_scale(share: float) -> float:
    """Standard deviation of a feature that is 1 in this share of the rows, else 0; 1 / `UNSEEN` if it is constant."""
    return math.sqrt(share * (1 - share)) or 1 / UNSEEN


def missing_columns(names: Sequence[str]) -> str:
    """A sentence on columns that are missing."""
    columns, them = ("columns", "them") if len(names) > 1 else ("column", "it")
    return f"{columns} {listed(names)} missing; the model was fitted with {them}"


def unknown_columns(names: Sequence[str]) -> str:
    """A sentence on columns that the model does not know."""
    return (
        f"column{'s' * (len(names) > 1)} {listed(names)} not known to the model; drop columns it was not fitted with, "
        f"or ignore them (--ignore {shlex.quote(names[0])}, in HTTP ?ignore=…)"
    )


def left_out_columns(names: Sequence[str]) -> str:
    """A sentence on columns that are left out since the model does not know them."""
    columns, them = ("columns", "them") if len(names) > 1 else ("column", "it")
    return f"{columns} {listed(names)} left out, since the model was not fitted with {them}"


def listed(names: Sequence[str]) -> str:
    """The first of these names, and how many more there are."""
    shown = ", ".join(repr(name) for name in names[:5])
    return shown + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def frame_of_array(X: object) -> pd.DataFrame:
    """A DataFrame unchanged, or an array `(n, d)` as one with columns x0, x1, ...

    Raises:
        InputError: the array does not have two dimensions.
    """
    if isinstance(X, pd.DataFrame):
        return X
    array = np.asarray(X)
    if array.ndim != 2:
        raise InputError(
            f"Expected 2D array, got {array.ndim}D array instead: a table must be (rows, columns); "
            f"got shape {array.shape}. Reshape your data: X.reshape(1, -1) for one row, X.reshape(-1, 1) for one column"
        )
    return pd.DataFrame(array, columns=[f"x{index}" for index in range(array.shape[1])], copy=False)


def without(frame: pd.DataFrame, ignore: Iterable[str], *, strict: bool) -> pd.DataFrame:
    """A table without the columns `ignore`.

    Raises:
        SchemaError: one of them does not exist, and `strict` is set.
    """
    names = [str(name) for name in frame.columns]
    absent = [name for name in ignore if name not in names]
    if strict and absent:
        raise SchemaError(f"there is no column {listed(absent)} to leave out; the columns are {listed(names)}")
    dropped = set(ignore)
    return frame.loc[:, [name not in dropped for name in names]] if dropped else frame


def trimmed(frame: pd.DataFrame, ignore: Sequence[str], known: Sequence[str]) -> pd.DataFrame:
    """A table without the columns `ignore`, which must exist, and the columns `known`, which training ignored."""
    return without(without(frame, ignore, strict=True), known, strict=False)
