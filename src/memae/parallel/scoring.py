"""One function for all engines: a table in, its scores out; it is sent to other processes with the model inside."""

import threading
import warnings
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from memae.errors import CellError, InputError, MemaeWarning, OptionError, SchemaError
from memae.estimators import Estimator, ImageMemAE, TabularMemAE, VideoMemAE, load
from memae.kinds import Notes
from memae.kinds.rows import rows_of, text_of
from memae.modelfile.artifact import named
from memae.scoring.calibration import Judged

E = TypeVar("E", bound=Estimator)
OnBad = Literal["raise", "row"]

LOADED = 4
"""Models that a process holds at once."""
LACKING = 100
"""Rows without a value, one after another, that a column which always had one is refused for: engines that fill what a
file lacks with nulls may hand over rows of several files together."""
_models: OrderedDict[str, Estimator] = OrderedDict()
_loading = threading.Lock()


def model_of(content: bytes, checksum: str, threads: int) -> Estimator:
    """The detector of a model file, loaded once in each process."""
    with _loading:
        if checksum not in _models:
            torch.set_num_threads(threads)
            _models[checksum] = load(content)
            while len(_models) > LOADED:
                _models.popitem(last=False)
        _models.move_to_end(checksum)
        return _models[checksum]


class Mapped(ABC):
    """A function that engines call with tables of pandas, and that gives scores beside columns of the input."""

    keep: Sequence[str]

    @abstractmethod
    def __call__(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Scores a table, which may be empty."""

    def each(self, frames: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        """Scores tables one after another, as Spark's `mapInPandas` wants it."""
        return map(self, frames)

    @property
    @abstractmethod
    def columns(self) -> dict[str, tuple[str, str]]:
        """The columns beside those that are kept: name → type of Spark, dtype of pandas."""

    def schema(self, frame: Any) -> str:
        """The columns of the result, for Spark.

        Args:
            frame: the DataFrame of Spark that is scored.
        """
        given = dict(frame.dtypes)
        kept = {name: given[name] for name in self._named(given)}
        return declared(kept | {name: kind for name, (kind, _) in self.columns.items()})

    def meta(self, frame: Any) -> pd.DataFrame:
        """An empty result, for Dask.

        Args:
            frame: the DataFrame of Dask that is scored.
        """
        return self._empty(frame._meta)

    def _named(self, given: Iterable[str]) -> Sequence[str]:
        """The columns to keep, which must be there."""
        lost = [name for name in self.keep if name not in set(given)]
        if lost:
            raise SchemaError(f"there is no column {lost[0]!r} to keep; the columns are {', '.join(map(str, given))}")
        both = [name for name in self.keep if name in self.columns]
        if both:
            raise OptionError(f"column {both[0]!r} cannot be kept, since the result has one of this name; rename it")
        return self.keep

    def _empty(self, frame: pd.DataFrame) -> pd.DataFrame:
        kept = frame[list(self._named(frame.columns))].iloc[:0]
        return kept.assign(**{name: pd.Series(dtype=kind) for name, (_, kind) in self.columns.items()})


def declared(types: dict[str, str]) -> str:
    """Columns and their types in Spark's language."""
    return ", ".join(f"`{name}` {kind}" for name, kind in types.items())


@dataclass(frozen=True)
class Shipped(Mapped, Generic[E]):
    """A detector that is sent to other processes, and maps a DataFrame of pandas to another.

    Args:
        model: path of a model file, which is read at once, or its content.
        keep: columns of the input that are repeated beside the scores, such as an id.
        threads: of a process; engines start one for each core.
    """

    model: bytes = field(repr=False)
    keep: Sequence[str] = ()
    threads: int = 1

    takes: ClassVar[type[Estimator]]

    def __post_init__(self) -> None:
        content = self.model if isinstance(self.model, bytes) else Path(named(self.model)).read_bytes()
        object.__setattr__(self, "model", content)
        object.__setattr__(self, "keep", [self.keep] if isinstance(self.keep, str) else [*self.keep])
        if not isinstance(self.detector, self.takes):
            raise OptionError(
                f"{type(self).__name__} takes a model of {self.takes.kind} data, not {self.detector.kind}"
            )

    @cached_property
    def checksum(self) -> str:
        """Checksum of the model file."""
        return sha256(self.model).hexdigest()

    @property
    def detector(self) -> E:
        """The detector, loaded once in each process."""
        return model_of(self.model, self.checksum, self.threads)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "checksum"}


JUDGED = {"score": ("double", "float64"), "p_value": ("double", "float64"), "is_anomaly": ("boolean", "bool")}
NAMED = {"score": ("double", "float64"), "p_value": ("double", "float64"), "is_anomaly": ("boolean", "boolean")}
"""The same where some are missing."""
REASON = {"reason": ("string", "string")}


@dataclass(frozen=True)
class Scoring(Shipped[TabularMemAE]):
    """Scores rows of tables in any engine: columns score, p_value and is_anomaly beside those of `keep`.

    A column that is missing in a whole table and was never in training is refused: engines fill a column that a file
    lacks with nulls.

    Args:
        model: path of a model file, which is read at once, or its content.
        keep: columns of the input that are repeated beside the scores, such as an id.
        threads: of a process; engines start one for each core.
        on_bad: "raise", or "row": a row that cannot be scored has no score, but a reason in the column "reason".
        may_lack: columns that may be missing in a whole table although they never were in training.

    Example:
        >>> import pickle, tempfile
        >>> rows = pd.DataFrame({"id": range(50), "a": range(50)})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     TabularMemAE(ignore=["id"], keep_columns=["a"]).fit(rows).save(Path(folder) / "m")
        ...     score = pickle.loads(pickle.dumps(Scoring(Path(folder) / "m", keep=["id"])))
        >>> score(rows).columns.tolist()
        ['id', 'score', 'p_value', 'is_anomaly']
    """

    on_bad: OnBad = "raise"
    may_lack: Sequence[str] = ()

    takes = TabularMemAE

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.detector.roles_.sequential:
            times = ", ".join(repr(time.name) for time in self.detector.roles_.times)
            message = (
                f"the first row of each table that an engine hands over has no time since the row before ({times})"
            )
            warnings.warn(f"{message}; its score may differ from that of one process", MemaeWarning, stacklevel=3)

    @property
    def columns(self) -> dict[str, tuple[str, str]]:
        """See `Shipped.columns`."""
        return JUDGED if self.on_bad == "raise" else NAMED | REASON

    def __call__(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Scores a table, which may be empty.

        Raises:
            SchemaError: a column is missing, or holds other things than in training.
            InputError: a number is infinite.
        """
        kept = frame[list(self._named(frame.columns))]
        if not len(frame):
            return self._empty(frame)
        check_complete(self.detector, frame, self.may_lack, lambda rows: self._ids(frame, rows))
        bad: dict[int, str] = {}
        try:
            found = self._table(frame)
        except (InputError, CellError) as error:
            if self.on_bad == "raise":
                raise self._located(frame, error) from error
            bad = dict(_bad_rows(self._read, frame, 0))
            found = self._table(frame.iloc[[index for index in range(len(frame)) if index not in bad]])
            found.index = pd.Index([index for index in range(len(frame)) if index not in bad])
            found = found.reindex(range(len(frame)))
        if self.on_bad == "row":
            found = found.astype({"is_anomaly": "boolean"})
            found["reason"] = pd.Series([bad.get(index) for index in range(len(frame))], dtype="string")
        return kept.assign(**{name: found[name].set_axis(frame.index) for name in found.columns})

    def _table(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Scores, p-values and flags of rows that can be read, of which there may be none."""
        judged = self._judged(frame) if len(frame) else Judged.joined([])
        return pd.DataFrame({name: values.numpy() for name, values in judged._asdict().items()})

    def _judged(self, frame: pd.DataFrame) -> Judged:
        detector = self.detector
        parts = detector.kind_.scored(detector.scorer_, detector.kind_.open(frame, notes=Notes()))
        return Judged.joined(part.judged for part in parts)

    def _read(self, frame: pd.DataFrame) -> None:
        """Raises what scoring would, without the scores."""
        for _ in self.detector.kind_.open(frame, notes=Notes()):
            pass

    def _located(self, frame: pd.DataFrame, error: Exception) -> Exception:
        """The same error, with the id of the first bad row."""
        index, _ = next(_bad_rows(self._read, frame, 0), (None, ""))
        if index is None:
            return error
        told = f"{error}; the first such row is number {index} of {len(frame)} handed over{self._ids(frame, [index])}"
        return type(error)(told)

    def _ids(self, frame: pd.DataFrame, indices: Sequence[int]) -> str:
        """What names rows: the columns that are kept, or the index."""
        rows = frame.iloc[sorted({*indices})]
        named = [", ".join(f"{name} = {row[name]!r}" for name in self.keep) for _, row in rows.iterrows()]
        told = named if self.keep else [f"index {label!r}" for label in rows.index]
        return f" ({' to '.join(told)})"


def _longest(missing: NDArray[np.bool_]) -> tuple[int, int]:
    """First index of the longest stretch of True in `(n,)`, and the index after its last."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], missing, [False])).astype(np.int8))).reshape(-1, 2)
    first, last = edges[(edges[:, 1] - edges[:, 0]).argmax()] if len(edges) else (0, 0)
    return int(first), int(last)


def check_complete(
    detector: TabularMemAE,
    frame: pd.DataFrame,
    may_lack: Sequence[str],
    named: Callable[[Sequence[int]], str] = lambda _: "",
) -> None:
    """Raises SchemaError for a column that had a value in every row of training, and has none in too many at a stretch.

    Args:
        detector: fitted.
        frame: rows to score, of which there is at least one.
        may_lack: columns without values that are expected.
        named: names rows, given by their indices, in the error.
    """
    known = {column.name: column for column in detector.encoder_.columns}
    for name in detector.roles_.names:
        column = known.get(name)
        if column is None or name in may_lack or name not in frame.columns:
            continue
        if not column.missing and "" not in column.categories:
            first, last = _longest(frame[name].isna().to_numpy())
            if last - first >= min(LACKING, len(frame)):
                raise SchemaError(
                    f"column {name!r} is missing in all {last - first} rows{named([first, last - 1])}, and never was "
                    "in training: the file they come from may lack it; add it, or give may_lack"
                )


def _bad_rows(read: Any, frame: pd.DataFrame, start: int) -> Iterator[tuple[int, str]]:
    """Index and reason of each row that cannot be read, found by halves."""
    try:
        read(frame)
    except (InputError, CellError) as error:
        if len(frame) == 1:
            yield start, str(error)
            return
        half = len(frame) // 2
        yield from _bad_rows(read, frame.iloc[:half], start)
        yield from _bad_rows(read, frame.iloc[half:], start + half)


@dataclass(frozen=True)
class Files(Shipped[E]):
    """Scores files whose paths are in a column; pixels need not be sent, and all are read as in training.

    Args:
        model: path of a model file, which is read at once, or its content.
        keep: columns of the input that are repeated beside the scores.
        threads: of a process; engines start one for each core.
        path: column with the paths.
    """

    path: str = "path"

    more: ClassVar[dict[str, tuple[str, str]]] = {}

    @property
    def columns(self) -> dict[str, tuple[str, str]]:
        """See `Shipped.columns`."""
        return {self.path: ("string", "string")} | self.more | NAMED | REASON

    def __call__(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Scores files; those that cannot be read have no score, but a reason."""
        if self.path not in frame.columns:
            raise SchemaError(
                f"there is no column {self.path!r} with paths; the columns are {', '.join(frame.columns)}"
            )
        kept = frame[list(self._named(frame.columns))]
        tables = [self._of(paths) for paths in self._together([Path(path) for path in frame[self.path]])]
        if not tables:
            return self._empty(frame)
        found = pd.concat(tables)
        beside = kept.assign(**{self.path: [text_of(Path(path)) for path in frame[self.path]]})
        return (
            beside.drop_duplicates(self.path)
            .merge(found, on=self.path, how="inner")
            .astype({name: kind for name, (_, kind) in self.columns.items()})
        )

    def _together(self, paths: list[Path]) -> list[list[Path]]:
        """Paths that are read together."""
        return [list(dict.fromkeys(paths))] if paths else []

    def _of(self, paths: list[Path]) -> pd.DataFrame:
        """Rows with the scores of files, and one with a reason for each that cannot be read, or not to its end."""
        notes, kind = Notes(), self.detector.kind_
        tables: list[pd.DataFrame] = []
        try:
            tables.extend(map(rows_of, kind.scored(self.detector.scorer_, kind.open(paths, notes=notes))))
        except InputError:
            if not notes.unread:
                raise
        bad = pd.DataFrame({"path": map(text_of, notes.unread), "reason": notes.unread.values()})
        found = pd.concat([*tables, bad], ignore_index=True)
        found = found.reindex(columns=["path", *self.more, *NAMED, "reason"]).rename(columns={"path": self.path})
        return found.astype({"is_anomaly": "boolean", "reason": "string"})


@dataclass(frozen=True)
class Pictures(Files[ImageMemAE]):
    """Scores pictures whose paths are in a column: one row for each; see `Files`."""

    takes = ImageMemAE


@dataclass(frozen=True)
class Films(Files[VideoMemAE]):
    """Scores films whose paths are in a column: one row for each frame, with its number and time; see `Files`."""

    takes = VideoMemAE
    more: ClassVar[dict[str, tuple[str, str]]] = {"frame": ("bigint", "Int64"), "time": ("double", "float64")}

    def _together(self, paths: list[Path]) -> list[list[Path]]:
        return [[path] for path in dict.fromkeys(paths)]
