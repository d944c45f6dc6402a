"""Served table models: rows as JSON, and table files."""

from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from memae.data.table_files import table_chunks
from memae.data.tables import Column
from memae.data.unpacking import check_unpacked
from memae.errors import InputError, SchemaError
from memae.estimators import TabularMemAE
from memae.evidence import Evidence, Explainer
from memae.scoring.calibration import Judged
from memae.service.limits import Limits, Refused
from memae.service.served import Answer, Observer, Row, Served, Wanted, explained, rows_of
from memae.service.uploads import Body, Rows, Upload, under_their_names

NUMBERS = frozenset({int, float, bool, type(None)})
SCALARS = NUMBERS | {str}
UNPACKED = 32
"""Maximum size of an unpacked file, as a multiple of the maximum size of a body."""

Values = tuple[Any, ...]
"""A row in the order of the model's columns."""


class ServedTable(Served[TabularMemAE]):
    """A detector for tables."""

    def __init__(self, name: str, estimator: TabularMemAE, limits: Limits, observe: Observer) -> None:
        self.columns = {column.name: column for column in estimator.encoder_.columns}
        super().__init__(name, estimator, limits, observe)

    def score(self, body: Body, wanted: Wanted) -> Answer:
        """One row for each row of the table."""
        found: list[Row] = []
        for judged in self.pieces(self._encoded(body, wanted), wanted):
            numbers = range(len(found), len(found) + len(judged.score))
            found += rows_of(judged, ({"row": number} for number in numbers))
        return Answer(found)

    def quick(self, body: Body, wanted: Wanted) -> "Future[Judged] | None":
        """The scores of rows that fit into a batch; the worker encodes them together with those of other requests."""
        if not isinstance(body, Rows) or len(body.rows) > self.chunk:
            return None
        rows = self._values(body, wanted)
        return self.worker.score(rows, len(rows))

    def explain(self, body: Body, wanted: Wanted) -> Answer:
        """What the columns of each row add to its score, and the memory items used."""
        frame, numbers = self._chosen(body, wanted)
        found: list[Row] = []
        for start in range(0, len(numbers), self.chunk):
            part = frame.iloc[start : start + self.chunk]
            evidence = wanted.wait(self.worker.call(partial(self._evidence, part, wanted.items)))
            found += [explained(each, {"row": row}) for each, row in zip(evidence, numbers[start:], strict=False)]
        return Answer(found)

    def row_schema(self) -> Row:
        """The JSON schema of a row."""
        types = {"number": ["number", "null"], "category": ["string", "number", "null"]}
        properties = {name: {"type": types[column.kind]} for name, column in self.columns.items()}
        return {"type": "object", "required": list(properties), "properties": properties}

    def example(self) -> Row:
        """An example row for the OpenAPI document."""
        return {
            name: (column.categories or ("",))[0] if column.kind == "category" else column.mean
            for name, column in self.columns.items()
        }

    def _evidence(self, frame: pd.DataFrame, items: int) -> list[Evidence]:
        explainer = Explainer(self.estimator.scorer_, self.estimator.examples_, items)
        kind = self.estimator.kind_
        return list(kind.explained(explainer, kind.parts(iter([frame]))))

    def _chosen(self, body: Body, wanted: Wanted) -> tuple[pd.DataFrame, list[int]]:
        """The rows to explain, and their numbers."""
        asked, count, parts = set(wanted.only), 0, []
        for frame in self._frames(body, wanted):
            rows = [row for row in range(len(frame)) if not asked or count + row in asked]
            parts.append(frame.iloc[rows])
            count += len(frame)
        numbers = self.to_explain(count, wanted)
        return pd.concat(parts), numbers

    def _encoded(self, body: Body, wanted: Wanted) -> Iterator[Tensor]:
        for frame in self._frames(body, wanted):
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

    def _values(self, body: Rows, wanted: Wanted) -> list[Values]:
        """Rows in the order of the columns; raises Refused for rows that could not be encoded with others."""
        self.limits.check_samples(len(body.rows))
        dropped = {*self.estimator.ignore, *wanted.ignore}
        return [self._row(row, number, dropped) for number, row in enumerate(body.rows)]

    def _row(self, row: Any, number: int, dropped: set[str]) -> Values:
        if isinstance(row, dict):
            if row.keys() != self.columns.keys() or not dropped.isdisjoint(self.columns):
                row = self._fitting({name: value for name, value in row.items() if name not in dropped}, number)
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

    def _fitting(self, row: dict[str, Any], number: int) -> dict[str, Any]:
        """The row, if it has the columns of the model in any order; else raises Refused."""
        names = [*(name for name in self.columns if name in row), *(name for name in row if name not in self.columns)]
        try:
            self.estimator.encoder_.check(pd.DataFrame(columns=names))
        except SchemaError as error:
            raise Refused(422, f"row {number}: {error}") from error
        return row

    def _frame(self, rows: list[Values]) -> pd.DataFrame:
        columns = zip(self.columns.values(), zip(*rows, strict=True), strict=True)
        return pd.DataFrame({column.name: _series(column, values) for column, values in columns}, copy=False)

    # --------------------------------------------------------------------------------------------------------- files

    def _frames(self, body: Body, wanted: Wanted) -> Iterator[pd.DataFrame]:
        """The table in parts, without ignored columns."""
        if isinstance(body, Rows):
            with under_their_names(body):
                frame = self._frame(self._values(body, wanted))
            yield frame
            return
        if len(self.files(body)) != 1:
            raise Refused(422, f"{len(body)} tables are given; send one at a time")
        with under_their_names(body):
            count = 0
            for chunk in self._read(body[0]):
                count += len(chunk)
                self.limits.check_samples(count)
                wanted.deadline.left()
                yield self.estimator.kind_.ignoring(wanted.ignore).trimmed(chunk)

    def _read(self, upload: Upload) -> Iterator[pd.DataFrame]:
        check_unpacked(upload.path, UNPACKED * self.limits.size)
        self._check_index(upload.path)
        reading = self.estimator.kind_.reading
        return table_chunks(upload.path, text=self.estimator.encoder_.text, reading=reading)()

    def _check_index(self, path: Path) -> None:
        """Refuses a Parquet file that is too large when unpacked, by its metadata; `table_chunks` reports damage."""
        import pyarrow.parquet  # noqa: PLC0415 (only Parquet needs it)

        try:
            index = pyarrow.parquet.read_metadata(path)
            unpacked = sum(index.row_group(number).total_byte_size for number in range(index.num_row_groups))
        except (ValueError, OSError):
            return
        self.limits.check_samples(index.num_rows)
        if unpacked > UNPACKED * self.limits.size:
            raise Refused(413, f"the table is {unpacked / 1e6:,.0f} MB unpacked; send it in several parts")


def _series(column: Column, values: Values) -> "np.ndarray[Any, Any] | pd.Series[Any]":
    """One column; the encoding of a value does not depend on the other rows of the batch."""
    if column.kind == "number" and NUMBERS.issuperset(map(type, values)):
        try:
            return np.array(values, dtype=np.float64)
        except OverflowError as error:
            raise InputError(f"column {column.name!r} has a number that is too large for 64 bits") from error
    return pd.Series(values, dtype=object)
