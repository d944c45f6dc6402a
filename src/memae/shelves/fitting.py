"""Fits the detector of a group, and the one that groups share."""

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from memae.data.dialects import Dialect
from memae.errors import MemaeError, MemaeWarning, OptionError, sentence
from memae.estimators import TabularMemAE
from memae.modelfile.artifact import dumped
from memae.scoring import Floats
from memae.shelves.groups import Group
from memae.shelves.keys import Key, counted

SHARED_ROWS = 10_000
"""Rows that a shared model is fitted to, as many of each group."""
FOLDS = 5
"""Parts of the groups, each of which is left out to calibrate it."""


@dataclass(frozen=True)
class Recipe:
    """How the detector of each group is fitted; it can be sent to another process.

    Args:
        settings: parameters of `TabularMemAE`.
        fewest: rows below which a group gets no model of its own; None for as many as its false-alarm rate needs with
            a shared model, and else for 2.
        shared: whether such a group has the shared model.
        dialect: how the file is written that the rows come from.
        text: columns of it that are read literally.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    fewest: int | None = None
    shared: bool = False
    dialect: Dialect = field(default_factory=Dialect)
    text: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.fewest is not None and self.fewest < 2:
            raise OptionError(f"a group has 2 rows or more for a model of its own; got {self.fewest}")
        if self.shared and self.detector().window is not None:
            raise OptionError("a shared model scores rows one by one; leave out --shared, or --window")

    def detector(self) -> TabularMemAE:
        """A detector with these settings, not fitted."""
        return TabularMemAE(**self.settings)

    @property
    def seed(self) -> int:
        """Chooses the rows of the shared model."""
        return int(check_random_state(self.detector().random_state).randint(2**31 - 1))

    @property
    def least(self) -> int:
        """Rows below which a group gets no model of its own."""
        enough = math.ceil(1 / self.detector().false_alarm_rate - 1e-9) - 1
        return self.fewest or (max(enough, 2) if self.shared else 2)

    def fitted(self, key: Key, frame: pd.DataFrame) -> Group:
        """The group of these rows, with a model or the reason that there is none.

        Args:
            key: of the group.
            frame: its rows, without the columns of the key.
        """
        if len(frame) < self.least and self.shared:
            return Group(key=key, shared=True, rows=len(frame))
        if len(frame) < self.least:
            needed = f"{self.least} are needed" + ", and 100 make sense" * (self.fewest is None)
            return Group(key=key, rows=len(frame), error=f"{counted(len(frame), 'row')} given; at least {needed}")
        return self._fitted(key, lambda detector: detector.fit(frame), len(frame))

    def shared_model(self, frame: pd.DataFrame, of_row: NDArray[np.int64]) -> Group:
        """The model that groups share, fitted to rows of all of them.

        It is calibrated on rows of groups that were left out, so that its threshold holds for groups it has never seen.

        Args:
            frame: rows of some groups, without the columns of the key.
            of_row: number of the group of each row `(n,)`.
        """

        def fit(detector: TabularMemAE) -> None:
            detector.fit(frame)
            scores = np.concatenate([*self._left_out(frame, of_row % FOLDS)])
            if len(scores):
                kept = math.ceil((1 - detector.contamination) * len(scores))
                detector.recalibrate(np.sort(scores)[:kept])

        return replace(self._fitted(None, fit, len(frame)), shared=True)

    def _left_out(self, frame: pd.DataFrame, fold: NDArray[np.int64]) -> Iterator[Floats]:
        """Scores of the rows of each fold by a detector that was fitted to the others; none of a single fold."""
        for number in np.unique(fold) if len(np.unique(fold)) > 1 else ():
            apart = self.detector().fit(frame[fold != number])
            yield apart.anomaly_score(frame[fold == number])

    def _fitted(self, key: Key | None, fit: Callable[[TabularMemAE], object], rows: int) -> Group:
        """A group with the detector that `fit` fits, or with what it raises."""
        began, detector, remarks = time.perf_counter(), self.detector(), dict[str, None]()
        error: str | None = None
        try:
            with _one_thread(), _remarks(remarks):
                fit(detector)
                detector.dialect_ = self.dialect
                content = dumped(detector.to_artifact())
        except MemaeError as raised:
            error = sentence(raised)
        except Exception as raised:  # one group must not stop a thousand others
            error = f"{type(raised).__name__}: {raised}"
        seconds = time.perf_counter() - began
        if error is not None:
            return Group(key=key, error=error, rows=rows, seconds=seconds)
        remarks |= dict.fromkeys(detector.encoder_.report())
        return Group(
            key=key,
            model=content,
            rows=rows,
            false_alarm_rate=detector.calibration_.false_alarm_rate,
            lowest_false_alarm_rate=1 / (detector.independent_ + 1),
            seconds=seconds,
            remarks="\n".join(remarks) or None,
            in_order=detector.roles_.sequential or detector.windows_ is not None,
            text=tuple(sorted(self.text.intersection(detector.roles_.names) | set(detector.kind_.text))),
        )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Computes with one thread, as workers do: the work is too small for more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _remarks(remarks: dict[str, None]) -> Iterator[None]:
    """Adds what memae warns of, each once; other warnings are not for the user of a thousand models."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", MemaeWarning)
        yield
    remarks |= {str(each.message): None for each in told}
