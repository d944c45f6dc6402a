"""Dates, times and durations of any form → hour of the day, weekday, and seconds since the row before."""

import datetime as dt
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memae.errors import SchemaError

HOUR, WEEKDAY, GAP = "hour of day", "weekday", "seconds since the row before"
DAYS = np.array(["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday", None], dtype=object)

TYPED, CLOCK, ISO = "", "clock", "ISO8601"
"""Formats: of a column with a type for times, of a time of day without a date, of ISO 8601 with or without a time."""
DATES = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%Y.%m.%d", "%d-%m-%Y", "%m-%d-%Y", "%d.%m.%y", "%d/%m/%y",
         "%m/%d/%y", "%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y")  # fmt: skip
TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")
LOG = ("%d/%b/%Y:%H:%M:%S %z", "%a %b %d %H:%M:%S %Y", "%a, %d %b %Y %H:%M:%S %z", "%a, %d %b %Y %H:%M:%S GMT")
"""Of web servers, of C's asctime, of mail and HTTP."""
FORMATS = (ISO, CLOCK, *(date + time for date, time in product(DATES, TIMES)), *LOG)

ZONED = frozenset({ISO, *(form for form in LOG if "%z" in form)})
DATE_LIKE = r"\d[-/.:](?:\d\d?|[A-Za-z]{3,9})[-/.:]\d|\b[A-Za-z]{3,9}\.? \d|\d [A-Za-z]{3,9}"
NEARLY = 0.9
"""Share of a column's different texts from which it is one of times, if they look like times..."""
HALF = 0.5
"""... and so many of them can be read."""
DATED = r"\d{4}-?\d\d"  # ISO 8601 with more than a year
ON_A_CLOCK = r"\d?\d:\d\d(?::\d\d(?:\.\d+)?)?"
ZONE = r"^(.*:.*?\d) ?(?:Z|[+-]\d\d(?::?\d\d)?)$"
LENGTH = r"[+-]?\d+ days?(?: [+-]?\d+:\d\d:\d\d(?:\.\d+)?)?|-?P(?=.*\d)(?:\d+D)?(?:T(?:\d+H)?(?:\d+M)?(?:[\d.]+S)?)?"
"""Durations as pandas writes them, and those of ISO 8601."""


class Instants(NamedTuple):
    """Times of the rows of a chunk, missing where unknown."""

    wall: "pd.Series[Any]"  # as on a clock at the place; datetime64 without a zone
    seconds: NDArray[np.float64]  # since 1970 in UTC; NaN where missing


@dataclass(frozen=True)
class Time:
    """A column of times, and what is taken from it.

    Args:
        name: of the user's column.
        form: of its text, one of `FORMATS`, or `TYPED`.
        parts: among `HOUR`, `WEEKDAY` and `GAP`.
        usual: seconds from row to row on average, taken for a row of which they are not known.
    """

    name: str
    form: str
    parts: tuple[str, ...]
    usual: float = 0.0

    @property
    def columns(self) -> list[str]:
        """Names of the columns that stand for it."""
        return [part_name(self.name, part) for part in self.parts]

    @property
    def example(self) -> str:
        """A time in the form of the column."""
        noon = pd.Timestamp(2024, 12, 31, 12)
        own = {TYPED: "%Y-%m-%dT%H:%M:%S", ISO: "%Y-%m-%dT%H:%M:%S", CLOCK: "%H:%M"}
        return noon.tz_localize("UTC").strftime(own.get(self.form, self.form))

    def derived(self, series: "pd.Series[Any]", before: float) -> tuple[dict[str, Any], float]:
        """The columns that stand for a chunk of it, and the time of its last row.

        Args:
            series: the chunk.
            before: time of the row before the chunk in seconds, NaN if unknown.

        Raises:
            SchemaError: a cell is no time.
        """
        found = instants(series, self.form, self.name)
        gap = gaps(found.seconds, before)
        values = {
            HOUR: hours(found.wall),
            WEEKDAY: weekdays(found.wall),
            # a row that is earlier than the row before tells that rows are not in order, not how much time has passed
            GAP: np.where(gap >= 0, gap, self.usual),
        }
        last = float(found.seconds[-1]) if len(found.seconds) else before
        return {part_name(self.name, part): values[part] for part in self.parts}, last


def part_name(name: str, part: str) -> str:
    """Name of the column for a part of a column of times."""
    return f"{name}, {part}"


def hours(wall: "pd.Series[Any]") -> NDArray[np.float64]:
    """Hour of the day, 0 to 24 with fractions, NaN where missing."""
    values: NDArray[np.float64] = (wall.dt.hour + wall.dt.minute / 60 + wall.dt.second / 3600).to_numpy(np.float64)
    return values


def weekdays(wall: "pd.Series[Any]") -> NDArray[np.object_]:
    """Name of the weekday, None where missing."""
    names: NDArray[np.object_] = DAYS[wall.dt.day_of_week.fillna(len(DAYS) - 1).to_numpy(np.int64)]
    return names


def gaps(seconds: NDArray[np.float64], before: float) -> NDArray[np.float64]:
    """Seconds since the row before, NaN where either time is missing."""
    return np.diff(seconds, prepend=before)


# ------------------------------------------------------------------------------------------------------------- reading


def is_time(series: "pd.Series[Any]") -> bool:
    """Whether a column has a type for dates or times, or objects of such types in every known cell."""
    if pd.api.types.is_datetime64_any_dtype(series.dtype) or isinstance(series.dtype, pd.PeriodDtype):
        return True
    if series.dtype != object:
        return False
    known = series.dropna()
    return len(known) > 0 and all(isinstance(value, dt.date | dt.time | np.datetime64) for value in known)


def is_duration(series: "pd.Series[Any]") -> bool:
    """Whether a column has a type for durations, or objects of such types, or texts in every known cell."""
    if pd.api.types.is_timedelta64_dtype(series.dtype):
        return True
    if series.dtype != object and not pd.api.types.is_string_dtype(series.dtype):
        return False
    known = series.dropna()
    if not len(known):
        return False
    if isinstance(known.iloc[0], str):
        return all(isinstance(value, str) for value in known) and bool(known.str.fullmatch(LENGTH).all())
    return all(isinstance(value, dt.timedelta | np.timedelta64) for value in known)


def durations(series: "pd.Series[Any]", name: str) -> "pd.Series[Any]":
    """Durations in seconds; a column of numbers holds seconds already, and stays.

    Raises:
        SchemaError: a cell is neither.
    """
    if pd.api.types.is_numeric_dtype(series.dtype):
        return series
    series = series.reset_index(drop=True)
    known = series.dropna()
    with suppress(ValueError, TypeError):
        return (pd.to_timedelta(known) / pd.Timedelta(seconds=1)).reindex(series.index)
    raise SchemaError(f"column {name!r} held durations in training; give durations, or seconds as numbers")


def several_forms(name: str, texts: Sequence[str]) -> str | None:
    """A sentence on a column of text of which nearly all cells are times, but not all in one form; None for others.

    Args:
        name: of the column.
        texts: some of its different cells.
    """
    if not texts or sum(bool(re.search(DATE_LIKE, text)) for text in texts) < NEARLY * len(texts):
        return None
    cells = pd.Series([*texts], dtype=object)
    forms = {form: _read(cells, form).notna().to_numpy() for form in FORMATS}
    best = max(forms.values(), key=lambda fits: int(fits.sum()))
    if np.any([*forms.values()], axis=0).mean() < HALF:
        return None
    other = texts[int(best.argmin())]
    return (
        f"column {name!r} is not read as times, since these are written in several ways, such as "
        f"{texts[int(best.argmax())]!r} and {other!r}; write all of them in one way for hour, weekday and pace"
    )


def possible(texts: Iterable[str], formats: Iterable[str]) -> tuple[str, ...]:
    """Those of `formats` that fit all texts."""
    cells = pd.Series([text for text in texts if text], dtype=object)
    left = tuple(form for form in formats if len(cells) and _read(cells.iloc[:1], form).notna().all())
    return tuple(form for form in left if _read(cells, form).notna().all())


def instants(series: "pd.Series[Any]", form: str, name: str) -> Instants:
    """Times of a chunk of any form.

    Args:
        series: of times, or of texts.
        form: of texts; see `Time`.
        name: of the column.

    Raises:
        SchemaError: a cell is no time, or has another form.
    """
    series = series.reset_index(drop=True)
    if isinstance(series.dtype, pd.PeriodDtype):
        series = series.dt.to_timestamp()
    if pd.api.types.is_datetime64_any_dtype(series.dtype):
        return _typed(series, name)
    known = series.dropna()
    if is_time(series) and not all(isinstance(value, dt.time) for value in known):
        return _typed(_aligned(pd.to_datetime(known, utc=_zoned(known)), series), name)
    cells = known.astype(object).map(str)
    cells = cells[cells != ""]
    how = form or (CLOCK if is_time(series) else ISO)
    utc = _read(cells, how)
    if utc.isna().any() or (len(cells) and pd.api.types.is_numeric_dtype(series.dtype)):
        row = int((cells.index[utc.isna()] if utc.isna().any() else cells.index)[0])
        raise SchemaError(
            f"column {name!r} held times in training{f' as {form}' * bool(form)}, but row {row} has "
            f"{series.iloc[row]!r}; give times in the same form"
        )
    wall = _read(cells.str.replace(ZONE, r"\1", regex=True), how.replace(" %z", "")) if how in ZONED else utc
    return Instants(_aligned(wall, series), _seconds(_aligned(utc, series)))


def _typed(series: "pd.Series[Any]", name: str) -> Instants:
    if series.dt.tz is None:
        return Instants(series, _seconds(series))
    try:
        wall = series.dt.tz_localize(None)
    except pd.errors.OutOfBoundsDatetime as error:  # the last hours that 64 bits can count, east of Greenwich
        raise SchemaError(f"column {name!r}: {error}; leave such times empty") from error
    return Instants(wall, _seconds(series.dt.tz_convert("UTC").dt.tz_localize(None)))


def _zoned(known: "pd.Series[Any]") -> bool:
    return any(getattr(value, "tzinfo", None) is not None for value in known)


def _aligned(known: "pd.Series[Any]", series: "pd.Series[Any]") -> "pd.Series[Any]":
    """A value, or none, for each row of `series`."""
    return known.reindex(series.index)


def _seconds(utc: "pd.Series[Any]") -> NDArray[np.float64]:
    since = (utc - pd.Timestamp(0)) / pd.Timedelta(seconds=1)
    return np.asarray(since.to_numpy(np.float64, na_value=np.nan), dtype=np.float64)


def _read(cells: "pd.Series[Any]", form: str) -> "pd.Series[Any]":
    """Texts as times in UTC, a time without a zone as it is; NaT for those of another format."""
    if form == CLOCK:
        cells = cells.where(cells.str.fullmatch(ON_A_CLOCK)).str.replace(r"^(\d):", r"0\1:", regex=True)
        cells, form = "2000-01-01T" + cells, ISO
    elif form == ISO:
        cells = cells.where(cells.str.match(DATED))
    with suppress(ValueError, TypeError, OverflowError):
        return pd.to_datetime(cells, format=form, errors="coerce", utc=True).dt.tz_localize(None)
    return pd.Series(pd.NaT, cells.index, dtype="datetime64[us]")
