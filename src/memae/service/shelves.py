"""A served shelf: the models of many groups under one name, of which some are held in memory."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd

from memae.data.dialects import Reading
from memae.data.tables import without
from memae.errors import GroupError
from memae.estimators import TabularMemAE
from memae.kinds import Tables
from memae.scoring.calibration import Judged
from memae.service.batching import Desk
from memae.service.limits import Limits, Refused
from memae.service.served import Answer, MakeWorker, Row, Score, Served, Wanted, rows_of
from memae.service.table_uploads import sent
from memae.service.tables import ServedTable
from memae.service.uploads import Body, Frame, Rows, under_their_names
from memae.service.windows import ServedWindows
from memae.shelves.keys import Key, plain_text
from memae.shelves.reading import Shelf

T = TypeVar("T")
TOGETHER = 128
"""Maximum number of rows, of all groups, that are scored before the next requests are looked at."""


class _Part(NamedTuple):
    """The rows of one group in a request."""

    key: Key | None
    body: Rows | Frame
    numbers: list[int]  # of the rows in the request


class ServedShelf(Served):
    """The models of many groups. A request names the group of each row in the columns of keys, or that of all rows.

    Args:
        name: name by which requests choose it.
        shelf: the models.
        limits: limits of the service.
        worker: makes the thread in which all of its models compute.
    """

    def __init__(self, name: str, shelf: Shelf, limits: Limits, worker: MakeWorker) -> None:
        self.name, self.shelf, self.limits = name, shelf, limits
        rates = {shelf.false_alarm_rate or model.false_alarm_rate for model in shelf.groups.values()} - {None}
        self.rule = {"threshold": None, "false_alarm_rate": rates.pop() if len(rates) == 1 else None}
        self.worker = worker(_scored, limits.together or TOGETHER)

    @property
    def kind(self) -> Tables:
        """See `Served.kind`."""
        return self.shelf.sample.kind_

    def score(self, body: Body, wanted: Wanted) -> Answer:
        """One row for each row of the table; one whose group has no model has a reason instead of a score."""
        return self._answered(self._parts(body, wanted), wanted, _score)

    def explain(self, body: Body, wanted: Wanted) -> Answer:
        """What the columns of each row add to its score, by the model of its group."""
        parts = list(self._parts(body, wanted))
        numbers = set(self.to_explain(sum(len(part.numbers) for part in parts), wanted))
        chosen = [part for part in parts if numbers.intersection(part.numbers)]

        return self._answered(iter(chosen), wanted, lambda table, rows, asked: table.explain(rows, asked), numbers)

    def row_schema(self) -> Row:
        """The JSON schema of a row."""
        row = self._table(self.shelf.sample).row_schema()
        keys = {name: {"type": ["string", "integer", "boolean"]} for name in self.shelf.keys_.names}
        return row | {"properties": keys | row["properties"]}

    def example(self) -> Row:
        """An example row for the OpenAPI document."""
        key = self.shelf.keys_.of(next(iter(self.shelf))) if len(self.shelf) else ()
        names = zip(self.shelf.keys_.names, map(plain_text, key), strict=False)
        return dict(names) | self._table(self.shelf.sample).example()

    def described(self) -> Row:
        """See `Served.described`."""
        sample = self.shelf.sample
        return {
            "name": self.name,
            "kind": "table",
            **self.rule,
            "by": list(self.shelf.keys_.names),
            "groups": len(self.shelf),
            "takes": self.takes,
            "suffixes": sorted(self.kind.suffixes),
            "data_sha256": sample.checksum_,
            "versions": sample.versions_,
            **self.kind.about(),
        }

    # --------------------------------------------------------------------------------------------------------- groups

    def _answered(
        self,
        parts: Iterator[_Part],
        wanted: Wanted,
        ask: Callable[[ServedTable, Rows | Frame, Wanted], Answer],
        only: set[int] | None = None,
    ) -> Answer:
        """The answers for all groups as one, in the order of the rows.

        Args:
            parts: of the request.
            wanted: by it.
            ask: answers for the rows of one group.
            only: numbers of the rows to answer for; None for all.

        Raises:
            Refused: no row has a model; see also `ask`.
        """
        found: dict[int, Row] = {}
        left_out: dict[str, None] = {}
        lost: list[GroupError] = []
        for part in parts:
            numbers = [number for number in part.numbers if only is None or number in only]
            names = dict(zip(self.shelf.keys_.names, map(plain_text, part.key or ()), strict=False))
            try:
                chosen = self.shelf.find(part.key, shared=wanted.shared)
            except GroupError as error:
                lost.append(error)
                unknown = {"score": None, "p_value": None, "is_anomaly": None, "reason": str(error)}
                found |= {number: {"row": number, **names, **unknown} for number in numbers}
                continue
            asked = replace(wanted, only=() if only is None else tuple(map(part.numbers.index, numbers)), group=())
            table = self._table(chosen.detector)
            answer = ask(table, part.body, asked)
            left_out |= dict.fromkeys(answer.left_out)
            more = {"threshold": table.rule["threshold"]} | ({"shared": True} if chosen.shared else {})
            for number, row in zip(numbers, answer.samples, strict=True):
                del row["row"]
                found[number] = {"row": number, **names, **row, **more}
        if lost and all(row.get("score") is None for row in found.values()):
            raise Refused(404, f"no row has a model: {lost[0]}")
        return Answer([found[number] for number in sorted(found)], left_out=list(left_out))

    def _parts(self, body: Body, wanted: Wanted) -> Iterator[_Part]:
        """The rows of a request by group."""
        if isinstance(body, Rows):
            return self._parts_of_rows(body, wanted)
        return self._parts_of_table(body, wanted)

    def _parts_of_rows(self, body: Rows, wanted: Wanted) -> Iterator[_Part]:
        self.limits.check_samples(len(body.rows))
        names = self.shelf.keys_.names
        groups: dict[Key | None, list[int]] = {}
        for number, row in enumerate(body.rows):
            key = self._given(wanted) if wanted.group else self._named(row, number)
            groups.setdefault(key, []).append(number)
        for key, numbers in groups.items():
            yield _Part(key, Rows([_without(body.rows[number], names) for number in numbers], numbers), numbers)

    def _named(self, row: Any, number: int) -> Key | None:
        """The key of a row of JSON; raises Refused if it tells none."""
        names = self.shelf.keys_.names
        if not isinstance(row, dict):
            raise Refused(422, f"row {number} is no object, and tells no {names[0]}; give ?group=KEY for all rows")
        lost = [name for name in names if name not in row]
        if lost:
            raise Refused(
                422, f"row {number} has no {lost[0]!r}, which tells its group; give it, or ?group=KEY for all"
            )
        values = [row[name] for name in names]
        odd = [value for value in values if not isinstance(value, str | int | float | None)]
        if odd:
            raise Refused(422, f"row {number}: a group is told by text or numbers, not by {odd[0]!r:.60}")
        return self.shelf.keys_.of_row(values)

    def _given(self, wanted: Wanted) -> Key:
        if len(wanted.group) != len(self.shelf.keys_.names):
            told = ", ".join(self.shelf.keys_.names)
            raise Refused(422, f"group= is given {len(wanted.group)} times; it is one value for each of {told}")
        return self.shelf.keys_.of(wanted.group)

    def _parts_of_table(self, body: Body, wanted: Wanted) -> Iterator[_Part]:
        names = self.shelf.keys_.names
        with under_their_names(body):
            reading = Reading(wanted.dialect, self.shelf.sample.dialect_)
            text = [*names, *self.shelf.text]
            chunks = sent(self.files(body), text, reading, self.limits, wanted.deadline)
            table = pd.concat(chunks, ignore_index=True)
            values = without(table, names, strict=not wanted.group)
            whole = [(self._given(wanted), np.arange(len(table)))] if wanted.group else []
            for key, indices in whole or self.shelf.keys_.in_groups(table).rows():
                yield _Part(key, Frame(values.iloc[indices].reset_index(drop=True)), indices.tolist())

    def _table(self, detector: TabularMemAE) -> ServedTable:
        """A detector as a served model that computes in the shelf's thread."""
        kind = ServedTable if detector.windows_ is None else ServedWindows
        return kind(self.name, detector, self.limits, lambda score, _: _Seat(self.worker, detector, score))


@dataclass(frozen=True)
class _Seat:
    """The thread of a shelf, as one of its models sees it."""

    desk: Desk
    detector: TabularMemAE
    of_model: Score

    def __len__(self) -> int:
        return len(self.desk)

    def score(self, samples: Any, size: int) -> "Future[Any]":
        """See `Worker.score`."""
        return self.desk.score(_Piece(self.detector, self.of_model, samples), size)

    def call(self, work: Callable[[], T]) -> "Future[T]":
        """See `Worker.call`."""
        return self.desk.call(work)

    def close(self) -> None:
        """Does nothing: the thread is that of other models too."""


class _Piece(NamedTuple):
    """Samples for one of the models."""

    detector: TabularMemAE
    score: Score
    samples: Any


def _score(table: ServedTable, body: Rows | Frame, wanted: Wanted) -> Answer:
    """The scores of the rows of one group."""
    answer = table.quick(body, wanted)
    if answer is None:
        return table.score(body, wanted)
    judged = wanted.wait(answer)
    return Answer(list(rows_of(judged, ({"row": number} for number in range(len(judged.score))))))


def _scored(pieces: list[_Piece]) -> list[Judged]:
    """Scores of pieces of several requests; those of one group are computed together."""
    of_models: dict[int, list[int]] = {}
    for index, piece in enumerate(pieces):
        of_models.setdefault(id(piece.detector), []).append(index)
    found: dict[int, Judged] = {}
    for indices in of_models.values():
        scores = pieces[indices[0]].score([pieces[index].samples for index in indices])
        found |= dict(zip(indices, scores, strict=True))
    return [found[index] for index in range(len(pieces))]


def _without(row: Any, names: Sequence[str]) -> Any:
    """A row of JSON without the columns of keys."""
    return {name: value for name, value in row.items() if name not in names} if isinstance(row, dict) else row
