"""Scores tables whose rows belong to different groups, each by the detector of its group."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memae.data.tables import without
from memae.errors import GroupError, InputError, OptionError, SchemaError, sentence
from memae.estimators import TabularMemAE
from memae.kinds import Notes
from memae.scoring.calibration import Judged
from memae.shelves.reading import Found, Shelf

Ints = NDArray[np.int64]
Check = Callable[[TabularMemAE, pd.DataFrame], None]
"""Raises SchemaError if a detector must not score a table."""


@dataclass
class ByGroup:
    """Scores each row of a table by the detector of its group; what cannot be scored gets a reason instead.

    Args:
        shelf: the detectors.
        by: columns that tell groups, where they are called otherwise than on the shelf.
        shared: whether rows of groups without a detector are scored by the shared one.
        ignore: columns that are left out.
        strict: whether columns that training never had, and another order, are refused.
    """

    shelf: Shelf
    by: Sequence[str] = ()
    shared: bool = False
    ignore: Sequence[str] = ()
    strict: bool = False
    notes: Notes = field(default_factory=Notes)
    reasons: Counter[str] = field(default_factory=Counter)  # reason → number of rows
    held_out: int = 0  # of the detectors used, the most scores that p-values come from

    def __post_init__(self) -> None:
        known = self.shelf.keys_.names
        if self.by and len(self.by) != len(known):
            columns = "column is" if len(self.by) == 1 else "columns are"
            raise OptionError(f"{len(self.by)} {columns} given, groups are told by {len(known)}: {', '.join(known)}")

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that tell groups in the tables."""
        return tuple(self.by) or self.shelf.keys_.names

    def __call__(self, frame: pd.DataFrame, check: Check | None = None) -> pd.DataFrame:
        """Scores of a table: columns score, p_value, is_anomaly (missing without a score), shared and reason `(n,)`.

        Args:
            frame: rows with the columns that tell groups; rows of one group are in order.
            check: called with the detector and the rows of each group.

        Raises:
            SchemaError: the columns that tell groups are not there.
        """
        groups = self.shelf.keys_.in_groups(frame, self.names)
        values = without(frame, self.names, strict=True)
        found = _Scores(len(frame))
        for key, rows in groups.rows():
            try:
                chosen = self.shelf.find(key, shared=self.shared)
                if check is not None:
                    check(chosen.detector, frame)
                self._score(chosen, values, rows, found)
            except (GroupError, SchemaError) as error:
                found.refuse(rows, sentence(error))
        self.reasons.update(reason for reason in found.reason if reason is not None)
        return found.table()

    def _score(self, chosen: Found, values: pd.DataFrame, rows: Ints, found: "_Scores") -> None:
        """Scores the rows of a group; of those that cannot be read, each gets its reason."""
        detector = chosen.detector
        kind = detector.kind_.ignoring(self.ignore, strict=self.strict)
        self.held_out = max(self.held_out, len(detector.calibration_.scores))

        def score(some: Ints) -> None:
            parts = kind.scored(detector.scorer_, kind.open(values.iloc[some], notes=self.notes))
            found.take(some, Judged.joined(part.judged for part in parts), shared=chosen.shared)

        try:
            score(rows)
        except InputError:
            for _ in kind.read([values.iloc[:0]], Notes()):  # raises if columns are missing
                pass
            for some, reason in _bad_rows(score, rows):
                found.refuse(some, reason)


class _Scores:
    """Scores of the rows of a table, as they come."""

    def __init__(self, rows: int) -> None:
        self.score, self.p_value = np.full(rows, np.nan), np.full(rows, np.nan)
        self.flag, self.shared = np.zeros(rows, dtype=bool), np.zeros(rows, dtype=bool)
        self.reason = np.full(rows, None, dtype=object)

    def take(self, rows: Ints, judged: Judged, *, shared: bool) -> None:
        self.score[rows], self.p_value[rows] = judged.score.numpy(), judged.p_value.numpy()
        self.flag[rows], self.shared[rows] = judged.is_anomaly.numpy(), shared

    def refuse(self, rows: Ints, reason: str) -> None:
        self.reason[rows] = reason

    def table(self) -> pd.DataFrame:
        flags = pd.array(self.flag, dtype="boolean")
        flags[np.isnan(self.score)] = pd.NA
        reasons = pd.Series(self.reason, dtype="str")
        columns: dict[str, Any] = {"score": self.score, "p_value": self.p_value, "is_anomaly": flags}
        return pd.DataFrame(columns | {"shared": self.shared, "reason": reasons})


def _bad_rows(score: Callable[[Ints], None], rows: Ints) -> Iterator[tuple[Ints, str]]:
    """Scores rows of which some cannot be read, by halves; yields those, and why."""
    try:
        score(rows)
    except InputError as error:
        if len(rows) == 1:
            yield rows, sentence(error)
            return
        half = len(rows) // 2
        yield from _bad_rows(score, rows[:half])
        yield from _bad_rows(score, rows[half:])
