"""Opens a shelf: a mapping from keys to detectors, of which some are held in memory."""

import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from memae.data.tables import listed
from memae.errors import GroupError, InputError, ModelFileError
from memae.estimators import TabularMemAE, load
from memae.modelfile.artifact import PARQUET
from memae.shelves.groups import MODEL, TYPES, Group, group_of, kinds_of
from memae.shelves.keys import Key, shown

if TYPE_CHECKING:
    import pyarrow.parquet as pq

MEGABYTES = 256.0
"""Models that are held in memory, by default."""
OVERHEAD = 2**17
"""Bytes that a model in memory takes besides those of its file."""


class _Place(NamedTuple):
    """Where the model of a group lies."""

    file: int
    row_group: int
    row: int


class Found(NamedTuple):
    """The detector for a group."""

    detector: TabularMemAE
    shared: bool  # whether it is the one that groups share


class Shelf(Mapping[Any, TabularMemAE]):
    """The detectors of many groups, such as devices, by their keys: what `memae fit table --by` has written.

    `shelf["d042"]` is the detector of a group; if several columns tell groups, `shelf["d042", "north"]`. Those used
    last stay in memory. Groups that were too small for one have the shared detector, if there is one. Groups that
    could not be fitted are no part of the mapping. Nothing in a shelf can run code. Several threads may use one.

    Args:
        path: a file, or a folder of files, as engines write it.
        megabytes: of detectors that are held in memory.
        false_alarm_rate: share of normal rows that may be flagged; None for what each was fitted with.

    Attributes:
        keys_: the `Keys`: names of the columns that tell groups, and what they hold.
        groups: key → `Group` without its model, in order, with those that could not be fitted.
        shared: the `Group` of the shared detector without its model, None if there is none.
        rougher: keys of the detectors loaded so far that cannot promise `false_alarm_rate`, but a higher rate.

    Raises:
        ModelFileError: there is no such file, or it is damaged or no shelf.

    Example:
        >>> import tempfile
        >>> import pandas as pd
        >>> from memae.parallel import Fitting
        >>> rows = pd.DataFrame({"device": ["a", "b"] * 50, "load": [1, 4, 2, 7] * 25, "heat": [5, 3, 8, 4, 6] * 20})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     fit = Fitting("device")
        ...     fit.save(fit(rows), Path(folder) / "models.parquet")
        ...     shelf = Shelf(Path(folder) / "models.parquet")
        ...     list(shelf), shelf["a"].predict(rows[["load", "heat"]]).shape
        (['a', 'b'], (100,))
    """

    def __init__(
        self, path: str | Path, *, megabytes: float = MEGABYTES, false_alarm_rate: float | None = None
    ) -> None:
        self.path = Path(path)
        self.rougher: set[Key | None] = set()
        self._most = megabytes * 1e6
        self.false_alarm_rate = false_alarm_rate
        self._lock = threading.RLock()
        self._held: OrderedDict[Key | None, tuple[TabularMemAE, int]] = OrderedDict()
        self._bytes = 0
        self._read: tuple[int, int, Any] | None = None  # file, row group, and its models: neighbours lie together
        self._files = _opened(self.path)
        self._places: dict[Key | None, _Place] = {}
        self.groups: dict[Key, Group] = {}
        self.shared: Group | None = None
        self.without_key: Group | None = None
        names = tuple(name for name in self._files[0].schema_arrow.names if name not in TYPES)
        for file in range(len(self._files)):
            self._index(file, names)
        self.keys_ = kinds_of(names, self.groups)
        self.groups = dict(sorted(self.groups.items()))
        self._ordered = [key for key, group in self.groups.items() if self._has_model(group)]

    def _index(self, file: int, names: tuple[str, ...]) -> None:
        """Notes the groups of a file."""
        try:
            opened = self._files[file]
            rows = opened.read(columns=[*names, *(name for name in TYPES if name != MODEL)]).to_pylist()
            sizes = [opened.metadata.row_group(number).num_rows for number in range(opened.num_row_groups)]
            places = [_Place(file, number, row) for number, size in enumerate(sizes) for row in range(size)]
            for place, row in zip(places, rows, strict=True):
                self._note(group_of(names, row), place)
        except ModelFileError:
            raise
        except Exception as error:  # a file can be wrong in any way
            raise _damaged(self.path, error) from error

    def _note(self, group: Group, place: _Place) -> None:
        if group.is_shared_model:
            self.shared = group if group.error is None else None
        elif group.key is None:
            self.without_key = group
            return
        elif group.key in self.groups:
            raise ModelFileError(f"{self.path} has the group {shown(group.key)} twice; write each once")
        else:
            self.groups[group.key] = group
        self._places[group.key] = place

    def _has_model(self, group: Group) -> bool:
        return group.error is None and (self.shared is not None or not group.shared)

    # ---------------------------------------------------------------------------------------------------- a mapping

    def __getitem__(self, key: Any) -> TabularMemAE:
        """The detector of a group.

        Raises:
            GroupError: it has none; a `KeyError`.
            ModelFileError: it is damaged.
        """
        try:
            found = self.keys_.of(key)
        except InputError as error:
            raise GroupError(str(error)) from error
        return self.find(found).detector

    def __contains__(self, key: object) -> bool:
        try:
            group = self.groups.get(self.keys_.of(key))
        except InputError:
            return False
        return group is not None and self._has_model(group)

    def __iter__(self) -> Iterator[Any]:
        return (key[0] if len(key) == 1 else key for key in self._ordered)

    def __len__(self) -> int:
        return len(self._ordered)

    def __repr__(self) -> str:
        return f"<shelf of {len(self):,} models by {', '.join(self.keys_.names)}: {self.path}>"

    @property
    def errors(self) -> dict[Key, str]:
        """Why groups have no detector, by key."""
        return {key: group.error for key, group in self.groups.items() if group.error is not None}

    # ------------------------------------------------------------------------------------------------ what is known

    @property
    def in_order(self) -> bool:
        """Whether the score of a row may depend on the rows before it."""
        return any(group.in_order for group in self._all())

    @property
    def text(self) -> list[str]:
        """Columns of text files that are read literally."""
        return sorted({name for group in self._all() for name in group.text})

    @cached_property
    def sample(self) -> TabularMemAE:
        """Any detector, which tells how the file of training was written."""
        if self.shared is None and not self._ordered:
            raise ModelFileError(f"{self.path} has no model: no group could be fitted; see `memae inspect {self.path}`")
        first = None if self.shared is not None else self._ordered[0]
        return self.find(first, shared=True).detector

    def _all(self) -> Iterator[Group]:
        yield from self.groups.values()
        if self.shared is not None:
            yield self.shared

    # --------------------------------------------------------------------------------------------------------- models

    def find(self, key: Key | None, *, shared: bool = False) -> Found:
        """The detector for a group.

        Args:
            key: of the group, as `keys_` gives it; None for none.
            shared: whether a group without a detector gets the shared one.

        Raises:
            GroupError: it has none.
            ModelFileError: it is damaged.
        """
        group = None if key is None else self.groups.get(key)
        if group is not None and group.error is None and not group.shared:
            return Found(self._held_model(key), False)
        if self.shared is not None and (shared or (group is not None and group.shared)):
            return Found(self._held_model(None), True)
        raise GroupError(self._why(key, group))

    def content(self, key: Key | None) -> bytes:
        """The content of a group's model file, or of the shared one for None."""
        place = self._places[key]
        with self._lock:
            if self._read is None or self._read[:2] != place[:2]:
                try:
                    models = self._files[place.file].read_row_group(place.row_group, columns=[MODEL]).column(0)
                except Exception as error:
                    raise _damaged(self.path, error) from error
                self._read = (place.file, place.row_group, models)
            return bytes(self._read[2][place.row].as_py() or b"")

    def _held_model(self, key: Key | None) -> TabularMemAE:
        """A detector of this file, loaded if it is not in memory."""
        with self._lock:
            if key not in self._held:
                content = self.content(key)
                self._held[key] = self._loaded(key, content), len(content) + OVERHEAD
                self._bytes += self._held[key][1]
                while self._bytes > self._most and len(self._held) > 1:
                    self._bytes -= self._held.popitem(last=False)[1][1]
            self._held.move_to_end(key)
            return self._held[key][0]

    def _loaded(self, key: Key | None, content: bytes) -> TabularMemAE:
        named = "the shared model" if key is None else f"the model of {shown(key)}"
        try:
            detector = load(content)
        except ModelFileError as error:
            raise ModelFileError(f"{self.path}, {named}: {error}") from error
        if not isinstance(detector, TabularMemAE):
            raise ModelFileError(f"{self.path}, {named} is for {detector.kind} data; a shelf has models of tables")
        if self.false_alarm_rate is not None:
            least = detector.calibration_.smallest_rate()
            self.rougher |= {key} if least > self.false_alarm_rate else set()
            detector.recalibrate(false_alarm_rate=max(self.false_alarm_rate, least))
        return detector

    def _why(self, key: Key | None, group: Group | None) -> str:
        if key is None:
            return f"it has no value in {listed(self.keys_.names)}"
        if group is None:
            return f"{shown(key)} is not on the shelf{self._near(key)}"
        if group.error is not None:
            return f"{shown(key)} has no model: {group.error}"
        return f"{shown(key)} has no model of its own, and this shelf has none that is shared"

    def _near(self, key: Key) -> str:
        """The neighbours of a key that is not there."""
        try:
            at = bisect_left(self._ordered, key)
        except TypeError:
            return f", which has {' and '.join(self.keys_.kinds)} as keys"
        near = [shown(each) for each in self._ordered[max(at - 1, 0) : at + 1]]
        return f"; its neighbours there are {' and '.join(near)}" if near else ""


def shelf(path: str | Path, *, megabytes: float = MEGABYTES, false_alarm_rate: float | None = None) -> Shelf:
    """Opens a shelf: the detectors of many groups, by their keys.

    Args:
        path: what `memae fit table --by` has written, or a folder of such files.
        megabytes: of detectors that are held in memory.
        false_alarm_rate: share of normal rows that may be flagged; None for what each was fitted with.

    Raises:
        ModelFileError: there is no such file, or it is damaged or no shelf.
    """
    return Shelf(path, megabytes=megabytes, false_alarm_rate=false_alarm_rate)


def is_shelf(path: Path) -> bool:
    """Whether a path that should be a model is a Parquet file or a folder of them."""
    if path.is_dir():
        return any(path.glob("*.parquet"))
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(PARQUET)) == PARQUET


def _opened(path: Path) -> "list[pq.ParquetFile]":
    """The files of a shelf."""
    import pyarrow.parquet as pq  # noqa: PLC0415 (only shelves need it)

    paths = sorted(each for each in path.glob("*.parquet") if each.name[0] not in "._") if path.is_dir() else [path]
    if not paths or not paths[0].is_file():
        raise ModelFileError(f"{path} is no shelf of models; give a file that `memae fit table --by` has written")
    files = []
    for each in paths:
        try:
            files.append(pq.ParquetFile(each))
        except Exception as error:
            raise _damaged(each, error) from error
        names = files[-1].schema_arrow.names
        if not set(names) >= set(TYPES) or len(names) == len(TYPES):
            raise ModelFileError(f"{each} is a Parquet file, but not a shelf that `memae fit table --by` has written")
    return files


def _damaged(path: Path, error: Exception) -> ModelFileError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return ModelFileError(f"{path} is damaged or not a shelf ({reason}); copy it again or refit")
