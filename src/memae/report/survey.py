"""One pass over what is reported on: all scores counted, and evidence for the highest."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from memae.data.images import find_images
from memae.data.table_files import table_chunks
from memae.data.tables import trimmed
from memae.drift import Drift
from memae.errors import OptionError
from memae.estimators import Estimator, ImageMemAE, TabularMemAE, VideoMemAE
from memae.estimators.examples import root_of, within
from memae.evidence import Evidence
from memae.report.films import Films, seen
from memae.report.tally import Common, Tally, Top
from memae.report.words import clock

ITEMS = 4
"""Memory items that are shown of a sample."""


class Reason(NamedTuple):
    """Why a sample is among the highest."""

    name: str  # as seen from the source
    evidence: Evidence
    alike: int = 1  # samples with exactly this score
    alarm: int | None = None  # number of the alarm whose peak it is


@dataclass(frozen=True)
class Survey:
    """All that a report says of the samples."""

    tally: Tally
    reasons: tuple[Reason, ...]  # highest score first
    drift: Drift
    remarks: tuple[str, ...] = ()  # what was odd about the source, a sentence each
    common: Common | None = None  # of tables
    films: Films | None = None  # of video


def survey(detector: Estimator, source: Path, top: int, ignore: Sequence[str] = ()) -> Survey:
    """Scores all of a source in constant memory.

    Args:
        detector: fitted.
        source: a file or folder of the kind of data it was fitted on.
        top: samples to explain.
        ignore: columns of a table that the model was not fitted with.

    Raises:
        InputError: the source cannot be read or scored.
        OptionError: `top` is below 1, or columns are ignored that are none of a table's.
    """
    if top < 1:
        raise OptionError(f"top must be 1 sample or more; got {top}")
    if isinstance(detector, TabularMemAE):
        return _of_table(detector, source, top, ignore)
    if ignore:
        raise OptionError("ignore is for tables; images and video have no columns")
    if isinstance(detector, VideoMemAE):
        return _of_video(detector, source, top)
    assert isinstance(detector, ImageMemAE)  # noqa: S101 (there is no other)
    return _of_images(detector, source, top)


def _of_table(detector: TabularMemAE, source: Path, wanted: int, ignore: Sequence[str]) -> Survey:
    tally, top = Tally(detector.calibration_), Top(wanted)
    common = Common(len(detector.encoder_.columns))
    rows: dict[int, pd.DataFrame] = {}  # the highest ones
    novel: dict[str, int] = {}
    for chunk in table_chunks(source, text=detector.encoder_.text)():
        known = trimmed(chunk, ignore, detector.ignore)
        scores, start = detector.anomaly_score(known), tally.count
        tally.add(scores)
        top.add(scores, start)
        flagged = np.flatnonzero(scores > detector.threshold_)
        if len(flagged):
            parts = detector.contributions(known.iloc[flagged]).to_numpy()
            common.add(parts, scores[flagged], start + flagged)
        rows = {place: known.iloc[[place - start]] if place >= start else rows[place] for place in top.places}
        for name, count in detector.encoder_.novelties(known).items():
            novel[name] = novel.get(name, 0) + count
    reasons = (
        Reason(f"row {place}", replace(evidence, name=f"row {place}"), alike)
        for place, alike in top.places.items()
        for evidence in detector.explain(rows[place], items=ITEMS)
    )
    remarks = (
        f"Column {name!r}: {count:,} of its values are missing, or such as training never showed."
        for name, count in novel.items()
    )
    return Survey(tally, tuple(reasons), detector.drifted(tally.sample), tuple(remarks), common)


def _of_images(detector: ImageMemAE, source: Path, wanted: int) -> Survey:
    paths, tally, top = find_images(source), Tally(detector.calibration_), Top(wanted)
    for part in detector.scores(paths, reasons=False):
        top.add(part.score.numpy(), tally.count)
        tally.add(part.score.numpy())
    chosen = [paths[place] for place in top.places]
    found = zip(chosen, detector.explain(chosen, items=ITEMS), top.places.values(), strict=True)
    root = root_of(source)
    reasons = tuple(Reason(within(root, path), evidence, alike) for path, evidence, alike in found)
    return Survey(tally, reasons, detector.drifted(tally.sample))


def _of_video(detector: VideoMemAE, source: Path, wanted: int) -> Survey:
    tally = Tally(detector.calibration_)
    films = seen(detector, source, tally)
    moments = films.moments(wanted)
    frames: dict[str, set[int]] = {}
    for moment, _ in moments:
        frames.setdefault(moment.video, set()).add(moment.frame)
    found = {
        (video, number): evidence
        for video, numbers in frames.items()
        for number, evidence in zip(sorted(numbers), _explained(detector, video, numbers), strict=True)
    }
    root = root_of(source)
    reasons = (
        Reason(
            f"{within(root, Path(moment.video))} at {clock(moment.time)}, frame {moment.frame}",
            found[moment.video, moment.frame],
            alarm=alarm,
        )
        for moment, alarm in moments
    )
    short = f"Videos of fewer than {detector.length} frames are too short to be scored: {films.short} of them."
    remarks = (short,) if films.short else ()
    return Survey(tally, tuple(reasons), detector.drifted(tally.sample), remarks, films=films)


def _explained(detector: VideoMemAE, video: str, frames: Collection[int]) -> Iterator[Evidence]:
    """Evidence of frames of a video, which is scored again up to the last of them."""
    return islice(detector.explain(video, items=ITEMS, only=frames), len(frames))
