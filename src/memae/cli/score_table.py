"""Scores as a table: the columns that identify a sample, then score, p_value, is_anomaly."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from memae.cli.paths import check_maps
from memae.data.images import write_heat_map
from memae.errors import OptionError
from memae.estimators import Estimator
from memae.kinds import Notes, Scored
from memae.scoring.calibration import discoveries


def scored(
    estimator: Estimator,
    source: Path,
    *,
    keep: bool = False,
    ignore: Sequence[str] = (),
    maps: Path | None = None,
    notes: Notes | None = None,
) -> Iterator[pd.DataFrame]:
    """One row for each sample of `source`, in parts.

    Args:
        estimator: a fitted estimator.
        source: data of its kind.
        keep: whether the input rows of a table are appended.
        ignore: columns of a table to leave out.
        maps: folder for heat maps of images or frames.
        notes: receives remarks on the source; see `memae.kinds.Kind.open`.

    Raises:
        OptionError: `keep` with images or video, or maps would be written where the source is read.
    """
    kind = estimator.kind_.ignoring(ignore)
    if keep and kind.pictured:
        raise OptionError("--keep is for tables; images and video are named by their path")
    if maps is not None:
        check_maps(kind.map_folders(source, maps))
        maps.mkdir(parents=True, exist_ok=True)
    parts = kind.scored(estimator.scorer_, kind.open(source, notes=notes), maps=maps is not None)
    return (_written(part, kind.map_files(source, part.names), maps) if maps else _rows(part, keep) for part in parts)


def scores_of(estimator: Estimator, source: Path, ignore: Sequence[str]) -> NDArray[np.float64]:
    """The scores `(n,)` of all samples of `source`, in order."""
    kind = estimator.kind_.ignoring(ignore)
    parts = kind.scored(estimator.scorer_, kind.open(source))
    return np.concatenate([part.judged.score.numpy() for part in parts])


def _rows(part: Scored, keep: bool) -> pd.DataFrame:
    named = {name: [*map(_text, column)] if name == "path" else column for name, column in part.names.items()}
    judged = part.judged._replace(is_anomaly=part.judged.is_anomaly.int())
    rows = pd.DataFrame(named | {name: column.numpy() for name, column in judged._asdict().items()})
    return _beside(rows, part.given) if keep else rows


def _text(path: Path) -> str:
    """A path as text; bytes that are not UTF-8, which file systems allow, are replaced."""
    return os.fsencode(path).decode(errors="replace")


def _beside(rows: pd.DataFrame, given: pd.DataFrame) -> pd.DataFrame:
    """Scores beside their input rows; an input column that is named like one of ours gets the suffix "_input"."""
    given = given.rename(columns=lambda name: f"{name}_input" if name in rows.columns else name)
    return pd.concat([rows, given.reset_index(drop=True)], axis=1)


def _written(part: Scored, files: Sequence[Path], maps: Path) -> pd.DataFrame:
    """Writes the heat maps of samples, and gives their rows."""
    assert part.heat is not None  # noqa: S101 (requested by `scored`)
    for file, shares in zip(files, part.heat, strict=True):
        path = maps / file
        path.parent.mkdir(parents=True, exist_ok=True)
        write_heat_map(shares.numpy(), path, top=1.0)
    return _rows(part, keep=False)


def discovered(parts: Iterable[pd.DataFrame], rate: float) -> tuple[list[pd.DataFrame], int]:
    """All rows with a column is_discovery for a false-discovery rate, and the number of discoveries.

    Whether a sample is a discovery depends on all others, so all rows are read before the first is returned.
    """
    known = list(parts)
    found = discoveries(torch.from_numpy(np.concatenate([part["p_value"] for part in known])), rate).int().numpy()
    marks = np.split(found, np.cumsum([len(part) for part in known])[:-1])
    return [_marked(part, mark) for part, mark in zip(known, marks, strict=True)], int(found.sum())


def _marked(rows: pd.DataFrame, discovery: NDArray[np.int32]) -> pd.DataFrame:
    rows = rows.rename(columns={"is_discovery": "is_discovery_input"})  # a column of the input
    rows.insert(list(rows.columns).index("is_anomaly") + 1, "is_discovery", discovery)
    return rows
