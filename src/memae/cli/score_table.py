"""Scores as a table: the columns that identify a sample, then score, p_value, is_anomaly."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from memae.cli.paths import check_maps
from memae.data.images import write_picture
from memae.errors import OptionError
from memae.estimators import Estimator
from memae.kinds import Kind, Notes, Scored
from memae.kinds.kind import sample_at
from memae.scoring import Scorer
from memae.scoring.calibration import discoveries


class Places(NamedTuple):
    """What is written or told of where samples are anomalous."""

    maps: Path | None = None  # folder for a picture of each map
    masks: Path | None = None  # folder for a mask of each sample
    regions: bool = False  # whether rows get a column with the anomalous regions

    def check(self, kind: Kind, source: Path) -> None:
        """Makes the folders.

        Raises:
            OptionError: pictures would be written where the source is read, or maps and masks to one folder.
        """
        folders = [folder for folder in (self.maps, self.masks) if folder is not None]
        for folder in folders:
            check_maps(kind.map_folders(source, folder))
        if len(folders) == 2 and folders[0].resolve() == folders[1].resolve():
            raise OptionError(f"--maps and --masks are both {self.masks}; give each its own folder")
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def wanted(self) -> bool:
        """Whether maps are needed."""
        return self.maps is not None or self.masks is not None


def scored(
    estimator: Estimator,
    kind: Kind,
    source: Path,
    *,
    keep: bool = False,
    places: Places = Places(),  # noqa: B008 (immutable)
    notes: Notes | None = None,
) -> Iterator[pd.DataFrame]:
    """One row for each sample of `source`, in parts.

    Args:
        estimator: a fitted estimator.
        kind: reads its data.
        source: data of its kind.
        keep: whether the input rows of a table are appended.
        places: where images or frames are anomalous.
        notes: receives remarks on the source; see `memae.kinds.Kind.open`.

    Raises:
        OptionError: `keep` with images or video; see also `Places.check`.
    """
    if keep and kind.pictured:
        raise OptionError("--keep is for tables; images and video are named by their path")
    places.check(kind, source)
    scorer = estimator.scorer_
    parts = kind.scored(scorer, kind.open(source, notes=notes), maps=places.wanted)
    if not places.wanted:
        return (_rows(part, keep) for part in parts)
    return (_located(kind, scorer, part, kind.map_files(source, part.names), places) for part in parts)


def scores_of(
    estimator: Estimator, source: Path, ignore: Sequence[str], *, strict: bool = False
) -> NDArray[np.float64]:
    """The scores `(n,)` of all samples of `source`, in order; see `Kind.ignoring`."""
    kind = estimator.kind_.ignoring(ignore, strict=strict)
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


def _located(kind: Kind, scorer: Scorer, part: Scored, files: Sequence[Path], places: Places) -> pd.DataFrame:
    """Writes maps and masks of samples, and gives their rows."""
    regions = []
    for index, (file, where) in enumerate(zip(files, kind.located(scorer, part), strict=True)):
        if places.maps is not None:
            _write(kind.picture(where, sample_at(part.names, index)), places.maps / file)
        if places.masks is not None:
            _write(where.mask.astype(np.uint8) * 255, places.masks / file)
        regions.append(where.regions if places.regions else ())
    rows = _rows(part, keep=False)
    return rows.assign(regions=pd.Series(regions, dtype=object)) if places.regions else rows


def _write(pixels: NDArray[np.uint8], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(pixels, path)


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
