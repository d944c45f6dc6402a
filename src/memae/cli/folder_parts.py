"""Scores of a folder: one Parquet file for each piece, whose footer tells what it holds and what it was made of."""

import base64
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from memae.cli.score_table import scored
from memae.cli.writing import write_parquet
from memae.data.dialects import Dialect
from memae.engines.runtimes import Engine
from memae.errors import SourceError
from memae.estimators import Estimator, TabularMemAE, load
from memae.files import replacing, sweep
from memae.kinds import Kind, Notes
from memae.kinds.pieces import Piece
from memae.scoring.calibration import counts
from memae.scoring.drift import independent

FOOTER = "memae"
"""Name of our entry in the footer of a file."""


@dataclass
class Tally:
    """What files of scores hold; tallies of parts add up."""

    held_out: int  # number of held-out scores that p-values come from
    rows: int = 0
    flagged: int = 0
    independent: int = 0  # number of independent scores that those are worth; see `drift`
    p_values: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))  # see `calibration.counts`
    novel: dict[str, int] = field(default_factory=dict)  # see `Notes`
    unread: dict[str, str] = field(default_factory=dict)  # path → reason
    unknown: list[str] = field(default_factory=list)  # columns that are left out

    def __post_init__(self) -> None:
        if not len(self.p_values):
            self.p_values = torch.zeros(self.held_out + 2, dtype=torch.int64)

    def count(self, rows: pd.DataFrame) -> None:
        """Adds rows with scores."""
        self.rows += len(rows)
        self.flagged += int(rows["is_anomaly"].sum())
        self.p_values += counts(torch.from_numpy(rows["p_value"].to_numpy(dtype=np.float64)), self.held_out)

    def add(self, other: Self) -> None:
        """Adds another tally."""
        self.rows += other.rows
        self.flagged += other.flagged
        self.independent += other.independent
        self.p_values += other.p_values
        self.unread |= other.unread
        self.unknown += [name for name in other.unknown if name not in self.unknown]
        for name, number in other.novel.items():
            self.novel[name] = self.novel.get(name, 0) + number

    def as_json(self) -> str:
        """The tally as text; counts are packed, since there may be a million."""
        packed = zlib.compress(self.p_values.numpy().astype("<i8").tobytes())
        return json.dumps(
            {name: getattr(self, name) for name in asdict(self)} | {"p_values": base64.b64encode(packed).decode()}
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `as_json`."""
        given = json.loads(text)
        counted = np.frombuffer(zlib.decompress(base64.b64decode(given["p_values"])), dtype="<i8")
        return cls(**(given | {"p_values": torch.from_numpy(counted.astype(np.int64))}))


@dataclass(frozen=True)
class Scoring:
    """Scores a piece of a folder into a file; it can be sent to another process.

    Args:
        content: of the model file.
        output: folder for the files.
        false_alarm_rate: instead of the model's own.
        engine: inference engine.
        keep: whether the input rows of a table are appended.
        ignore: columns that are left out.
        strict: see `Kind.ignoring`.
        dialect: how files of tables are written.
    """

    content: bytes
    output: Path
    false_alarm_rate: float | None
    engine: Engine
    keep: bool
    ignore: tuple[str, ...]
    strict: bool
    dialect: Dialect

    def path(self, piece: Piece) -> Path:
        """The file of a piece."""
        name = piece.name if piece.name.lower().endswith(".parquet") else f"{piece.name}.parquet"
        return self.output / name

    def origin(self, piece: Piece) -> dict[str, str]:
        """What the file of a piece is made of: if that is the same, so are its rows."""
        return {"model": self.checksum, "settings": self.settings, "source": piece.stamp()}

    @cached_property
    def checksum(self) -> str:
        """Checksum of the model file."""
        return sha256(self.content).hexdigest()

    @property
    def settings(self) -> str:
        """Everything else that changes rows."""
        chosen = (self.false_alarm_rate, self.engine, self.keep, self.ignore, self.strict, asdict(self.dialect))
        return json.dumps(chosen)

    def known(self, piece: Piece) -> Tally | None:
        """What the file of a piece holds; None if there is none that was made of the same."""
        found = footer(self.path(piece))
        if found is None or found["origin"] != self.origin(piece):
            return None
        return Tally.from_json(found["tally"])

    @cached_property
    def estimator(self) -> Estimator:
        """The detector, loaded once in each process, to which it is not sent."""
        estimator = load(self.content)
        if self.false_alarm_rate is not None:
            estimator.recalibrate(false_alarm_rate=self.false_alarm_rate)
        if isinstance(estimator, TabularMemAE):
            estimator.read_as(self.dialect)
        return estimator.use_engine(self.engine)

    def __getstate__(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def kind(self) -> Kind:
        """Reads the data as the options say."""
        return self.estimator.kind_.ignoring(self.ignore, strict=self.strict)

    def __call__(self, piece: Piece) -> Tally:
        """Writes the file of a piece, whole or not at all."""
        origin = self.origin(piece)
        estimator, notes = self.estimator, Notes()
        tally = Tally(len(estimator.calibration_.scores))
        path = self.path(piece)
        path.parent.mkdir(parents=True, exist_ok=True)
        scores = list[Tensor]()

        def told() -> dict[str, str]:
            tally.independent = independent(torch.cat(scores)) if scores else tally.rows
            tally.novel, tally.unknown = notes.novel, notes.unknown
            tally.unread = {str(file): reason for file, reason in notes.unread.items()}
            return {FOOTER: json.dumps({"origin": origin, "tally": tally.as_json()})}

        sweep(path)
        with replacing(path) as temporary:
            write_parquet(self._counted(piece, notes, tally, scores), temporary, told)
        return tally

    def _counted(self, piece: Piece, notes: Notes, tally: Tally, scores: list[Tensor]) -> Iterator[pd.DataFrame]:
        """The rows of a piece, which are counted on their way; scores are kept where they follow each other."""
        try:
            for rows in scored(self.estimator, self.kind(), piece.source, keep=self.keep, notes=notes):
                tally.count(rows)
                if self.estimator.correlated and len(rows):
                    scores.append(torch.from_numpy(rows["score"].to_numpy(dtype=np.float64)))
                yield rows if "path" in rows else _of_file(rows, piece.name)
        except SourceError:
            if not notes.unread or tally.rows:
                raise
        if not tally.rows:  # none of the files can be read
            names = {"path": str} if isinstance(piece.source, Sequence) else {}
            frames = {"frame": np.int64, "time": np.float64} if self.estimator.kind == "video" else {}
            judged = {"score": np.float64, "p_value": np.float64, "is_anomaly": np.int32}
            yield pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in (names | frames | judged).items()})


def _of_file(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """Rows of a table with the name of their file, with which their numbers are unique in the folder."""
    rows = rows.rename(columns={"file": "file_input"})  # a column of the input
    rows.insert(0, "file", pd.Series(pd.Categorical([name] * len(rows)), rows.index))
    return rows


def footer(path: Path) -> Mapping[str, Any] | None:
    """Our entry in the footer of a file; None if it is not one of ours, or there is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_metadata(path).metadata or {}
    except (OSError, pa.ArrowException):
        return None
    entry = metadata.get(FOOTER.encode())
    return None if entry is None else dict(json.loads(entry))
