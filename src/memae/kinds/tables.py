"""Rows of tables."""

import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from memae.data.column import MAX_CATEGORIES
from memae.data.decoding import by_column, decoded, shown
from memae.data.dialects import Reading
from memae.data.roles import Roles
from memae.data.table_files import TABLE_SUFFIXES, table_chunks
from memae.data.table_folders import InFolder
from memae.data.tables import TableEncoder, check_unique, left_out_columns, trimmed
from memae.errors import InputError, MemaeWarning, OptionError
from memae.evidence import Cell, Contribution, Evidence, Explainer, plain
from memae.kinds.kind import Kind, Labelled, Notes, Part, Sample, Truth, Words
from memae.kinds.pieces import Piece, table_pieces
from memae.scoring import Floats, Scorer, decoded_items
from memae.scoring.calibration import Calibration


@dataclass(frozen=True)
class Place:
    """How a column of the user's table is encoded in a row of numbers."""

    name: str
    kind: str  # number, category or hour
    at: int  # index of its first number; an hour of the day h has two, cos(2πh/24) and sin(2πh/24)
    fill: float | None = None  # of a number column: the number for a missing value
    marked: bool = False  # whether the number behind it is 1 for a missing value, else 0
    categories: tuple[str, ...] = ()  # one-hot in this order, followed by one for any other value; missing is ""
    center: tuple[float, ...] = ()  # of an hour: the two numbers for a missing one


@dataclass(frozen=True)
class Tables(Kind):
    """Rows of DataFrames and of table files.

    Args:
        encoder: columns → features.
        roles: the user's columns → those that are encoded.
        ignored: columns that are left out if present.
        dropped: columns that are left out and must be present.
        strict: whether columns that training never had, and another order of columns, are errors.
        reading: how files are read.
    """

    encoder: TableEncoder
    roles: Roles
    ignored: Sequence[str] = ()
    dropped: tuple[str, ...] = ()
    strict: bool = False
    reading: Reading = field(default_factory=Reading)

    words = Words(
        data="rows of a table",
        one="row",
        many="rows",
        learned="distinct rows",
        measures={
            "error": "how badly each column is restored from the others through the memory, over its expected error",
            "distance": "the distance to the nearest kept rows",
            "local distance": "the same, over the distance that these have to each other: dense and sparse regions "
            "count alike",
            "regression": "what a linear regression of each column on all others leaves, over its expected size",
        },
        limits=(
            "Columns must be those of training, with the same meaning and unit; names and type are checked.",
            f"Of a column of text, the {MAX_CATEGORIES} most frequent values are distinguished; a value never seen in "
            "training counts as anomalous.",
            "Rows are scored one by one: an anomaly in the order or the number of rows is not seen.",
        ),
        numbering=" Row 0 is the first below the header.",
        kept="rows",
        measured_with="expected errors, and how each column depends linearly on the others, over all training rows",
    )
    suffixes = TABLE_SUFFIXES
    takes = "rows of JSON, or a table: CSV, JSON lines (each also packed), Parquet or Excel"
    pictured = False

    def open(self, X: Any, *, notes: Notes | None = None) -> Iterator[Part]:
        """Rows, named by their number; see `Kind.open`. X is a path, a DataFrame, or a file of a folder."""
        if isinstance(X, InFolder):
            chunks = table_chunks(X.path, text=self.text, reading=self.reading)()
            return self.parts((X.whole(chunk, self.text) for chunk in chunks), notes)
        tables = (
            table_chunks(Path(X), text=self.text, reading=self.reading)() if isinstance(X, str | Path) else iter([X])
        )
        return self.parts(tables, notes)

    def pieces(self, folder: Path, notes: Notes) -> Iterator[Piece]:  # noqa: ARG002 (what is no table is of no interest)
        """Each file; see `Kind.pieces`."""
        return table_pieces(folder)

    def parts(self, tables: Iterator[pd.DataFrame], notes: Notes | None = None) -> Iterator[Part]:
        """The rows of consecutive tables."""
        start = 0
        for table, read in self.read(tables, notes):
            yield Part({"row": range(start, start + len(table))}, self.encoder.encode(read), table, read)
            start += len(table)
            if notes is not None:
                notes.add_novel(self.encoder.novelties(read))
            del table, read  # frees them before the next ones are read

    def read(
        self, tables: Iterable[pd.DataFrame], notes: Notes | None = None
    ) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
        """Consecutive tables as given, and in the columns that are encoded.

        Columns are put in the order of training. Those that training never had are left out, and noted, or warned of
        once if there are no notes.

        Raises:
            SchemaError: a column is missing.
        """
        reader = self.roles.reader()
        unknown: list[str] = []
        for table in tables:
            kept = trimmed(table, self.dropped, self.ignored)
            check_unique(kept)
            if not kept.shape[1]:
                raise InputError("the table has no columns; give at least one")
            ordered, extra = self.roles.of_training(kept, strict=self.strict)
            if extra and not unknown:
                unknown = extra
                if notes is None:
                    warnings.warn(left_out_columns(extra), MemaeWarning, stacklevel=2)
                else:
                    notes.unknown = extra
            yield table, reader(ordered)
            del table, kept, ordered

    @property
    def text(self) -> list[str]:
        """Columns of files that are read as text."""
        return [*self.encoder.text, *(time.name for time in self.roles.times)]

    def ignoring(self, columns: Sequence[str], *, strict: bool = False) -> Self:
        """A copy that leaves out these columns as well, which must be present; see `Kind.ignoring`."""
        return replace(self, dropped=(*self.dropped, *columns), strict=self.strict or strict)

    # -------------------------------------------------------------------------------------------------- explaining

    def explained(
        self, explainer: Explainer, parts: Iterator[Part], only: Collection[int] | None = None
    ) -> Iterator[Evidence]:
        """Evidence in the user's columns; see `Kind.explained`."""
        for part in parts:
            indices = [index for index, row in enumerate(part.names["row"]) if only is None or row in only]
            for first in range(0, len(indices), explainer.scorer.chunk):
                chosen = indices[first : first + explainer.scorer.chunk]
                names = [f"row {part.names['row'][index]}" for index in chosen]
                evidence = explainer.batch(part.raw[chosen], names)
                yield from self._in_columns(part.read.iloc[chosen], evidence)

    def _in_columns(self, rows: pd.DataFrame, evidence: list[Evidence]) -> Iterator[Evidence]:
        """The evidence of rows, converted from features to the user's columns."""
        given = shown(self.encoder, rows)
        restored = torch.stack([each.reconstruction for each in evidence if each.reconstruction is not None])
        expected = decoded(self.encoder, restored).to_numpy()
        adds = by_column(self.encoder, torch.stack([each.error_map for each in evidence]).numpy())
        items = {item.number: item.decoded for each in evidence for item in each.items if item.decoded is not None}
        cells: dict[int, tuple[Cell, ...]] = {}
        if items:
            table = decoded(self.encoder, torch.stack(list(items.values())))
            item_rows = (tuple(map(Cell, table.columns, row)) for row in table.to_numpy())
            cells = dict(zip(items, item_rows, strict=True))
        for index, each in enumerate(evidence):
            yield replace(
                each,
                error_map=torch.from_numpy(adds[index]),
                items=tuple(replace(item, row=cells[item.number]) for item in each.items),
                contributions=self._contributions(given[index], expected[index], adds[index]),
            )

    def _contributions(
        self, given: NDArray[np.object_], expected: NDArray[np.object_], adds: Floats
    ) -> tuple[Contribution, ...]:
        total = float(adds.sum())
        shares = adds / (total or 1.0)
        names = [column.name for column in self.encoder.columns]
        return tuple(
            Contribution(names[column], plain(given[column]), plain(expected[column]), float(shares[column]))
            for column in np.argsort(-adds, kind="stable")
        )

    def contributions(self, scorer: Scorer, X: Any) -> Floats:
        """What each column adds to the score of each row of a source `(n, columns)`."""
        return np.concatenate([self.contributions_of(scorer, part.read) for part in self.open(X)])

    def contributions_of(self, scorer: Scorer, read: pd.DataFrame) -> Floats:
        """The same for rows in the columns that are encoded."""
        raw = self.encoder.encode(read)
        return np.concatenate([by_column(self.encoder, each.error_map.numpy()) for each in scorer.batched([raw])])

    def contributions_at(self, scorer: Scorer, read: Any, index: NDArray[np.int64]) -> Floats:
        """The same for some of the rows of a part."""
        return self.contributions_of(scorer, read.iloc[index])

    def _again(self, source: Path, chosen: Sequence[Sample]) -> Iterator[tuple[Any, dict[int, int]]]:
        yield source, {sample["row"]: number for number, sample in enumerate(chosen)}

    # ------------------------------------------------------------------------------------------------------ labels

    def labelled(
        self, scorer: Scorer, source: Path, labels: str | None, normal: Sequence[str], notes: Notes
    ) -> Labelled:
        """Scores of all rows, and their labels from a column."""
        if labels is None:
            raise OptionError("a table needs --labels COLUMN, the column that tells normal from anomalous rows")
        kind = self.ignoring([labels])
        truths, scores = [], []
        for part in kind.scored(scorer, kind.open(source, notes=notes)):
            truths.append(_truth(part.given[labels], normal))
            scores.append(part.judged.score.numpy())
        truth = np.concatenate(truths)
        if normal and truth.all():
            raise OptionError(f"no row has the label {' or '.join(normal)} in column {labels!r}; see --normal")
        return Labelled([truth], [np.concatenate(scores)])

    # ---------------------------------------------------------------------------------------------- what was learned

    def learned(self) -> dict[str, Any]:
        """The columns."""
        roles = self.roles.as_json()
        return {"columns": self.encoder.as_json()} | {name: roles[name] for name in ("left_out", "times", "durations")}

    def about(self) -> dict[str, Any]:
        """The columns' names and kinds."""
        return {"columns": [{"name": column.name, "kind": column.kind} for column in self.encoder.columns]}

    def exported(self, calibration: Calibration) -> dict[str, Any]:  # noqa: ARG002 (the graph has it)
        """Where the columns lie in a row of numbers."""
        return {"columns": _places(self.encoder)}

    def item_rows(self, scorer: Scorer, numbers: Sequence[int], most: int) -> pd.DataFrame | None:
        """Items as rows, in the `most` columns in which they differ most."""
        features = decoded_items(scorer, torch.tensor(numbers))
        spread = (features / scorer.scaling.scale.cpu()).std(0, correction=0).double()
        widest = torch.zeros(len(self.encoder.columns)).double()
        widest = widest.scatter_reduce(0, torch.from_numpy(self.encoder.owner), spread, "amax")
        chosen = widest.argsort(descending=True, stable=True)[:most].sort().values.tolist()
        return decoded(self.encoder, features).iloc[:, chosen]


def _places(encoder: TableEncoder) -> tuple[Place, ...]:
    places = []
    for column, at in zip(encoder.columns, encoder.places.tolist(), strict=True):
        if column.kind == "category":
            places.append(Place(column.name, column.kind, at, categories=column.categories))
        elif column.kind == "hour":
            places.append(Place(column.name, column.kind, at, marked=column.missing > 0, center=column.circle))
        else:
            places.append(Place(column.name, column.kind, at, fill=column.mean, marked=column.missing > 0))
    return tuple(places)


def _truth(column: "pd.Series[Any]", normal: Sequence[str]) -> Truth:
    """Whether each row is anomalous `(n,)`."""
    if normal:
        return (~column.map(str).isin(normal)).to_numpy()
    values = set(column.unique().tolist())
    if not values <= {0, 1}:
        shown = ", ".join(sorted(map(str, values))[:5])
        raise OptionError(f"the labels are {shown}, not 0 and 1; name the normal ones with --normal")
    return column.to_numpy(dtype=bool)
