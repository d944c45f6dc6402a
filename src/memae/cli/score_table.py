"""Scores as a table: the columns that identify a sample, then score, p_value, is_anomaly."""

import pickle
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, NamedTuple

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
from memae.kinds.rows import rows_of
from memae.scoring import Scorer
from memae.scoring.calibration import limit_among


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
    rows = rows_of(part)
    return beside(rows, part.given) if keep else rows


def beside(rows: pd.DataFrame, given: pd.DataFrame) -> pd.DataFrame:
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


def discovered(
    parts: Iterable[pd.DataFrame], rate: float, near: Path | None = None
) -> tuple[Iterator[pd.DataFrame], int]:
    """All rows with a column is_discovery for a false-discovery rate, and the number of discoveries.

    Whether a sample is a discovery depends on all others: rows wait in a temporary file until the last is known. Of the
    p-values, of which there are few different ones, only counts are held.

    Args:
        parts: rows with a column p_value; those without a value are no part of the batch.
        rate: the false-discovery rate, in (0, 1).
        near: the temporary file is made in the folder of this file; None for the system's own.
    """
    counted: Counter[float] = Counter()
    waiting = TemporaryFile(dir=None if near is None else near.parent)  # noqa: SIM115 (`_again` closes it)
    for part in parts:
        pickle.dump(part, waiting)
        values, counts = np.unique(part["p_value"].dropna().to_numpy(np.float64), return_counts=True)
        counted.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
    p_values = torch.tensor(sorted(counted), dtype=torch.float64)
    counts_of = torch.tensor([counted[value] for value in p_values.tolist()], dtype=torch.int64)
    highest = limit_among(p_values, counts_of, rate)
    waiting.seek(0)
    return (_marked(part, highest) for part in _again(waiting)), int(counts_of[p_values <= highest].sum())


def _again(waiting: IO[bytes]) -> Iterator[pd.DataFrame]:
    """The tables of a file that this process has written."""
    with waiting:
        while True:
            try:
                yield pickle.load(waiting)  # noqa: S301 (our own, and without a name)
            except EOFError:
                return


def _marked(rows: pd.DataFrame, highest: float) -> pd.DataFrame:
    discovery = pd.Series(rows["p_value"] <= highest).astype(rows["is_anomaly"].dtype)
    if rows["p_value"].isna().any():
        discovery[rows["p_value"].isna()] = pd.NA
    rows = rows.rename(columns={"is_discovery": "is_discovery_input"})  # a column of the input
    rows.insert(list(rows.columns).index("is_anomaly") + 1, "is_discovery", discovery)
    return rows
