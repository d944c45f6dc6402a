"""Running statistics of a column of times."""

from typing import Any

import numpy as np
import pandas as pd

from memae.data.column import Column
from memae.data.tallies import HourTally, NumberTally, TextTally
from memae.data.times import CLOCK, GAP, HOUR, WEEKDAY, Time, gaps, hours, instants, part_name, weekdays

DAY = 86_400.0
TWICE = {HOUR: 2 * DAY, WEEKDAY: 14 * DAY}
"""Seconds that times must span for a part to be taken: a day or week seen once says nothing of what is usual, and every
row of the next one would be anomalous."""


class TimeTally:
    """Statistics of hours, weekdays and seconds from row to row.

    Args:
        name: of the column.
        form: see `Time`.
        missing: number of rows before, all without a value.
    """

    def __init__(self, name: str, form: str, missing: int = 0) -> None:
        self.name = name
        self.form = form
        self.hours = HourTally(part_name(name, HOUR))
        self.hours.add(np.full(missing, np.nan))
        self.days = TextTally(part_name(name, WEEKDAY), missing)
        self.gaps = NumberTally(part_name(name, GAP))
        self.least, self.most = np.inf, -np.inf
        self.ordered = True
        self.latest = -np.inf
        self.before = np.nan

    def add(self, series: "pd.Series[Any]") -> None:
        """Adds a chunk.

        Raises:
            SchemaError: a cell is no time.
        """
        found = instants(series, self.form, self.name)
        self.hours.add(hours(found.wall))
        names, counts = np.unique([day or "" for day in weekdays(found.wall)], return_counts=True)
        self.days.add(dict(zip(names.tolist(), counts.tolist(), strict=True)))
        gap = gaps(found.seconds, self.before)
        self.gaps.add(gap[~np.isnan(gap)])
        known = found.seconds[~np.isnan(found.seconds)]
        if len(known):
            self.ordered = self.ordered and bool((np.diff(known, prepend=self.latest) >= 0).all())
            self.latest = known[-1]
            self.least, self.most = min(self.least, known.min()), max(self.most, known.max())
        if len(series):
            self.before = found.seconds[-1]

    @property
    def span(self) -> float:
        """Seconds from the earliest to the latest time."""
        return self.most - self.least

    def time(self) -> tuple[Time, tuple[Column, ...]]:
        """What is taken from the column, and the columns that stand for it."""
        span = self.span
        tallies: dict[str, HourTally | TextTally | NumberTally] = {}
        if (self.form == CLOCK or span >= TWICE[HOUR]) and self.hours.hours.least < self.hours.hours.most:
            tallies[HOUR] = self.hours
        if self.form != CLOCK and span >= TWICE[WEEKDAY]:
            tallies[WEEKDAY] = self.days
        if self.form != CLOCK and self.ordered and self.gaps.count and span > 0:
            tallies[GAP] = self.gaps
        usual = self.gaps.mean if GAP in tallies else 0.0
        columns = tuple(tally.column() for tally in tallies.values())
        return Time(self.name, self.form, tuple(tallies), usual), columns

    def said(self, time: Time) -> str:
        """What is taken, in words."""
        *others, last = time.parts
        return f"{', '.join(others)} and {last}" if others else last
