"""Served table models: rows as JSON, and table files."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from memae.data.column import Column
from memae.data.dialects import Dialect
from memae.data.table_formats import flat
from memae.data.tables import TableEncoder, missing_columns, unknown_columns
from memae.errors import InputError, SchemaError
from memae.estimators import TabularMemAE
from memae.evidence import Evidence, Explainer
from memae.kinds import Notes
from memae.kinds.kind import Part
from memae.scoring.calibration import Judged
from memae.service.limits import Limits, Refused
from memae.service.served import Answer, MakeWorker, Row, ServedModel, Wanted, explained, rows_of
from memae.service.table_uploads import sent
from memae.service.uploads import Body, Frame, Rows, under_their_names

NUMBERS = frozenset({int, float, bool, type(None)})
SCALARS = NUMBERS | {str}

Values = tuple[Any, ...]
"""A row in the order of the model's columns."""


class ServedTable(ServedModel[TabularMemAE]):
    """A detector for tables."""

    def __init__(self, name: str, estimator: TabularMemAE, limits: Limits, worker: MakeWorker) -> None:
        self.estimator, self.roles = estimator, estimator.roles_
        encoded = {column.name: column for column in self.encoder().columns}
        self.columns = {name: encoded.get(name) for name in self.roles.names}  # None for times
        super().__init__(name, estimator, limits, worker)

    def encoder(self) -> TableEncoder:
        """The columns of a row."""
        return self.estimator.encoder_

    def score(self, body: Body, wanted: Wanted) -> Answer:
        """One row for each row of the table."""
        found: list[Row] = []
        notes = Notes()
        for judged in self.pieces(self._encoded(body, wanted, notes), wanted):
            numbers = range(len(found), len(found) + len(judged.score))
            found += rows_of(judged, ({"row": number} for number in numbers))
        return Answer(found, left_out=notes.unknown)

    def quick(self, body: Body, wanted: Wanted) -> "Future[Judged] | None":
        """The scores of rows that fit into a batch; the worker encodes them together with those of other requests."""
        if not isinstance(body, Rows) or len(body.rows) > self.chunk or self.roles.times or self.roles.durations:
            return None
        notes = Notes()
        rows = self._values(body, wanted, notes)
        return None if notes.unknown else self.worker.score(rows, len(rows))

    def explain(self, body: Body, wanted: Wanted) -> Answer:
        """What the columns of each row add to its score, and the memory items used."""
        notes = Notes()
        frame, numbers = self._chosen(body, wanted, notes)
        found: list[Row] = []
        for start in range(0, len(numbers), self.chunk):
            part = frame.iloc[start : start + self.chunk]
            evidence = wanted.wait(self.worker.call(partial(self._evidence, part, wanted.items)))
            found += [explained(each, {"row": row}) for each, row in zip(evidence, numbers[start:], strict=False)]
        return Answer(found, left_out=notes.unknown)

    def row_schema(self) -> Row:
        """The JSON schema of a row."""
        properties = {name: {"type": self._types(name)} for name in self.columns}
        return {"type": "object", "required": list(properties), "properties": properties}

    def example(self) -> Row:
        """An example row for the OpenAPI document."""
        times = {time.name: time.example for time in self.roles.times}
        return times | {
            name: (column.categories or ("",))[0] if column.kind == "category" else column.mean
            for name, column in self.columns.items()
            if column is not None
        }

    def _types(self, name: str) -> list[str]:
        column = self.columns[name]
        if column is None:
            return ["string", "null"]
        either = column.kind == "category" or name in self.roles.durations
        return ["string", "number", "null"] if either else ["number", "null"]

    def _evidence(self, read: pd.DataFrame, items: int) -> list[Evidence]:
        explainer = Explainer(self.estimator.scorer_, self.estimator.examples_, items)
        part = Part({"row": range(len(read))}, self.estimator.encoder_.encode(read), read, read)
        return list(self.estimator.kind_.explained(explainer, iter([part])))

    def _chosen(self, body: Body, wanted: Wanted, notes: Notes) -> tuple[pd.DataFrame, list[int]]:
        """The rows to explain, in the columns that are encoded, and their numbers."""
        asked, count, parts = set(wanted.only), 0, []
        for frame in self._frames(body, wanted, notes):
            rows = [row for row in range(len(frame)) if not asked or count + row in asked]
            parts.append(frame.iloc[rows])
            count += len(frame)
        numbers = self.to_explain(count, wanted)
        return pd.concat(parts), numbers

    def _encoded(self, body: Body, wanted: Wanted, notes: Notes) -> Iterator[Tensor]:
        for frame in self._frames(body, wanted, notes):
            with under_their_names(body):
                features = self.estimator.encoder_.encode(frame)
            yield features

    def _joined(self, pieces: list[Any]) -> tuple[Tensor, list[int]]:
        """Features of pieces of several requests: JSON rows are encoded here, files were encoded by `_encoded`."""
        rows = [piece for piece in pieces if isinstance(piece, list)]
        if rows:
            features = self.estimator.encoder_.encode(self._frame([row for piece in rows for row in piece]))
            encoded = iter(torch.split(features, [len(piece) for piece in rows]))
            pieces = [next(encoded) if isinstance(piece, list) else piece for piece in pieces]
        return super()._joined(pieces)

    # ---------------------------------------------------------------------------------------------------------- JSON

    def _values(self, body: Rows, wanted: Wanted, notes: Notes) -> list[Values]:
        """Rows in the order of the columns; raises Refused for rows that could not be encoded with others."""
        self.limits.check_samples(len(body.rows))
        if wanted.dialect != Dialect():
            raise Refused(
                422,
                "separator, decimal, encoding and the like say how a file is written, and rows of JSON are given; "
                "leave them out, or send the file",
            )
        dropped = {*self.estimator.ignore, *wanted.ignore}
        numbers = range(len(body.rows)) if body.numbers is None else body.numbers
        rows = zip(body.rows, numbers, strict=True)
        return [self._row(row, number, dropped, notes, wanted.strict) for row, number in rows]

    def _row(self, row: Any, number: int, dropped: set[str], notes: Notes, strict: bool) -> Values:
        if isinstance(row, dict):
            row = flat(row, f"row {number}")
            if row.keys() != self.columns.keys() or not dropped.isdisjoint(self.columns):
                self._check_names([name for name in row if name not in dropped], number, notes, strict=strict)
            values = tuple(map(row.__getitem__, self.columns))
        elif isinstance(row, list):
            values = tuple(row)
        else:
            raise Refused(422, f"row {number} is neither an object of columns nor a list of values")
        if len(values) != len(self.columns):
            raise Refused(422, f"row {number} has {len(values)} values, the model has {len(self.columns)} columns")
        if not SCALARS.issuperset(map(type, values)):
            name = next(name for name, value in zip(self.columns, values, strict=True) if type(value) not in SCALARS)
            raise Refused(422, f"row {number}, column {name!r}: a value must be a number, text or null")
        return values

    def _check_names(self, names: Sequence[str], number: int, notes: Notes, *, strict: bool) -> None:
        """Raises Refused if a row lacks a column of the model; notes those that it does not know, or refuses them."""
        try:
            _, unknown = self.roles.of_training(pd.DataFrame(columns=[*names]))
        except SchemaError as error:
            raise Refused(422, f"row {number}: {error}") from error
        lost = [name for name in self.columns if name not in names]  # the time or the group of windows
        if lost:
            raise Refused(422, f"row {number}: {missing_columns(lost)}")
        unknown = [name for name in unknown if name not in self.columns]
        if unknown and strict:
            raise Refused(422, f"row {number}: {unknown_columns(unknown)}")
        notes.unknown += [name for name in unknown if name not in notes.unknown]

    def _frame(self, rows: list[Values]) -> pd.DataFrame:
        columns = zip(self.columns.items(), zip(*rows, strict=True), strict=True)
        return pd.DataFrame({name: _series(column, values) for (name, column), values in columns}, copy=False)

    # --------------------------------------------------------------------------------------------------------- files

    def _frames(self, body: Body, wanted: Wanted, notes: Notes) -> Iterator[pd.DataFrame]:
        """The table in parts, in the columns that are encoded."""
        kind = self.estimator.kind_
        if not isinstance(body, Rows):
            kind = kind.ignoring(wanted.ignore, strict=wanted.strict)
        with under_their_names(body):
            yield from (read for _, read in kind.read(self.given(body, wanted, notes), notes))

    def given(self, body: Body, wanted: Wanted, notes: Notes) -> Iterator[pd.DataFrame]:
        """The table in parts, as it was sent."""
        if isinstance(body, Rows):
            yield self._frame(self._values(body, wanted, notes))
        elif isinstance(body, Frame):
            yield body.frame
        else:
            reading = replace(self.estimator.kind_.reading, wanted=wanted.dialect)
            yield from sent(self.files(body), self.estimator.kind_.text, reading, self.limits, wanted.deadline)


def _series(column: Column | None, values: Values) -> "np.ndarray[Any, Any] | pd.Series[Any]":
    """One column; the encoding of a value does not depend on the other rows of the batch."""
    if column is not None and column.kind == "number" and NUMBERS.issuperset(map(type, values)):
        try:
            return np.array(values, dtype=np.float64)
        except OverflowError as error:
            raise InputError(f"column {column.name!r} has a number that is too large for 64 bits") from error
    return pd.Series(values, dtype=object)
