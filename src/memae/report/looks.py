"""What a report collects besides scores: columns of flagged rows, alarms of videos."""

from collections.abc import Iterator
from functools import singledispatch
from pathlib import Path
from typing import NamedTuple

import torch

from memae.estimators import Estimator, TabularMemAE, VideoMemAE
from memae.estimators.examples import root_of, within
from memae.kinds import Kind, Notes, Scored, Tables
from memae.kinds.kind import Sample
from memae.report.films import Films, filmed
from memae.report.tally import Common
from memae.report.words import clock


class Chosen(NamedTuple):
    """A sample to explain."""

    name: str  # relative to the source
    sample: Sample
    alike: int = 1  # number of samples with exactly this score
    alarm: int | None = None  # number of the alarm whose peak it is


class Look:
    """What a report collects of samples of any kind: their scores, the highest of which are explained.

    Args:
        detector: a fitted detector.
        kind: the kind of data, which reads the source.
        source: a file or folder.
        notes: receives remarks on the source.
    """

    common: Common | None = None  # of tables
    films: Films | None = None  # of video

    def __init__(self, detector: Estimator, kind: Kind, source: Path, notes: Notes) -> None:
        self.detector = detector
        self.kind = kind
        self.source = source
        self.notes = notes

    def scored(self) -> Iterator[Scored]:
        """All samples, in parts."""
        return self.kind.scored(self.detector.scorer_, self.kind.open(self.source, notes=self.notes))

    def chosen(self, highest: list[tuple[Sample, int]], wanted: int) -> list[Chosen]:  # noqa: ARG002 (there are no more)
        """The samples to explain.

        Args:
            highest: samples with the highest scores, each with the number of samples of the same score.
            wanted: maximum number of samples.
        """
        root = root_of(self.source)
        return [Chosen(within(root, sample["path"]), sample, alike) for sample, alike in highest]


class _Columns(Look):
    """Adds, for tables, which columns make flagged rows unusual."""

    def __init__(self, detector: Estimator, kind: Tables, source: Path, notes: Notes) -> None:
        super().__init__(detector, kind, source, notes)
        self.table = kind
        self.common = self._counted = Common([column.name for column in kind.encoder.columns])

    def scored(self) -> Iterator[Scored]:
        for part in super().scored():
            flagged = part.judged.is_anomaly.nonzero().flatten().numpy()
            if len(flagged):
                parts = self.table.contributions_at(self.detector.scorer_, part.read, flagged)
                self._counted.add(parts, part.judged.score.numpy()[flagged], part.names["row"][0] + flagged)
            yield part
            del part  # frees it while the next one is read

    def chosen(self, highest: list[tuple[Sample, int]], wanted: int) -> list[Chosen]:  # noqa: ARG002 (there are no more)
        return [Chosen(f"row {sample['row']}", sample, alike) for sample, alike in highest]


class _Alarms(Look):
    """Adds, for videos, their alarms, whose peaks are explained."""

    def __init__(self, detector: VideoMemAE, kind: Kind, source: Path, notes: Notes) -> None:
        super().__init__(detector, kind, source, notes)
        self.watcher = detector
        self.films = self._kept = Films.of(detector)

    def scored(self) -> Iterator[Scored]:
        for path, frames in filmed(self.watcher, self.source, self._kept, self.notes):
            names = {"path": [path] * len(frames), "frame": [each.frame for each in frames]}
            scores = torch.tensor([each.score for each in frames], dtype=torch.float64)
            yield Scored(names, self.detector.calibration_.judge(scores))

    def chosen(self, highest: list[tuple[Sample, int]], wanted: int) -> list[Chosen]:  # noqa: ARG002 (alarms count)
        root = root_of(self.source)
        return [
            Chosen(
                f"{within(root, Path(moment.video))} at {clock(moment.time)}, frame {moment.frame}",
                {"path": Path(moment.video), "frame": moment.frame},
                alarm=alarm,
            )
            for moment, alarm in self._kept.moments(wanted)
        ]


@singledispatch
def look_at(detector: Estimator, kind: Kind, source: Path, notes: Notes) -> Look:
    """The `Look` for a kind of data."""
    return Look(detector, kind, source, notes)


@look_at.register
def _(detector: TabularMemAE, kind: Tables, source: Path, notes: Notes) -> Look:
    return _Columns(detector, kind, source, notes)


@look_at.register
def _(detector: VideoMemAE, kind: Kind, source: Path, notes: Notes) -> Look:
    return _Alarms(detector, kind, source, notes)
