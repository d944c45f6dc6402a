"""What a column holds, from running statistics: numbers, categories or times, or what only names a row."""

import re
import shlex
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from memae.data.cells import kind_of, numbers, texts
from memae.data.column import MAX_CATEGORIES, Column
from memae.data.counting import FEW, NAMES_ROWS, UNIQUE, Counting
from memae.data.number_formats import numeric
from memae.data.pacing import TimeTally
from memae.data.tallies import NumberTally, TextTally
from memae.data.times import CLOCK, FORMATS, TYPED, Time, durations, is_duration, is_time, possible, several_forms

NEARLY = 0.95
"""Share of its cells from which a column of text is nearly numeric, besides the share `UNIQUE` of different texts."""
LOOKED_AT = 200
"""Different texts from which dates are told."""
WORDS = 3
"""Words a value from which different texts are called free text, not identifiers."""
LABELS = re.compile(
    r"(is_?)?(labels?|targets?|class|anomaly|anomalous|outlier|fraud|attack|malicious|intrusion|fault|failure|defect"
    r"|y|(ground_?)?truth)([_ ]?labels?)?",
    re.IGNORECASE,
)

EMPTY, IDENTIFIER, FREE, COUNTED, NO_PACE = (
    "had no value in training",
    "is an identifier: it differs in nearly every row",
    "is free text: it differs in nearly every row",
    "numbers the rows",
    "holds times out of order and within two days, which say nothing of the hour, the weekday or the pace",
)
"""Reasons to leave a column out."""


class Meaning(NamedTuple):
    """What one column of the user's table means."""

    columns: tuple[Column, ...] = ()  # that stand for it
    time: Time | None = None
    seconds: bool = False  # whether it holds durations
    why: str = ""  # it is left out; "" if it is not
    remarks: tuple[str, ...] = ()  # sentences that the user should read


class Content:
    """Running statistics of a column of the user's table; its sort is decided at its first value."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.missing = 0  # before the first value
        self.held: _Numbers | _Texts | _Times | None = None

    def add(self, series: "pd.Series[Any]") -> None:
        """Adds a chunk.

        Raises:
            InputError: a value cannot be used.
            SchemaError: a value is not of the sort of those before.
        """
        if self.held is None and not series.notna().any():
            self.missing += len(series)
            return
        if self.held is None:
            self.held = self._first(series)
        self.held.add(series)

    def _first(self, series: "pd.Series[Any]") -> "_Numbers | _Texts | _Times":
        if is_time(series):
            return _Times(self.name, self.missing, TYPED)
        if is_duration(series):
            return _Numbers(self.name, self.missing, seconds=True)
        return (_Numbers if kind_of(series) == "number" else _Texts)(self.name, self.missing)

    def meaning(self, *, kept: bool) -> Meaning:
        """What it means, after all chunks.

        Args:
            kept: whether it is taken even if it seems to name rows.
        """
        if self.held is None:
            return Meaning(why=EMPTY)
        meaning = self.held.meaning(kept=kept)
        label = self.held.label_values() if LABELS.fullmatch(self.name) else None
        if label is None or meaning.why:
            return meaning
        only = "one value alone" if len(label) == 1 else "two values"
        remark = (
            f"column {self.name!r} holds {only} ({', '.join(label)}): does it say which rows are anomalous? It is "
            f"learned like any other; if it is a label, leave it out with --ignore {shlex.quote(self.name)} and fit on "
            "normal rows"
        )
        return meaning._replace(remarks=(*meaning.remarks, remark))


class _Numbers:
    """A column of numbers, or of durations in seconds."""

    def __init__(self, name: str, missing: int, *, seconds: bool = False) -> None:
        self.name = name
        self.seconds = seconds
        self.tally = NumberTally(name, missing)
        self.counting = Counting(complete=not missing)
        self.labels = bool(LABELS.fullmatch(name))
        self.few: set[float] = set()  # if these may be labels: up to three of its values, and some more

    def add(self, series: "pd.Series[Any]") -> None:
        values = numbers(durations(series, self.name) if self.seconds else series, self.name)
        self.tally.add(values)
        self.counting.add(values)
        if self.labels and len(self.few) < 3:
            self.few |= set(np.unique(values[~np.isnan(values)])[:3].tolist())

    def label_values(self) -> list[str] | None:
        return [f"{value:g}" for value in sorted(self.few)] if len(self.few) < 3 else None

    def meaning(self, *, kept: bool) -> Meaning:
        count, counting = self.tally.count, self.counting
        named = bool(NAMES_ROWS.search(self.name))
        if counting.counts(count) and (count >= FEW or (named and counting.from_start)) and not kept:
            return Meaning(why=COUNTED)
        remarks = []
        if self.seconds:
            remarks.append(f"column {self.name!r} holds durations: taken in seconds")
        elif counting.names(count, self.tally, named=named) and not kept:
            remarks.append(
                f"column {self.name!r} holds another whole number in nearly every row; if these number rows, customers "
                f"or seconds rather than measure something, leave it out with --ignore {shlex.quote(self.name)}"
            )
        return Meaning((self.tally.column(),), seconds=self.seconds, remarks=tuple(remarks))


class _Texts:
    """A column of text: categories, identifiers, free text, or times."""

    def __init__(self, name: str, missing: int) -> None:
        self.name = name
        self.tally = TextTally(name, missing)
        self.times: list[TimeTally] | None = None  # one for each format that fits all texts so far

    def add(self, series: "pd.Series[Any]") -> None:
        counts = texts(series).counts()
        if any(counts) and self.times is None:
            missing = self.tally.missing
            self.times = [TimeTally(self.name, form, missing) for form in possible(counts, FORMATS)]
        elif any(counts) and self.times:
            fits = possible(counts, [each.form for each in self.times])
            self.times = [each for each in self.times if each.form in fits]
        self.tally.add(counts)
        for each in self.times or ():
            each.add(series)

    def label_values(self) -> list[str] | None:
        values = sorted(text for text in self.tally.seen if text)
        return values if len(values) <= 2 else None

    def meaning(self, *, kept: bool) -> Meaning:
        if self.times:
            return _as_times(self.times)
        known, distinct = self.tally.rows - self.tally.missing, self.tally.distinct - bool(self.tally.missing)
        if not known:
            return Meaning(why=EMPTY)
        column = self.tally.column()
        if remark := self._nearly_numbers():
            return Meaning((column,), remarks=(remark,))
        times = several_forms(self.name, [*islice(filter(None, self.tally.seen), LOOKED_AT)])
        remarks = () if times is None else (times,)
        named = bool(NAMES_ROWS.search(self.name))
        if not kept and distinct >= UNIQUE * known and known > 1 and (known >= FEW or (named and distinct == known)):
            return Meaning(why=FREE if self._words() >= WORDS else IDENTIFIER, remarks=remarks)
        if not remarks and sum(column.shares[:-1]) < 0.5 and not kept:
            remark = (
                f"column {self.name!r} holds {distinct:,} different texts; its {MAX_CATEGORIES} most frequent fill "
                f"{sum(column.shares[:-1]):.0%} of the rows, and all others count as one: if they name things rather "
                f"than kinds of things, leave it out with --ignore {shlex.quote(self.name)}"
            )
            return Meaning((column,), remarks=(remark,))
        return Meaning((column,), remarks=remarks)

    def _words(self) -> float:
        """Words a text, on average over some texts."""
        some = [text for text in self.tally.seen if text][:1000]
        return sum(len(text.split()) for text in some) / max(len(some), 1)

    def _nearly_numbers(self) -> str | None:
        """A sentence on a column of which nearly all cells are numbers."""
        if not (odd := self._no_numbers()):
            return None
        more = " …" * (len(odd) > 3)
        return (
            f"column {self.name!r} is taken as text, since not all of its values are numbers "
            f"({', '.join(repr(text[:30]) for text in odd[:3])}{more}); correct these, or leave them empty, for a "
            "column of numbers"
        )

    def _no_numbers(self) -> list[str]:
        """The texts that are no numbers, of a column that is nearly numeric: of different texts, or of cells."""
        some = {text: count for text, count in islice(self.tally.seen.items(), 10_000) if text}
        known = numeric(pd.Series([*some], dtype="str")).to_numpy()
        counts = np.array([*some.values()])
        odd = [text for text, number in zip(some, known, strict=True) if not number]
        nearly = known.mean() >= UNIQUE or counts[known].sum() >= NEARLY * counts.sum()
        return odd if len(some) > 2 and nearly else []


class _Times:
    """A column with a type for times."""

    def __init__(self, name: str, missing: int, form: str) -> None:
        self.tally: TimeTally | None = None
        self.name, self.missing, self.form = name, missing, form

    def add(self, series: "pd.Series[Any]") -> None:
        if self.tally is None:
            self.tally = TimeTally(self.name, CLOCK if _on_clocks(series) else self.form, self.missing)
        self.tally.add(series)

    def label_values(self) -> None:
        return None

    def meaning(self, *, kept: bool) -> Meaning:  # noqa: ARG002 (times are never row names)
        assert self.tally is not None  # noqa: S101 (a column that has a meaning had a chunk)
        return _as_times([self.tally])


def _on_clocks(series: "pd.Series[Any]") -> bool:
    """Whether times have no date."""
    return series.dtype == object and not hasattr(series.dropna().iloc[0], "year") and is_time(series)


def _as_times(tallies: list[TimeTally]) -> Meaning:
    """The meaning of a column of times; of several formats that fit, that with rows in order and the shortest span."""
    tally = min(tallies, key=lambda each: (not each.ordered, each.span))
    time, columns = tally.time()
    name = repr(tally.name)
    if not time.parts:
        return Meaning(why=NO_PACE)
    remarks = [f"column {name} holds times: {tally.said(time)} of each row taken in its place; --ignore leaves it out"]
    if len(tallies) > 1:
        remarks.append(
            f"column {name} could be read in {len(tallies)} ways; it is read as {tally.form}: give dates as 2024-12-31 "
            "to be sure"
        )
    return Meaning(columns, time, remarks=tuple(remarks))
