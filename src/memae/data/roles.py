"""What becomes of the columns of the user's table before they are encoded: left out, taken as they are, or as times."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
import pandas as pd

from memae.data.tables import TableEncoder, listed, missing_columns, unknown_columns
from memae.data.times import FORMATS, GAP, HOUR, TYPED, WEEKDAY, Time, durations
from memae.errors import ModelFileError, SchemaError
from memae.typed import typed


@dataclass(frozen=True)
class LeftOut:
    """A column that is left out, whether it is there or not."""

    name: str
    why: str  # completes "it holds …"


@dataclass(frozen=True)
class Roles:
    """What becomes of each column of the user's table.

    Args:
        names: columns that are read, in the order of training.
        left_out: the other columns of training.
        times: of the columns read, those that hold times.
        durations: of the columns read, those that hold durations, which become seconds.
    """

    names: tuple[str, ...]
    left_out: tuple[LeftOut, ...] = ()
    times: tuple[Time, ...] = ()
    durations: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """Names of the columns that are encoded, in order."""
        times = {time.name: time.columns for time in self.times}
        return [column for name in self.names for column in times.get(name, [name])]

    @property
    def sequential(self) -> bool:
        """Whether what is taken from a row may depend on the row before."""
        return bool(self.times)

    def of_training(self, frame: pd.DataFrame, *, strict: bool = False) -> tuple[pd.DataFrame, list[str]]:
        """The columns that are read, in the order of training, and the names of columns that training never had.

        Args:
            frame: rows of the user's table.
            strict: whether unknown columns and another order are errors.

        Raises:
            SchemaError: a column is missing; see also `strict`.
        """
        names = [str(name) for name in frame.columns]
        if names == [*self.names]:
            return frame, []
        gone = {each.name for each in self.left_out}
        here = [name for name in names if name not in gone]
        places = {name: index for index, name in enumerate(names)}
        lost = [name for name in self.names if name not in places]
        extra = [name for name in here if name not in set(self.names)]
        if lost:
            raise SchemaError(missing_columns(lost))
        if strict and extra:
            raise SchemaError(unknown_columns(extra))
        if strict and here != [*self.names]:
            raise SchemaError(
                f"columns are in another order; expected {listed([*self.names])}, got {listed(here)}; without --strict "
                "they are put in order"
            )
        return frame.iloc[:, [places[name] for name in self.names]], extra

    def difference(self, frame: pd.DataFrame) -> str:
        """How the columns of a table differ from those of training, in words."""
        try:
            self.of_training(frame, strict=True)
        except SchemaError as error:
            return str(error)
        return "give a table as in training"

    def reader(self) -> "Callable[[pd.DataFrame], pd.DataFrame]":
        """A function from consecutive chunks, as `of_training` gives them, to the columns that are encoded."""
        return _Reader(self).read if self.times or self.durations else _same

    def as_json(self) -> dict[str, Any]:
        """The roles as JSON-ready data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """The inverse of `as_json`; TypeError if the data does not fit."""
        roles: Self = typed(data, cls)
        return roles

    def check(self, columns: Sequence[str]) -> None:
        """Raises ModelFileError unless these columns are those that are encoded."""
        unknown = {part for time in self.times for part in time.parts} - {HOUR, WEEKDAY, GAP}
        if self.columns != [*columns] or unknown or {*(time.form for time in self.times)} - {TYPED, *FORMATS}:
            raise ModelFileError(f"its table gives the columns {listed(self.columns)}, not {listed(columns)}")

    @classmethod
    def plain(cls, encoder: TableEncoder) -> Self:
        """Those of a table whose columns are all encoded as they are."""
        return cls(tuple(column.name for column in encoder.columns))


def _same(frame: pd.DataFrame) -> pd.DataFrame:
    return frame


@dataclass
class _Reader:
    """Reads consecutive chunks; it knows the time of the last row."""

    roles: Roles
    before: dict[str, float] = field(default_factory=dict)  # column → time of the row before

    def read(self, frame: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame(dict(self._columns(frame)), copy=False)

    def _columns(self, frame: pd.DataFrame) -> Iterator[tuple[str, Any]]:
        times = {time.name: time for time in self.roles.times}
        for name, (_, series) in zip(self.roles.names, frame.items(), strict=True):
            if name in times:
                values, self.before[name] = times[name].derived(series, self.before.get(name, np.nan))
                yield from values.items()
            elif name in self.roles.durations:
                yield name, durations(series, name).array
            else:
                yield name, series.array
