"""Many detectors in any engine: one for each group of rows, fitted and applied by functions from pandas to pandas."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from memae.data.tables import without
from memae.errors import InputError, MemaeWarning
from memae.parallel.scoring import NAMED, REASON, Mapped, check_complete, declared
from memae.shelves.fitting import Recipe
from memae.shelves.groups import TYPES, Group, checked_names, columns_of, groups_of, kinds_of, ordered, unkeyed
from memae.shelves.keys import Key, Keys, shown
from memae.shelves.reading import MEGABYTES, Shelf
from memae.shelves.scoring import ByGroup
from memae.shelves.writing import write


@dataclass(frozen=True)
class Fitting:
    """Fits one `TabularMemAE` for each group of rows, in any engine: rows in, rows of a shelf out.

    All rows of a group must come in one table, as engines hand them over by group. A group that cannot be fitted
    becomes a row with an error.

    Args:
        by: the columns that tell groups.
        settings: parameters of `TabularMemAE`.
        fewest: rows below which a group gets no model, 2 or more.

    Raises:
        OptionError: a column or `fewest` is not possible.

    Example:
        >>> fit = Fitting("device", {"ignore": ["id"]})
        >>> rows = pd.DataFrame({"device": ["a"] * 50 + ["b"], "id": range(51), "load": [1, 4, 2] * 17})
        >>> fit(rows)[["device", "rows", "error"]].values.tolist()
        [['a', 50, None], ['b', 1, '1 row given; at least 2 are needed, and 100 make sense']]
    """

    by: str | Sequence[str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    fewest: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "by", checked_names(self.by))
        _ = self.recipe

    @property
    def recipe(self) -> Recipe:
        """How each group is fitted."""
        return Recipe(self.settings, self.fewest)

    def __call__(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The groups of a table, one row each, with the columns of a shelf.

        Raises:
            SchemaError: a column that tells groups is missing.
            InputError: a value cannot tell a group.
        """
        found = Keys(tuple(self.by)).in_groups(frame)
        values = without(frame, self.by, strict=True)
        recipe = self.recipe
        groups = [
            unkeyed(self.by, len(rows)) if key is None else recipe.fitted(key, values.iloc[rows].reset_index(drop=True))
            for key, rows in found.rows()
        ]
        types = {name: dtype for name, (_, _, dtype) in TYPES.items()}
        columns = columns_of(self.by, groups).items()
        return pd.DataFrame({name: pd.Series(values, dtype=types.get(name)) for name, values in columns})

    def schema(self, frame: Any) -> str:
        """The columns of the result, for Spark.

        Args:
            frame: the DataFrame of Spark that is fitted to.
        """
        given = dict(frame.dtypes)
        return declared(
            {name: given[name] for name in self.by} | {name: spark for name, (_, spark, _) in TYPES.items()}
        )

    def save(self, rows: pd.DataFrame | Iterable[pd.DataFrame], path: str | Path) -> None:
        """Writes results as a shelf, whole or not at all.

        Args:
            rows: results of calls; each group once.
            path: of the file.

        Raises:
            InputError: a column that tells groups holds several kinds of values.
            OutputError: the file cannot be written.
        """
        parts = [rows] if isinstance(rows, pd.DataFrame) else rows
        groups: dict[Key | None, Group] = {}
        for group in (group for part in parts for group in groups_of(self.by, part)):
            known = groups.get(group.key)
            if known is not None and group.key is not None:
                raise InputError(f"the group {shown(group.key)} is there twice; give all of its rows in one table")
            groups[group.key] = group if known is None else unkeyed(self.by, group.rows + known.rows)
        write(Path(path), kinds_of(self.by, groups), (groups[key] for key in ordered(groups)))


@dataclass(frozen=True)
class ShelfScoring(Mapped):
    """Scores rows of many groups in any engine, each by the detector of its group on a shelf.

    Rows may come in any tables, those of one group in one table or several. Columns score, p_value, is_anomaly, shared
    and reason follow those that tell groups and those of `keep`. A row that cannot be scored has a reason instead.

    A column that is missing in a whole table and was never in training is refused: engines fill a column that a file
    lacks with nulls.

    Args:
        shelf: path of a shelf that all processes can read; each opens it once, and holds some of its detectors.
        keep: further columns of the input that are repeated beside the scores.
        by: columns that tell groups, where they are called otherwise than on the shelf.
        shared: whether rows of groups without a detector are scored by the shared one.
        may_lack: columns that may be missing in a whole table although they never were in training.
        megabytes: of detectors that a process holds in memory.

    Raises:
        ModelFileError: there is no such shelf, or it is damaged.
    """

    shelf: str | Path
    keep: Sequence[str] = ()
    by: Sequence[str] = ()
    shared: bool = False
    may_lack: Sequence[str] = ()
    megabytes: float = MEGABYTES

    def __post_init__(self) -> None:
        names = [self.by] if isinstance(self.by, str) else [*self.by]
        kept = [self.keep] if isinstance(self.keep, str) else [*self.keep]
        object.__setattr__(self, "by", names or [*self._opened.keys_.names])
        object.__setattr__(self, "keep", [*self.by, *(name for name in kept if name not in self.by)])
        if self._opened.in_order:
            message = "scores depend on the rows before in the table that an engine hands over"
            warnings.warn(f"{message}; give all rows of a group in one table, in order", MemaeWarning, stacklevel=3)

    @property
    def _opened(self) -> Shelf:
        path = Path(self.shelf).absolute()
        return _open(path, path.stat().st_mtime_ns if path.exists() else 0, self.megabytes)

    @property
    def columns(self) -> dict[str, tuple[str, str]]:
        """See `Mapped.columns`."""
        return NAMED | {"shared": ("boolean", "bool")} | REASON

    def __call__(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Scores a table, which may be empty.

        Raises:
            SchemaError: a column that tells groups is missing, or one to keep.
        """
        kept = frame[list(self._named(frame.columns))]
        if not len(frame):
            return self._empty(frame)
        score = ByGroup(self._opened, self.by, self.shared)
        found = score(frame, lambda detector, table: check_complete(detector, table, self.may_lack))
        found["reason"] = found["reason"].astype("string")
        return kept.assign(**{name: found[name].set_axis(frame.index) for name in self.columns})


@lru_cache(maxsize=2)
def _open(path: Path, changed: int, megabytes: float) -> Shelf:  # noqa: ARG001 (a shelf that was replaced is another)
    return Shelf(path, megabytes=megabytes)
