"""Windows of neighbouring rows: where they lie, and the numbers that stand for each."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memae.data.tables import UNSEEN, TableEncoder, missing_columns
from memae.data.times import Time, instants
from memae.errors import InputError, OptionError, SchemaError
from memae.typed import typed

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MEAN, DEVIATION, SLOPE, CHANGE, SHARE = "mean", "deviation", "slope", "change from row to row", "share"
SUMMARIES = (MEAN, DEVIATION, SLOPE, CHANGE)
"""What stands for a column of numbers in a window: besides mean and standard deviation, the slope of a straight line
(per row, or per second) and the mean absolute difference of consecutive rows. Chosen by left-out series."""
ROWS = "rows in the window"
STEPS = 4
"""Steps from one window to the next that no longer overlaps it, by default."""
GAP, USUAL = 3.0, 0.95
"""A stretch of rows ends where the time to the next row exceeds `GAP` times what the share `USUAL` of all rows keep."""
CELLS = 2**22
"""Numbers of windows that are summed up at once."""


class Span(NamedTuple):
    """A length of windows: a number of rows, or seconds."""

    amount: float
    timed: bool  # whether it is in seconds

    def __str__(self) -> str:
        return f"{self.amount:g} s" if self.timed else f"{self.amount:g} rows"


def span(value: int | str, name: str) -> Span:
    """A length as users give it: 60 and "60" are rows, "60s", "5min" and "1h" are times.

    Args:
        value: given.
        name: of the parameter.

    Raises:
        OptionError: it is neither, or not positive.

    Example:
        >>> span(60, "window"), span("5min", "window")
        (Span(amount=60.0, timed=False), Span(amount=300.0, timed=True))
    """
    text = str(value).strip()
    try:
        found = Span(float(text), False) if text.isdecimal() else Span(pd.Timedelta(text).total_seconds(), True)
    except ValueError:
        found = Span(math.nan, True)
    if not 0 < found.amount < 1e9:
        raise OptionError(f"{name} must be a number of rows, or a time such as 60s, 5min or 1h; got {value!r}")
    return found


@dataclass(frozen=True)
class Windows:
    """How rows become windows.

    Args:
        length: of a window.
        step: from one window to the next.
        rows: columns of a row → numbers.
        group: column that tells whose rows they are, which may be mixed; "" for none.
        time: column of times; None for none.
        gap: seconds to the next row from which a stretch ends.
    """

    length: Span
    step: Span
    rows: TableEncoder
    group: str = ""
    time: Time | None = None
    gap: float = math.inf

    def placed(self, table: pd.DataFrame, files: Ints, *, whole: bool) -> "Placed":
        """Where the windows lie in consecutive rows of the user's table; none spans two groups, two files, or a gap.

        Args:
            table: as given.
            files: number of the file of each row `(n,)`.
            whole: whether stretches shorter than a window are left out; otherwise each is a shorter window.

        Raises:
            SchemaError: the column of groups or of times is missing.
        """
        order, codes = self.grouped(table)
        seconds = self._seconds(table)
        seconds = None if seconds is None else filled_in(seconds[order])
        ends = _ends(codes[order], files[order], seconds, self.gap)
        found = [self._in_stretch(first, last, seconds, whole) for first, last in _pairs(ends, len(order))]
        bounds = np.concatenate([each for each in found if len(each)] or [np.empty((0, 2), dtype=np.int64)])
        short = sum(last - first for first, last in _pairs(ends, len(order)) if self._short(first, last, seconds))
        return Placed(order, bounds, seconds if self.length.timed else None, short)

    def grouped(self, table: pd.DataFrame) -> tuple[Ints, Ints]:
        """Indices that put the rows of each group together, in their order, and a number for the group of each row."""
        if not self.group:
            return np.arange(len(table)), np.zeros(len(table), dtype=np.int64)
        codes = pd.factorize(_column(table, self.group).map(str))[0].astype(np.int64)
        return np.argsort(codes, kind="stable"), codes

    def _seconds(self, table: pd.DataFrame) -> Floats | None:
        if self.time is None:
            return None
        return instants(_column(table, self.time.name), self.time.form, self.time.name).seconds

    def _short(self, first: int, last: int, seconds: Floats | None) -> bool:
        if self.length.timed and seconds is not None:
            return bool(seconds[last - 1] - seconds[first] < self.length.amount * (1 - 1 / STEPS))
        return last - first < self.length.amount

    def _in_stretch(self, first: int, last: int, seconds: Floats | None, whole: bool) -> Ints:
        """First row and the row behind the last one of each window of a stretch `(m, 2)`."""
        if self._short(first, last, seconds):
            return np.array([[first, last]][whole:], dtype=np.int64).reshape(-1, 2)
        if not self.length.timed or seconds is None:
            length, step = int(self.length.amount), int(self.step.amount)
            starts = np.unique([*range(first, last - length + 1, step), last - length])
            return np.stack([starts, starts + length], 1)
        times = seconds[first:last]
        begins = np.arange(times[0], times[-1] - self.length.amount + self.step.amount / 2, self.step.amount)
        begins = begins if len(begins) else times[:1]
        at = first + np.searchsorted(times, [begins, begins + self.length.amount]).T
        at[-1, 1] = last
        return np.unique(at[at[:, 1] > at[:, 0]], axis=0)

    def summed_up(self, read: pd.DataFrame, placed: "Placed") -> pd.DataFrame:
        """The numbers that stand for each window `(m, columns)`.

        Args:
            read: rows in the columns that are encoded.
            placed: where the windows lie.
        """
        features = self.rows.encode(read).numpy()[placed.order]
        numeric = self.numeric
        others = np.setdiff1d(np.arange(features.shape[1]), numeric)
        parts: dict[str, list[Floats]] = {name: [] for name in (*SUMMARIES, SHARE)}
        for bounds in _blocks(placed.bounds, features.shape[1]):
            for name, values in _summaries(features[:, numeric], bounds, placed.seconds).items():
                parts[name].append(values)
            parts[SHARE].append(_means(features[:, others], bounds))
        joined = {name: np.concatenate(each) for name, each in parts.items()}
        names = self.rows.features
        columns = {
            f"{names[at]}, {what}": joined[what][:, index] for index, at in enumerate(numeric) for what in SUMMARIES
        }
        hours = {name for column in self.rows.columns if column.kind == "hour" for name in column.features()[:2]}
        columns |= {
            f"{names[at]}, {MEAN if names[at] in hours else SHARE}": joined[SHARE][:, index]
            for index, at in enumerate(others)
        }
        if self.length.timed:
            columns[ROWS] = (placed.bounds[:, 1] - placed.bounds[:, 0]).astype(np.float64)
        return pd.DataFrame(columns)

    @property
    def columns(self) -> list[str]:
        """Names of the numbers that stand for a window."""
        here = Placed(np.arange(1), np.array([[0, 1]]), np.zeros(1) if self.length.timed else None, 0)
        row = {each.name: [None if each.kind == "category" else each.mean] for each in self.rows.columns}
        return list(self.summed_up(pd.DataFrame(row), here).columns)

    @property
    def numeric(self) -> Ints:
        """Indices of the features that are columns of numbers; others are shares, or an hour's cosine and sine."""
        places = zip(self.rows.columns, self.rows.places, strict=True)
        return np.array([at for column, at in places if column.kind == "number"], dtype=np.int64)

    def as_json(self) -> dict[str, Any]:
        """The windows as JSON-ready data."""
        return asdict(self) | {
            "length": self.length._asdict(),
            "step": self.step._asdict(),
            "rows": self.rows.as_json(),
            "gap": None if math.isinf(self.gap) else self.gap,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The inverse of `as_json`; TypeError or KeyError if the data does not fit."""
        rows = TableEncoder.from_json(data["rows"])
        gap: float | None = typed(data["gap"], float | None)
        time: Time | None = typed(data["time"], Time | None)
        length, step = (checked_span(typed(data[name], Span)) for name in ("length", "step"))
        return cls(length, step, rows, typed(data["group"], str), time, math.inf if gap is None else gap)


class Placed(NamedTuple):
    """Where m windows lie in n rows."""

    order: Ints  # (n,): index in the table of each row, groups together
    bounds: Ints  # (m, 2): first row, and the row behind the last one, in this order
    seconds: Floats | None  # (n,), in this order, for windows of time
    short: int  # rows in stretches that are shorter than a window

    def of_rows(self) -> Ints:
        """The window that gives each row of the table its score `(n,)`; −1 for a row in no window.

        It is that with the nearest middle among those of its stretch.
        """
        middles = self.bounds.sum(1) / 2
        found = np.full(len(self.order), -1, dtype=np.int64)
        at = np.searchsorted((middles[1:] + middles[:-1]) / 2, np.arange(len(found)) + 0.5)
        for step in (0, -1, 1):  # a row at the edge of a stretch can be nearer to a window of the next one
            index = np.clip(at + step, 0, len(middles) - 1)
            rows = np.arange(len(found))
            inside = (self.bounds[index, 0] <= rows) & (rows < self.bounds[index, 1]) & (found < 0)
            found[inside] = index[inside]
        out = np.empty_like(found)
        out[self.order] = found
        return out

    def ends(self, index: int) -> tuple[int, int]:
        """Number in the table of the first and the last row of a window."""
        first, last = self.bounds[index]
        return int(self.order[first]), int(self.order[last - 1])


def checked_span(given: Span) -> Span:
    """A span of a model file; TypeError if it is not possible."""
    if not 0 < given.amount < 1e9 or not (given.timed or given.amount == int(given.amount)):
        raise TypeError(f"a window of {given}")
    return given


def filled_in(seconds: Floats) -> Floats:
    """Times `(n,)`, with that of the row before where one is missing."""
    return np.asarray(pd.Series(seconds).ffill().bfill(), dtype=np.float64)


def usual_gap(seconds: Floats, codes: Ints) -> float:
    """Seconds to the next row of its group from which a stretch ends; infinite if rows have no times in order."""
    steps = np.diff(seconds)[np.diff(codes) == 0]
    steps = steps[steps > 0]
    return GAP * float(np.quantile(steps, USUAL)) if len(steps) else math.inf


def encoder_of(frame: pd.DataFrame) -> TableEncoder:
    """The encoder of `Windows.summed_up`. What no row ever was counts as a category never seen in training does.

    Raises:
        InputError: there is no window.
    """
    if not len(frame):
        raise InputError("no stretch of rows is as long as a window; give more rows, or shorter windows")
    encoder, _ = TableEncoder.fit([frame])
    columns = []
    for column in encoder.columns:
        floor = 1 / UNSEEN if column.name.endswith(f", {SHARE}") and not column.spread else column.spread
        columns.append(type(column)(**asdict(column) | {"spread": floor}))
    return TableEncoder(tuple(columns))


def _column(table: pd.DataFrame, name: str) -> "pd.Series[Any]":
    found = [index for index, each in enumerate(table.columns) if str(each) == name]
    if not found:
        raise SchemaError(missing_columns([name]))
    return table.iloc[:, found[0]].reset_index(drop=True)


def _ends(codes: Ints, files: Ints, seconds: Floats | None, gap: float) -> Ints:
    """Indices of rows at which a new stretch begins, without the first."""
    new = (np.diff(codes) != 0) | (np.diff(files) != 0)
    if seconds is not None:
        steps = np.diff(seconds)
        new |= (steps > gap) | (steps < 0)
    return np.flatnonzero(new) + 1


def _pairs(ends: Ints, rows: int) -> Iterator[tuple[int, int]]:
    edges = [0, *ends.tolist(), rows]
    return pairwise(edges)


def _blocks(bounds: Ints, width: int) -> Iterator[Ints]:
    """The windows in parts that are summed up at once; one part if there are none."""
    cells = (bounds[:, 1] - bounds[:, 0]).cumsum() * max(width, 1)
    edges = np.searchsorted(cells, np.arange(CELLS, cells[-1] if len(cells) else 0, CELLS)) + 1
    return iter(np.split(bounds, np.unique(edges)))


def _summaries(x: Floats, bounds: Ints, seconds: Floats | None) -> dict[str, Floats]:
    """The `SUMMARIES` of columns `(n, d)` in m windows, each `(m, d)`."""
    count = (bounds[:, 1] - bounds[:, 0])[:, None]
    starts = np.cumsum(count) - count[:, 0]
    rows = np.repeat(bounds[:, 0] - starts, count[:, 0]) + np.arange(count.sum())
    owner = np.repeat(np.arange(len(bounds)), count[:, 0])
    values = x[rows]
    position = (rows - bounds[owner, 0] if seconds is None else seconds[rows] - seconds[bounds[owner, 0]])[:, None]
    mean = _sums(values, starts) / count
    apart = values - mean[owner]
    shifted = position - (_sums(position.astype(float), starts) / count)[owner]
    along = _sums(shifted**2, starts)
    slope = _sums(apart * shifted, starts) / np.where(along > 0, along, 1.0)
    change = np.abs(np.diff(values, axis=0, prepend=values[:1]))
    change[starts[starts < len(change)]] = 0.0
    deviation = np.sqrt(_sums(apart**2, starts) / count)
    return {MEAN: mean, DEVIATION: deviation, SLOPE: slope, CHANGE: _sums(change, starts) / np.maximum(count - 1, 1)}


def _means(x: Floats, bounds: Ints) -> Floats:
    sums = np.concatenate([np.zeros((1, x.shape[1])), np.cumsum(x, axis=0)])  # of values from −1 to 1
    means: Floats = (sums[bounds[:, 1]] - sums[bounds[:, 0]]) / (bounds[:, 1] - bounds[:, 0])[:, None]
    return means


def _sums(values: Floats, starts: Ints) -> Floats:
    return np.add.reduceat(values, starts, axis=0) if len(starts) else values[:0]
