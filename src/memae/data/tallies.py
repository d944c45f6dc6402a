"""Running statistics of columns over the chunks of a table, in bounded memory."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memae.data.column import MAX_CATEGORIES, Column
from memae.errors import InputError

LARGEST = 1e150
VALUES, CHARACTERS = 2**17, 2**24
"""Values of a text column that are counted one by one, and the characters that they may have together. Beyond either,
those seen once so far are forgotten, as in lossy counting (Manku & Motwani, VLDB 2002)."""
SKETCH = 2048

Floats = NDArray[np.float64]


class Distinct:
    """Number of different values, in constant memory: exact up to `SKETCH`, then within about 2 %.

    Keeps the smallest hashes of all values (k minimum values: Bar-Yossef et al., RANDOM 2002).
    """

    def __init__(self) -> None:
        self._least = np.empty(0, dtype=np.uint64)

    def add(self, values: NDArray[np.object_] | Floats) -> None:
        """Adds values `(n,)`, all numbers or all texts."""
        self._least = np.unique(np.concatenate([self._least, pd.util.hash_array(values)]))[:SKETCH]

    @property
    def count(self) -> int:
        """How many different values were added."""
        if len(self._least) < SKETCH:
            return len(self._least)
        return round((SKETCH - 1) / ((int(self._least[-1]) + 1) / 2**64))


class NumberTally:
    """Statistics of numbers."""

    def __init__(self, name: str, missing: int = 0) -> None:
        self.name = name
        self.missing = missing
        self.count = 0
        self.mean = self.squares = 0.0
        self.least, self.most = np.inf, -np.inf

    def add(self, values: Floats) -> None:
        """Adds numbers `(n,)`, NaN where missing.

        Raises:
            InputError: a number is too large.
        """
        absent = np.isnan(values)
        self.missing += int(absent.sum())
        if absent.any():
            values = values[~absent]
        if not len(values):
            return
        if max(abs(float(values.min())), abs(float(values.max()))) > LARGEST:
            raise InputError(
                f"column {self.name!r} holds numbers beyond ±{LARGEST:g}, whose squares are infinite; "
                "correct or leave them out, or rescale the column"
            )
        # Chan et al.'s update merges means and squared deviations of two parts without cancellation.
        count, mean = len(values), float(values.mean())
        delta, total = mean - self.mean, self.count + count
        deviation = values - mean
        self.squares += float(np.square(deviation, out=deviation).sum()) + delta**2 * self.count * count / total
        self.mean += delta * count / total
        self.count = total
        self.least, self.most = min(self.least, float(values.min())), max(self.most, float(values.max()))

    @property
    def spread(self) -> float:
        """Standard deviation."""
        return 0.0 if self.least == self.most else float(np.sqrt(self.squares / self.count))

    def column(self) -> Column:
        """The column.

        Raises:
            InputError: there is no number.
        """
        if not self.count:
            raise InputError(f"column {self.name!r} has no values at all; drop or ignore it")
        return Column(
            self.name,
            "number",
            self.mean,
            self.spread,
            self.least,
            self.most,
            self.missing,
            shares=missing_share(self.missing, self.count),
        )


class HourTally:
    """Statistics of hours of the day, which go round."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.hours, self.cosine, self.sine = (NumberTally(name) for _ in range(3))

    def add(self, hours: Floats) -> None:
        """Adds hours, 0 to 24, NaN where missing."""
        self.hours.add(hours)
        for tally, values in zip((self.cosine, self.sine), circle(hours), strict=True):
            tally.add(values)

    def column(self) -> Column:
        """The column; its mean is the hour in the direction of mean cosine and sine."""
        x, y, hours = self.cosine, self.sine, self.hours
        if not hours.count:
            raise InputError(f"column {self.name!r} has no values at all; drop or ignore it")
        return Column(
            self.name,
            "hour",
            float(hour_at(np.array([x.mean]), np.array([y.mean]))[0]),
            float(np.sqrt((x.squares + y.squares) / (2 * x.count))),
            hours.least,
            hours.most,
            hours.missing,
            shares=missing_share(hours.missing, hours.count),
            circle=(x.mean, y.mean),
        )


class TextTally:
    """Numbers of rows with each text; a missing value is the text ''."""

    def __init__(self, name: str, missing: int = 0) -> None:
        self.name = name
        self.rows = missing
        self.seen: dict[str, int] = {"": missing} if missing else {}
        self._distinct: Distinct | None = None  # once not all values are in `seen`
        self._characters = 0

    def add(self, counts: Mapping[str, int]) -> None:
        """Adds numbers of rows by text."""
        for text, count in counts.items():
            if text not in self.seen:
                self._characters += len(text)
            self.seen[text] = self.seen.get(text, 0) + count
            self.rows += count
        if self._distinct is not None:
            self._distinct.add(_objects(counts))
        if len(self.seen) > VALUES or self._characters > CHARACTERS:
            self._forget()

    def _forget(self) -> None:
        if self._distinct is None:
            self._distinct = Distinct()
            self._distinct.add(_objects(self.seen))
        self.seen = {text: count for text, count in self.seen.items() if count > 1 or not text}
        if len(self.seen) > VALUES // 2:  # most come again: those seen least are forgotten
            frequent = sorted(self.seen, key=lambda text: -self.seen[text])[: VALUES // 2]
            self.seen = {text: self.seen[text] for text in frequent}
        self._characters = sum(map(len, self.seen))

    @property
    def missing(self) -> int:
        """Number of missing values."""
        return self.seen.get("", 0)

    @property
    def distinct(self) -> int:
        """Number of different values, with that of missing ones."""
        return len(self.seen) if self._distinct is None else max(self._distinct.count, len(self.seen))

    def column(self) -> Column:
        """The column."""
        frequent = sorted(sorted(self.seen, key=lambda value: (-self.seen[value], value))[:MAX_CATEGORIES])
        shares = [self.seen[value] / self.rows for value in frequent]
        rare = self.distinct - len(frequent)
        other = max(1 - sum(shares), 0.0) if rare else 0.0
        return Column(self.name, "category", categories=tuple(frequent), shares=(*shares, other), rare=rare)


def _objects(texts: Iterable[str]) -> NDArray[np.object_]:
    return np.array(list(texts), dtype=object)


def missing_share(missing: int, known: int) -> tuple[float, ...]:
    """The share of rows without a value, if there are any."""
    return (missing / (known + missing),) if missing else ()


def circle(hours: Floats) -> tuple[Floats, Floats]:
    """Cosine and sine of hours on a clock of 24 hours."""
    angle = hours * (2 * np.pi / 24)
    return np.cos(angle), np.sin(angle)


def hour_at(cosine: Floats, sine: Floats) -> Floats:
    """The inverse of `circle`, 0 to 24.

    Example:
        >>> hour_at(*circle(np.array([0.0, 23.5]))).round(6).tolist()
        [0.0, 23.5]
    """
    hours: Floats = np.arctan2(sine, cosine) * (24 / (2 * np.pi)) % 24
    return hours
