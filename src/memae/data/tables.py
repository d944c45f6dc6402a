"""Tables: CSV, Parquet, DataFrames and arrays → rows of numbers, and back to the user's columns."""

import math
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from memae.data.cells import Kind, finite, kind_of, matrix, numbers, texts
from memae.errors import InputError, SchemaError
from memae.typed import typed

MAX_CATEGORIES = 100
LIMIT = 8.0
"""Deviations from the mean beyond which a number counts as so far."""
LARGEST = 1e150
UNSEEN = 10.0
"""Deviations that a value which was never there counts; without it, it would be no more than a fraction of one."""


@dataclass(frozen=True)
class Column:
    """One column of the user's table, as it was in training.

    A number gives one feature and, if values were missing in training, a second one that is 1 where one is missing.
    A category gives one feature a known value and a last one for any other, so that an unseen value can be told.
    """

    name: str
    kind: Kind
    mean: float = 0.0
    spread: float = 0.0  # standard deviation
    least: float = 0.0
    most: float = 0.0
    missing: int = 0  # values missing in training
    categories: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()  # of the training rows: with each category and any other; with a missing number
    rare: int = 0  # values in training that are too many to be categories of their own

    @property
    def width(self) -> int:
        """Number of features."""
        return len(self.categories) + 1 if self.kind == "category" else 1 + (self.missing > 0)

    @property
    def constant(self) -> bool:
        """Whether training showed a single value."""
        return len(self.categories) <= 1 if self.kind == "category" else self.least == self.most and not self.missing

    def features(self) -> list[str]:
        """Names of the features."""
        if self.kind == "category":
            return [*(f"{self.name}={value}" for value in self.categories), f"{self.name}=other"]
        return [self.name, f"{self.name} missing"][: self.width]


@dataclass(frozen=True)
class TableEncoder:
    """Turns rows of the user's table into features, always in the same way; it is plain data."""

    columns: tuple[Column, ...]

    @property
    def width(self) -> int:
        """Number of features."""
        return sum(column.width for column in self.columns)

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
        """Position of the column that each feature comes from."""
        return np.repeat(np.arange(len(self.columns)), [column.width for column in self.columns])

    def encode(self, frame: pd.DataFrame) -> Tensor:
        """Rows `(n, columns)` → features `(n, width)`, float64; missing numbers become the column's training mean.

        The features may share memory with the table.

        Raises:
            SchemaError: a column is missing, added, in another place or of another type.
            InputError: a number is infinite.
        """
        self.check(frame)
        if self.width == len(self.columns) and not self.text:
            values = matrix(frame, [column.name for column in self.columns])
            if finite(values):  # nothing is missing: a column is a feature
                return torch.from_numpy(np.require(values, requirements=["C", "W"]))
        out = np.zeros((len(frame), self.width))
        places = self.places
        at = np.flatnonzero([column.kind == "number" for column in self.columns])
        if len(at):
            values = matrix(frame.iloc[:, at], [self.columns[number].name for number in at])
            absent = np.isnan(values)
            if absent.any():
                values = np.where(absent, [self.columns[number].mean for number in at], values)
                marked = np.flatnonzero([self.columns[number].missing > 0 for number in at])
                out[:, places[at[marked]] + 1] = absent[:, marked]
            out[:, places[at] if len(at) < out.shape[1] else slice(None)] = values
        for column, name, start in zip(self.columns, frame.columns, places, strict=True):
            if column.kind == "category":
                known = {value: place for place, value in enumerate(column.categories)}
                place = np.array([known.get(text, len(known)) for text in texts(frame[name])], dtype=np.int64)
                out[np.arange(len(frame)), start + place] = 1.0
        return torch.from_numpy(out)

    @property
    def places(self) -> NDArray[np.int64]:
        """Position of each column's first feature."""
        widths = [column.width for column in self.columns]
        return np.cumsum([0, *widths[:-1]], dtype=np.int64)

    def check(self, frame: pd.DataFrame) -> None:
        """Compares the columns of `frame` with those of training."""
        expected, got = [column.name for column in self.columns], [str(name) for name in frame.columns]
        if expected == got:
            return
        lost = [name for name in expected if name not in got]
        added = [name for name in got if name not in expected]
        if lost:
            raise SchemaError(f"column{'s' * (len(lost) > 1)} {_listed(lost)} missing; the model was fitted with it")
        if added:
            raise SchemaError(
                f"column{'s' * (len(added) > 1)} {_listed(added)} not known to the model; "
                f"drop what it was not fitted with, or ignore it (--ignore {shlex.quote(added[0])}, in HTTP ?ignore=…)"
            )
        raise SchemaError(f"columns are in another order; expected {_listed(expected)}, got {_listed(got)}")

    def novelties(self, frame: pd.DataFrame) -> dict[str, int]:
        """Values that training never showed: unseen categories, and missing numbers where none were missing."""
        found: dict[str, int] = {}
        absent = frame.isna().to_numpy().sum(0)
        for column, name, missing in zip(self.columns, frame.columns, absent, strict=True):
            if column.kind == "category":
                known = set(column.categories)
                count = 0 if column.rare else sum(text not in known for text in texts(frame[name]))
            else:
                count = 0 if column.missing else int(missing)
            if count:
                found[column.name] = count
        return found

    def center_and_scale(self, scaling: Literal["standard", "minmax"]) -> tuple[Tensor, Tensor]:
        """What to subtract from the features and to divide them by `(width,)`, float64.

        They become mean 0 and deviation 1 ("standard") or range 0 to 1 ("minmax") over the training rows; a constant
        one is only shifted. A category that was never seen lies `UNSEEN` deviations away.
        """
        standard = scaling == "standard"
        center, scale = [], []
        for column in self.columns:
            if column.kind == "number":
                center.append(column.mean if standard else column.least)
                scale.append(column.spread if standard else column.most - column.least)
            center += [share if standard else 0.0 for share in column.shares]
            scale += [_flag_scale(share) if standard else 1.0 for share in column.shares]
        spread = torch.tensor(scale, dtype=torch.float64)
        return torch.tensor(center, dtype=torch.float64), torch.where(spread > 0, spread, 1.0)

    def report(self) -> list[str]:
        """What a user should know of the columns, a sentence each."""
        lines = []
        for column in self.columns:
            if column.constant:
                lines.append(
                    f"column {column.name!r} has a single value in training: any other will count as anomalous"
                )
            if column.missing:
                lines.append(f"column {column.name!r} misses {column.missing} values: filled with its mean and marked")
            if column.rare:
                lines.append(f"column {column.name!r}: only its {MAX_CATEGORIES} most frequent values are told apart")
        return lines

    def as_json(self) -> list[dict[str, Any]]:
        """The columns as JSON-ready data."""
        return [asdict(column) for column in self.columns]

    @classmethod
    def from_json(cls, data: list[dict[str, Any]]) -> "TableEncoder":
        """The inverse of `as_json`; TypeError where it is something else."""
        return cls(typed(data, tuple[Column, ...]))

    @classmethod
    def fit(cls, chunks: Iterable[pd.DataFrame]) -> tuple["TableEncoder", int]:
        """Learns the columns of a table in one pass over its chunks; also gives the number of rows.

        Raises:
            InputError: no rows, a column with no value at all, or an infinite number.
        """
        tallies: dict[str, _Tally] = {}
        rows = 0
        for chunk in chunks:
            if rows == 0:
                check_unique(chunk)
                tallies = {str(name): _Tally(str(name), kind_of(chunk[name])) for name in chunk.columns}
            for name, tally in zip(chunk.columns, tallies.values(), strict=True):
                tally.add(chunk[name])
            rows += len(chunk)
        if not rows or not tallies:
            raise InputError(f"the table has {rows} rows and {len(tallies)} columns; at least one of each is needed")
        return cls(tuple(tally.column() for tally in tallies.values())), rows


class _Tally:
    """Running statistics of one column over chunks."""

    def __init__(self, name: str, kind: Kind) -> None:
        self.name = name
        self.kind: Kind = kind
        self.count = self.missing = 0
        self.mean = self.squares = 0.0
        self.least, self.most = np.inf, -np.inf
        self.seen: dict[str, int] = {}

    def add(self, series: "pd.Series[Any]") -> None:
        if self.kind == "number" and self.count == 0 and self.missing and kind_of(series) == "category":
            self.kind, self.seen[""], self.missing = "category", self.missing, 0  # so far all values were missing
        if self.kind == "category":
            for text, count in Counter(texts(series)).items():
                self.seen[text] = self.seen.get(text, 0) + count
            return
        values = numbers(series, self.name)
        absent = np.isnan(values)
        if absent.any():
            values = values[~absent]
        self.missing += len(series) - len(values)
        if not len(values):
            return
        if max(abs(float(values.min())), abs(float(values.max()))) > LARGEST:
            raise InputError(
                f"column {self.name!r} holds numbers beyond ±{LARGEST:g}, whose squares are infinite; "
                "correct or leave them out, or rescale the column"
            )
        # Chan et al.'s update: mean and squared deviations of two parts give those of the whole, without cancellation.
        count, mean = len(values), float(values.mean())
        delta, total = mean - self.mean, self.count + count
        deviation = values - mean
        self.squares += float(np.square(deviation, out=deviation).sum()) + delta**2 * self.count * count / total
        self.mean += delta * count / total
        self.count = total
        self.least, self.most = min(self.least, float(values.min())), max(self.most, float(values.max()))

    def column(self) -> Column:
        if self.kind == "category":
            frequent = sorted(sorted(self.seen, key=lambda value: (-self.seen[value], value))[:MAX_CATEGORIES])
            rows = sum(self.seen.values())
            shares = [self.seen[value] / rows for value in frequent]
            other = max(1 - sum(shares), 0.0) if len(self.seen) > len(frequent) else 0.0
            return Column(
                self.name,
                "category",
                categories=tuple(frequent),
                shares=(*shares, other),
                rare=len(self.seen) - len(frequent),
            )
        if not self.count:
            raise InputError(f"column {self.name!r} has no values at all; drop or ignore it")
        spread = 0.0 if self.least == self.most else float(np.sqrt(self.squares / self.count))
        flagged = (self.missing / (self.count + self.missing),) if self.missing else ()
        return Column(self.name, "number", self.mean, spread, self.least, self.most, self.missing, shares=flagged)


def check_unique(frame: pd.DataFrame) -> None:
    """Refuses a table in which two columns have one name, as text.

    Raises:
        InputError: they do.
    """
    names = frame.columns.map(str)
    if not names.is_unique:
        raise InputError(f"two columns have the same name, {names[names.duplicated()][0]!r}; give each its own")


def _flag_scale(share: float) -> float:
    """Deviation of a feature that is 1 in this share of the rows, and else 0; small where it always was the same."""
    return math.sqrt(share * (1 - share)) or 1 / UNSEEN


def _listed(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:5])
    return shown + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def frame_of_array(X: object) -> pd.DataFrame:
    """A DataFrame as it is, or an array `(n, d)` with columns named x0, x1, ...

    Raises:
        InputError: not a table of two dimensions.
    """
    if isinstance(X, pd.DataFrame):
        return X
    array = np.asarray(X)
    if array.ndim != 2:
        raise InputError(
            f"Expected 2D array, got {array.ndim}D array instead: a table must be (rows, columns); "
            f"got shape {array.shape}. Reshape your data: X.reshape(1, -1) for one row, X.reshape(-1, 1) for one column"
        )
    return pd.DataFrame(array, columns=[f"x{place}" for place in range(array.shape[1])], copy=False)


def without(frame: pd.DataFrame, ignore: Iterable[str], *, strict: bool) -> pd.DataFrame:
    """A table without the columns `ignore`; if strict, they must be there.

    Raises:
        SchemaError: one is not.
    """
    names = [str(name) for name in frame.columns]
    absent = [name for name in ignore if name not in names]
    if strict and absent:
        raise SchemaError(f"there is no column {_listed(absent)} to leave out; the columns are {_listed(names)}")
    dropped = set(ignore)
    return frame.loc[:, [name not in dropped for name in names]] if dropped else frame


def trimmed(frame: pd.DataFrame, ignore: Sequence[str], known: Sequence[str]) -> pd.DataFrame:
    """A table without the columns that are ignored now, which must be there, and those that training did without."""
    return without(without(frame, ignore, strict=True), known, strict=False)
