"""A table that can be read any number of times."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pandas as pd

from memae.data.ahead import ahead
from memae.data.dialects import Dialect

FILE = "memae file"
"""Attribute of a chunk: number of its file in a folder."""
Chunks = Callable[[], Iterator[pd.DataFrame]]


@dataclass(frozen=True)
class TableReader:
    """A table, to be read any number of times.

    Args:
        chunks: reads it from the start.
        dialect: how it is written, as detected.
        text: columns that are read literally.
    """

    chunks: Chunks
    dialect: Dialect
    text: frozenset[str] = frozenset()

    def __call__(self) -> Iterator[pd.DataFrame]:
        """The table in chunks; a thread prefetches the next ones."""
        return ahead(self.chunks())
