"""Served models of windows of rows: the rows of a request are consecutive, and all are held in memory."""

from concurrent.futures import Future
from functools import partial
from typing import Any

import torch

from memae.data.tables import TableEncoder
from memae.data.windows import Windows
from memae.estimators import TabularMemAE
from memae.evidence import Evidence, Explainer
from memae.kinds import Notes
from memae.kinds.kind import Part
from memae.kinds.windows import WindowedTables
from memae.scoring.calibration import Judged
from memae.service.limits import Limits
from memae.service.served import Answer, MakeWorker, Row, Wanted, explained, rows_of
from memae.service.tables import ServedTable
from memae.service.uploads import Body, Rows, under_their_names


class ServedWindows(ServedTable):
    """A detector for windows of rows."""

    def __init__(self, name: str, estimator: TabularMemAE, limits: Limits, worker: MakeWorker) -> None:
        windows = estimator.windows_
        assert windows is not None  # noqa: S101 (the caller's)
        self.windows: Windows = windows
        super().__init__(name, estimator, limits, worker)
        more = [windows.group, *([windows.time.name] if windows.time is not None else [])]
        self.columns |= {each: None for each in more if each and each not in self.columns}

    def encoder(self) -> TableEncoder:
        """The columns of a row."""
        return self.windows.rows

    def score(self, body: Body, wanted: Wanted) -> Answer:
        """One row for each row of the table: the score of its window."""
        notes = Notes()
        part = self._part(body, wanted, notes)
        judged = Judged.joined(self.pieces([part.raw], wanted))
        of_row = torch.from_numpy(part.read.of_row)
        spread = Judged(*(column[of_row] for column in judged))
        return Answer(list(rows_of(spread, ({"row": row} for row in range(len(of_row))))), left_out=notes.unknown)

    def quick(self, body: Body, wanted: Wanted) -> "Future[Judged] | None":  # noqa: ARG002 (windows take a thread)
        """None: windows are cut in a thread."""
        return None

    def explain(self, body: Body, wanted: Wanted) -> Answer:
        """What stands out in the window of each row."""
        notes = Notes()
        part = self._part(body, wanted, notes)
        numbers = self.to_explain(len(part.given), wanted)
        work = partial(self._of_windows, part, numbers, wanted.items)
        evidence = wanted.wait(self.worker.call(work))
        rows = zip(evidence, numbers, strict=True)
        found: list[Row] = [explained(each, {"row": row}) | {"window": each.name} for each, row in rows]
        return Answer(found, left_out=notes.unknown)

    def _of_windows(self, part: Part, numbers: list[int], items: int) -> list[Evidence]:
        explainer = Explainer(self.estimator.scorer_, self.estimator.examples_, items)
        return list(self.estimator.kind_.explained(explainer, iter([part]), set(numbers)))

    def _part(self, body: Body, wanted: Wanted, notes: Notes) -> Part:
        kind = self.estimator.kind_
        assert isinstance(kind, WindowedTables)  # noqa: S101 (see the class)
        if not isinstance(body, Rows):
            kind = kind.ignoring(wanted.ignore, strict=wanted.strict)
        with under_their_names(body):
            return next(kind.parts(self.given(body, wanted, notes), notes))

    def _types(self, name: str) -> list[str]:
        return ["string", "number", "null"] if name == self.windows.group else super()._types(name)

    def example(self) -> dict[str, Any]:
        """An example row for the OpenAPI document."""
        time = self.windows.time
        known = super().example() | ({} if time is None else {time.name: time.example})
        return known | ({self.windows.group: "A"} if self.windows.group else {})
