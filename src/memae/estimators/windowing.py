"""Reads a table to be learned in windows of neighbouring rows."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from memae.data.contents import Content
from memae.data.meanings import surveyed
from memae.data.roles import Roles
from memae.data.table_readers import FILE
from memae.data.tables import TableEncoder, listed, without
from memae.data.times import GAP, Time, instants
from memae.data.windows import STEPS, Placed, Span, Windows, encoder_of, filled_in, span, usual_gap
from memae.errors import InputError, MemaeWarning, OptionError, SchemaError
from memae.estimators.splitting import Parts, ReadTable
from memae.kinds.windows import WindowedTables
from memae.parameters import Tabular

FOLDS = 10
"""Maximum number of parts of a table, each of which is left out to calibrate on its windows."""
LONG = 4
"""Minimum length of a part, in windows."""


class Learned(NamedTuple):
    """A table to be learned, in windows."""

    windows: Windows
    roles: Roles
    encoder: TableEncoder  # of windows
    read: ReadTable  # the windows as rows


def in_windows(chunks: Iterable[pd.DataFrame], settings: Tabular) -> Learned:
    """Reads a table, decides what its columns mean, and cuts it into windows. All rows are held in memory.

    Args:
        chunks: of the table, in order.
        settings: of the detector.

    Raises:
        InputError: no window fits, or the table cannot be used.
        OptionError: the windows are not possible.
        SchemaError: there is no such column of groups.
    """
    assert settings.window is not None  # noqa: S101 (the caller's)
    _check_together(settings)
    length, step = spans(settings.window, settings.step)
    table, files = _joined(chunks)
    group = settings.group or ""
    if group and group not in map(str, table.columns):
        raise SchemaError(f"there is no column {group!r} to group by; the columns are {listed([*map(str, table)])}")
    values = without(table, (group,), strict=False)
    roles, rows, count, remarks = surveyed(iter([values]), settings.keep_columns)
    roles, rows = _without_gaps(roles, rows)
    windows = Windows(length, step, rows, group)
    time, gap = _time(table, windows)
    windows = replace(windows, time=time, gap=gap)
    if length.timed and time is None:
        raise OptionError(
            f"window={settings.window!r} needs a column of times with their rows in order; give it in rows"
        )
    for remark in (*_apart_from(remarks, time), *_of_times(windows)):
        warnings.warn(remark, MemaeWarning, stacklevel=7)
    placed = windows.placed(table, files, whole=True)
    if placed.short:
        message = f"{placed.short:,} of {count:,} rows are not learned: their stretches are shorter than a window"
        warnings.warn(f"{message} of {length}", MemaeWarning, stacklevel=7)
    frame = windows.summed_up(roles.reader()(roles.of_training(values)[0]), placed)
    encoder = encoder_of(frame)
    if len(frame) < 2:
        raise InputError(f"{count:,} rows make 1 window of {length}; at least 2 are needed, and 100 make sense")
    kind = WindowedTables(encoder, roles, windows=windows)
    names = [kind.title(table, placed, index) for index in range(len(frame))]
    features, parts = encoder.encode(frame), parts_of(placed)
    read = ReadTable(lambda: iter([features]), len(frame), False, parts=parts, names=names)
    return Learned(windows, roles, encoder, read)


def spans(window: int | str, step: int | str | None) -> tuple[Span, Span]:
    """Length of windows, and the step from one to the next.

    Raises:
        OptionError: they are not possible, or do not fit each other.
    """
    length = span(window, "window")
    if not length.timed and length.amount < 2:
        raise OptionError(f"a window must have 2 rows or more; got {window!r}; leave it out to score single rows")
    if step is None:
        shorter = length.amount / STEPS
        return length, Span(shorter if length.timed else max(int(shorter), 1), length.timed)
    found = span(step, "step")
    if found.timed != length.timed:
        raise OptionError(
            f"step must be {'a time' if length.timed else 'a number of rows'}, as window is; got {step!r}"
        )
    if found.amount > length.amount:
        raise OptionError(f"step must not exceed the window, or rows would lie in none; got {found} for {length}")
    return length, found


def _check_together(settings: Tabular) -> None:
    """Refuses what does not go with windows."""
    learned = settings.n_items is not None or settings.kept_samples == 0
    if learned or settings.contamination:
        what = "contamination" if not learned else "n_items" if settings.n_items is not None else "kept_samples=0"
        raise OptionError(f"windows are compared with kept windows of normal data; leave {what} out, or window")


def parts_of(placed: Placed) -> Parts:
    """Divides windows, in their order, into parts of about the same number."""
    bounds = placed.bounds
    lengths = bounds[:, 1] - bounds[:, 0]
    folds = int(np.clip(len(placed.order) // max(LONG * float(lengths.mean()), 1), 2, FOLDS))
    label = np.arange(len(bounds)) * folds // len(bounds)
    inside = np.ones(len(bounds), dtype=bool)
    for fold in range(folds):
        of = label == fold
        begin = bounds[label < fold, 1].max(initial=0)
        end = bounds[label > fold, 0].min(initial=len(placed.order))
        inside[of] = (bounds[of, 0] >= begin) & (bounds[of, 1] <= end)
    if not inside.any():
        inside[:] = True
    return Parts(torch.from_numpy(label), torch.from_numpy(inside))


def _joined(chunks: Iterable[pd.DataFrame]) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    tables = list(chunks)
    files = [np.full(len(table), table.attrs.get(FILE, 0), dtype=np.int64) for table in tables]
    return pd.concat(tables, ignore_index=True), np.concatenate(files)


def _without_gaps(roles: Roles, rows: TableEncoder) -> tuple[Roles, TableEncoder]:
    """The roles without seconds since the row before: where these are unusual, a stretch of rows ends."""
    kept = tuple(replace(time, parts=tuple(part for part in time.parts if part != GAP)) for time in roles.times)
    roles = replace(roles, times=kept)
    names = set(roles.columns)
    encoder = TableEncoder(tuple(column for column in rows.columns if column.name in names))
    if not encoder.columns:
        raise InputError("no column is left to learn from but times; give columns with values")
    return roles, encoder


def _time(table: pd.DataFrame, windows: Windows) -> tuple[Time | None, float]:
    """The first column with times that are in order within each group, and the gap from which a stretch ends."""
    order, codes = windows.grouped(table)
    largest = np.flatnonzero(codes == np.bincount(codes).argmax())
    for index, name in enumerate(map(str, table.columns)):
        series = table.iloc[:, index]
        content = Content(name)
        content.add(series.iloc[largest])
        time = None if name == windows.group or content.held is None else content.meaning(kept=True).time
        if time is not None and GAP in time.parts:
            found = replace(time, parts=(), usual=0.0)
            seconds = instants(series.reset_index(drop=True), time.form, name).seconds[order]
            return found, usual_gap(filled_in(seconds), codes[order])
    return None, np.inf


def _apart_from(remarks: Sequence[str], time: Time | None) -> Iterator[str]:
    """Remarks, but for what is said of the column of times: `_of_times` says what becomes of it."""
    return (remark for remark in remarks if time is None or not remark.startswith(f"column {time.name!r}"))


def _of_times(windows: Windows) -> Iterator[str]:
    if windows.time is not None:
        yield (
            f"column {windows.time.name!r} holds times: windows end where more than {windows.gap:.3g} s pass from "
            "one row to the next"
        )
