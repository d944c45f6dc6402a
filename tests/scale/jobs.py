"""What engines are given: tables, good and bad, and a function that kills its process once."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from memae.parallel import Scoring

FILES, ROWS = 6, 400


def rows(count: int, seed: int) -> pd.DataFrame:
    """Numbers, one of which may be missing, a category and an id."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(random.normal(size=(count, 6)), columns=[f"n{index}" for index in range(6)])
    frame.loc[random.random(count) < 0.1, "n3"] = np.nan
    return frame.assign(kind=random.choice(["x", "y"], count), id=[f"{seed}-{row}" for row in range(count)])


def written(folder: Path) -> list[pd.DataFrame]:
    """Writes a folder of Parquet files, and gives their tables."""
    folder.mkdir()
    tables = [rows(ROWS, number + 1) for number in range(FILES)]
    for number, table in enumerate(tables):
        table.to_parquet(folder / f"{number}.parquet")
    return tables


@dataclass(frozen=True)
class Mortal:
    """Scores, but the first process that is given the row `victim` is killed instead."""

    score: Scoring
    victim: str
    mark: Path

    def __call__(self, frame: pd.DataFrame) -> pd.DataFrame:
        if not self.mark.exists() and (frame["id"] == self.victim).any():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.score(frame)

    def each(self, frames: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        return map(self, frames)

    def schema(self, frame: Any) -> str:
        return self.score.schema(frame)

    def meta(self, frame: Any) -> pd.DataFrame:
        return self.score.meta(frame)


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def changed(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        change(pd.read_parquet(path)).to_parquet(path)

    return spoil


BAD: dict[str, Callable[[Path], None]] = {
    "cut file": cut,
    "infinity": changed(lambda table: table.assign(n1=[*table["n1"][:-1], np.inf])),
    "missing column": changed(lambda table: table.drop(columns="n5")),
    "another order": changed(lambda table: table[table.columns[::-1]]),
    "text in numbers": changed(lambda table: table.assign(n1=["?", *table["n1"][1:].map(str)])),
    "all missing": changed(lambda table: table.assign(n2=np.nan)),
}
"""What is done to one of the files. Only with another order are there scores, and they must be the same."""
