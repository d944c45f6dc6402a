"""Whether whole numbers count the rows of a table, or are numbers of something, from running statistics."""

import re

import numpy as np
from numpy.typing import NDArray

from memae.data.tallies import Distinct, NumberTally

FEW = 50
"""Rows below which only a column whose name says so is taken for one of row numbers or identifiers."""
UNIQUE = 0.9
"""Share of different values from which they name their row instead of saying something about it."""
DIGITS = 7
"""Digits from which different whole numbers of one length are probably the numbers of something."""
NAMES_ROWS = re.compile(r"(?i:^|[\W_])(?i:ids?|uuid|guid|key|index|idx|row|nr|number|no)$|[a-z]I[dD]$|^Unnamed: \d+$")
"""Names of columns that say that they name rows."""


class Counting:
    """Whether a column counts its rows or gives them numbers, as far as whole numbers can tell.

    Args:
        complete: whether no row before lacks a value.
    """

    def __init__(self, *, complete: bool) -> None:
        self.steady = self.rising = complete  # in equal steps; upwards
        self.whole = self.unequal = True  # whole numbers; most of them different
        self.first = self.last = self.step = np.nan
        self.distinct = Distinct()

    def add(self, values: NDArray[np.float64]) -> None:
        """Adds numbers `(n,)`, NaN where missing."""
        if not (self.whole and (self.steady or self.rising or self.unequal)):
            return
        known = values[~np.isnan(values)]
        if not np.array_equal(known, np.rint(known)):
            self.whole = False
            return
        self.unequal = self.unequal and len(np.unique(known)) >= UNIQUE * len(known)
        if self.unequal:
            self.distinct.add(known)
        if not (self.steady or self.rising) or not len(values):
            return
        steps = np.diff(values, prepend=self.last)[int(np.isnan(self.last)) :]
        self.first = values[0] if np.isnan(self.first) else self.first
        self.last = values[-1]
        self.step = steps[0] if np.isnan(self.step) and len(steps) else self.step
        self.steady = self.steady and bool((steps == self.step).all()) and self.step != 0
        self.rising = self.rising and bool((steps > 0).all())

    def counts(self, count: int) -> bool:
        """Whether it counts in equal steps."""
        return self.whole and self.steady and count > 1

    @property
    def from_start(self) -> bool:
        """Whether it would count rows from 0 or 1."""
        return self.step == 1 and self.first in (0, 1)

    def names(self, count: int, tally: NumberTally, *, named: bool) -> bool:
        """Whether whole numbers that all differ are probably numbers of rows, customers or the like."""
        if not (self.whole and self.unequal) or self.distinct.count < UNIQUE * count or count < 2:
            return False
        if count < FEW:
            return named
        dense = tally.most - tally.least < 2 * count
        alike = tally.least >= 10 ** (DIGITS - 1) and len(str(int(tally.least))) == len(str(int(tally.most)))
        return named or self.rising or dense or alike
