"""Windows of neighbouring rows of tables."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from memae.data.table_readers import FILE
from memae.data.windows import Placed, Windows
from memae.errors import OptionError
from memae.evidence import Evidence, Explainer
from memae.kinds.kind import Names, Notes, Part, Scored
from memae.kinds.tables import Tables
from memae.scoring import Floats, Scorer
from memae.scoring.calibration import Judged

Ints = NDArray[np.int64]


class InWindows(NamedTuple):
    """Rows in windows."""

    frame: pd.DataFrame  # (m, columns): the numbers that stand for each window
    of_row: Ints  # (n,): the window that gives each row its score
    title: Callable[[int], str]  # of a window, for users


@dataclass(frozen=True, kw_only=True)
class WindowedTables(Tables):
    """Rows of tables, each of which has the score of a window of its neighbours.

    A row has the score of one window, that with the nearest middle, so that the flagged share is that of windows. All
    rows are held in memory.

    Args:
        windows: how rows become windows.
        each_window: whether windows are the samples, not rows.
    """

    windows: Windows
    each_window: bool = False

    words = replace(
        Tables.words,
        data="windows of neighbouring rows of a table",
        learned="distinct windows",
        limits=(
            *Tables.words.limits[:2],
            "A row has the score of the window of rows in whose middle it lies; an anomaly much shorter than a window "
            "may be missed.",
        ),
        kept="windows",
        apart="without the windows of the same part of the table among the kept ones",
        measured_with="expected errors, and how each number of a window depends linearly on the others",
    )

    def parts(self, tables: Iterator[pd.DataFrame], notes: Notes | None = None) -> Iterator[Part]:
        """All rows as one part; its raw samples are the windows."""
        whole = joined(self.read(tables, notes))
        placed = self.windows.placed(whole.table, whole.files, whole=False)
        if notes is not None:
            notes.add_novel(self.windows.rows.novelties(whole.read))
            notes.short_stretches += placed.short
        frame = self.windows.summed_up(whole.read, placed)
        found = InWindows(frame, placed.of_rows(), partial(self.title, whole.table, placed))
        names: Names = self._names(placed) if self.each_window else {"row": range(len(whole.table))}
        yield Part(names, self.encoder.encode(frame), whole.table, found)

    @property
    def text(self) -> list[str]:
        """Columns of files that are read as text."""
        time = self.windows.time
        more = [*([self.windows.group] if self.windows.group else []), *([time.name] if time else [])]
        return list(dict.fromkeys([*self.windows.rows.text, *(each.name for each in self.roles.times), *more]))

    def read(
        self, tables: Iterable[pd.DataFrame], notes: Notes | None = None
    ) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
        """See `Tables.read`; the column of groups is not encoded."""
        group = self.windows.group
        return super(WindowedTables, replace(self, ignored=(*self.ignored, group)) if group else self).read(
            tables, notes
        )

    def _names(self, placed: Placed) -> Names:
        ends = np.array([placed.ends(index) for index in range(len(placed.bounds))]).reshape(-1, 2)
        return {"row": ends[:, 0], "last_row": ends[:, 1]}

    def title(self, table: pd.DataFrame, placed: Placed, index: int) -> str:
        """The rows of a window, of whom they are, and when they were, for users."""
        first, last = placed.ends(index)
        title = f"rows {first} to {last}"
        if self.windows.group:
            title += f" of {table[self.windows.group].iloc[first]}"
        if self.windows.time is not None:
            times = table[self.windows.time.name]
            title += f", {times.iloc[first]} to {times.iloc[last]}"
        return title

    def scored(self, scorer: Scorer, parts: Iterator[Part], *, maps: bool = False) -> Iterator[Scored]:
        """Scores the windows; each row has the score of one of them."""
        if maps:
            raise OptionError("--maps and --masks are for images and video; a table has no heat map")
        for part in parts:
            for whole in super().scored(scorer, iter([part])):
                if self.each_window:
                    yield whole._replace(given=None)
                else:
                    judged = Judged(*(column[torch.from_numpy(part.read.of_row)] for column in whole.judged))
                    yield Scored(part.names, judged, part.given, read=part.read)

    def most_anomalous(self, names: Names, scores: Floats, top: int) -> list[int]:
        """Indices of the samples with the highest scores, one of each window, and of windows that do not overlap."""
        length = self.windows.length
        apart = int(length.amount) if not length.timed else 1
        chosen: list[int] = []
        for index in np.unique(-scores, return_index=True)[1].tolist():
            rows = names["row"]
            if all(abs(int(rows[index]) - int(rows[other])) >= apart for other in chosen):
                chosen.append(index)
            if len(chosen) == top:
                break
        return chosen

    def explained(
        self, explainer: Explainer, parts: Iterator[Part], only: Collection[int] | None = None
    ) -> Iterator[Evidence]:
        """Evidence of the window of each row; its columns are what stands for the window."""
        for part in parts:
            samples = range(len(part.raw) if self.each_window else len(part.given))
            rows = [index for index in samples if only is None or int(part.names["row"][index]) in only]
            which = rows if self.each_window else part.read.of_row[rows].tolist()
            for first in range(0, len(which), explainer.scorer.chunk):
                chosen = which[first : first + explainer.scorer.chunk]
                evidence = explainer.batch(part.raw[chosen], [*map(part.read.title, chosen)])
                yield from self._in_columns(part.read.frame.iloc[chosen], evidence)

    def contributions(self, scorer: Scorer, X: Any) -> Floats:
        """What each number of a row's window adds to its score `(n, columns)`."""
        return np.concatenate(
            [self.contributions_of(scorer, part.read.frame)[part.read.of_row] for part in self.open(X)]
        )

    def contributions_at(self, scorer: Scorer, read: InWindows, index: Ints) -> Floats:
        """The same for some of the rows of a part."""
        windows, each = np.unique(read.of_row[index], return_inverse=True)
        return self.contributions_of(scorer, read.frame.iloc[windows])[each]

    def learned(self) -> dict[str, Any]:
        """The columns, and the windows."""
        windows = self.windows
        length, step = str(windows.length), str(windows.step)
        return super().learned() | {"windows": {"length": length, "step": step, "group": windows.group or None}}


class Whole(NamedTuple):
    """A whole table."""

    table: pd.DataFrame  # as given
    read: pd.DataFrame  # in the columns that are encoded
    files: Ints  # (n,): number of the file of each row


def joined(chunks: Iterator[tuple[pd.DataFrame, pd.DataFrame]]) -> Whole:
    """All chunks of a table, as `Tables.read` gives them."""
    tables, reads, files = [], [], []
    for table, read in chunks:
        tables.append(table)
        reads.append(read)
        files.append(np.full(len(table), table.attrs.get(FILE, 0), dtype=np.int64))
    return Whole(pd.concat(tables, ignore_index=True), pd.concat(reads, ignore_index=True), np.concatenate(files))
