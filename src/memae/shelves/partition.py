"""Divides a table into its groups; rows wait in temporary files, so that the table need not fit into memory."""

import pickle
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memae.data.tables import listed
from memae.errors import InputError
from memae.shelves.groups import kinds_of
from memae.shelves.keys import InGroups, Key, Keys

FILES = 32
"""Temporary files: of a table, as much as lies in one of them is held in memory at once."""


class Rows(NamedTuple):
    """The rows of a group."""

    key: Key
    frame: pd.DataFrame  # without the columns of the key


class Partition:
    """A table by groups; as a context, its temporary files are removed.

    Args:
        chunks: of the table, in order.
        names: columns that tell groups.
        near: the temporary files are made in this folder; None for the system's own.

    Raises:
        SchemaError: a column is missing.
        InputError: a value cannot be a key, columns hold several kinds, or no row has a key or other columns.
    """

    def __init__(self, chunks: Iterable[pd.DataFrame], names: Sequence[str], near: Path | None = None) -> None:
        self.rows: dict[Key, int] = {}
        """Number of rows of each group."""
        self.without_key = 0
        """Number of rows without a key."""
        self._numbers: dict[Key, int] = {}  # of groups, in the order of their first rows
        self._files: list[IO[bytes]] = [TemporaryFile(dir=near) for _ in range(FILES)]  # noqa: SIM115 (see `close`)
        keys = Keys(tuple(names))
        try:
            for chunk in chunks:
                self._add(chunk, keys.in_groups(chunk), names)
            self.by = self._told(names)
            """The columns that tell groups, and what they hold."""
        except BaseException:
            self.close()
            raise

    def _told(self, names: Sequence[str]) -> Keys:
        if not self.rows:
            raise InputError(f"no row has a value in {listed(names)}; give rows that tell their group")
        return kinds_of(names, self.rows)

    def _add(self, chunk: pd.DataFrame, groups: InGroups, names: Sequence[str]) -> None:
        counts = np.bincount(groups.codes, minlength=len(groups.keys)).tolist()
        for key, count in zip(groups.keys, counts, strict=True):
            if key is None:
                self.without_key += count
            else:
                self.rows[key] = self.rows.get(key, 0) + count
                self._numbers.setdefault(key, len(self._numbers))
        if chunk.shape[1] == len(names):
            raise InputError("the table has no other columns than those that tell groups; give what is to be learned")
        frame = chunk.drop(columns=list(names))
        number = np.array([-1 if key is None else self._numbers[key] for key in groups.keys], dtype=np.int64)
        of_row = number[groups.codes]
        file = np.where(of_row < 0, -1, of_row % FILES)
        order = np.argsort(file, kind="stable")
        starts = np.searchsorted(file[order], np.arange(FILES + 1))
        for at, (first, last) in enumerate(pairwise(starts)):
            if first < last:
                rows = order[first:last]
                pickle.dump((of_row[rows], frame.iloc[rows]), self._files[at])

    def __iter__(self) -> Iterator[Rows]:
        """The groups; rows are in the order of the table."""
        keys = list(self._numbers)
        for file in self._files:
            file.seek(0)
            parts: list[tuple[NDArray[np.int64], pd.DataFrame]] = list(_again(file))
            if not parts:
                continue
            numbers = np.concatenate([each for each, _ in parts])
            frame = pd.concat([each for _, each in parts], ignore_index=True)
            del parts
            order = np.argsort(numbers, kind="stable")
            found, starts = np.unique(numbers[order], return_index=True)
            for number, rows in zip(found.tolist(), np.split(order, starts[1:]), strict=True):
                yield Rows(keys[number], frame.iloc[rows].reset_index(drop=True))

    def sample(self, most: int, seed: int, keys: Collection[Key]) -> tuple[pd.DataFrame, NDArray[np.int64]]:
        """About `most` rows of some groups, as many of each, and a number for the group of each row `(n,)`.

        Args:
            most: maximum number of rows, unless there are more groups.
            seed: chooses them.
            keys: of the groups.
        """
        each = max(most // max(len(keys), 1), 1)
        frames = (rows.frame for rows in self if rows.key in keys)
        parts = [frame.sample(min(each, len(frame)), random_state=seed).sort_index() for frame in frames]
        whole = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
        return whole, np.repeat(np.arange(len(parts)), [*map(len, parts)])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Removes the temporary files."""
        for file in self._files:
            file.close()


def _again(file: IO[bytes]) -> Iterator[Any]:
    while True:
        try:
            yield pickle.load(file)  # noqa: S301 (our own, and without a name)
        except EOFError:
            return
