"""The data of a report: counts of all scores of a source, and evidence for the highest."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from memae.errors import OptionError
from memae.estimators import Estimator
from memae.estimators.examples import root_of, within
from memae.evidence import Evidence, Explainer
from memae.kinds import Notes
from memae.kinds.kind import Sample, sample_at
from memae.report.films import Films
from memae.report.looks import look_at
from memae.report.tally import Common, Tally, Top
from memae.scoring.drift import Drift

ITEMS = 4
"""Maximum number of memory items shown for a sample."""
LISTED = 10
"""Maximum number of unreadable files that are named."""


class Reason(NamedTuple):
    """The explanation of a sample with one of the highest scores."""

    name: str  # relative to the source
    evidence: Evidence
    alike: int = 1  # number of samples with exactly this score
    alarm: int | None = None  # number of the alarm whose peak it is


@dataclass(frozen=True)
class Survey:
    """The data of a report."""

    tally: Tally
    reasons: tuple[Reason, ...]  # highest score first
    drift: Drift
    remarks: tuple[str, ...] = ()  # sentences on anything unusual about the source
    common: Common | None = None  # for tables
    films: Films | None = None  # for video
    notes: Notes = field(default_factory=Notes)  # the facts behind `remarks`


def survey(detector: Estimator, source: Path, top: int, ignore: Sequence[str] = (), *, strict: bool = False) -> Survey:
    """Scores all samples of a source in constant memory, and explains the highest.

    Args:
        detector: a fitted detector.
        source: a file or folder of the kind of data it was fitted on.
        top: number of samples to explain.
        ignore: columns of a table that the model was not fitted with.
        strict: see `Kind.ignoring`.

    Raises:
        InputError: the source cannot be read or scored.
        OptionError: `top` is below 1, or `ignore` is given for data that is not a table.
    """
    if top < 1:
        raise OptionError(f"top must be 1 sample or more; got {top}")
    kind, notes = detector.kind_.ignoring(ignore, strict=strict), Notes()
    look = look_at(detector, kind, source, notes)
    tally, best = Tally(detector.calibration_), Top(top)
    samples: dict[int, Sample] = {}  # the highest ones
    for part in look.scored():
        scores, start = part.judged.score.numpy(), tally.count
        tally.add(scores)
        best.add(scores, start)
        samples = {
            index: sample_at(part.names, index - start) if index >= start else samples[index] for index in best.places
        }
        del part  # frees it while the next one is read
    chosen = look.chosen([(samples[index], alike) for index, alike in best.places.items()], top)
    explainer = Explainer(detector.scorer_, detector.examples_, ITEMS)
    evidence = kind.explain_again(explainer, source, [each.sample for each in chosen])
    reasons = (Reason(each.name, why, each.alike, each.alarm) for each, why in zip(chosen, evidence, strict=True))
    drift = detector.drifted(tally.sample)
    return Survey(tally, tuple(reasons), drift, tuple(_remarks(notes, source)), look.common, look.films, notes)


def _remarks(notes: Notes, source: Path) -> Iterator[str]:
    """Sentences on anything unusual about a source."""
    for name, count in notes.novel.items():
        yield f"Column {name!r}: {count:,} of its values are missing, or were never seen in training."
    if notes.unread:
        root = root_of(source)
        names = [within(root, path) for path in list(notes.unread)[:LISTED]]
        names += ["…"] if len(notes.unread) > LISTED else []
        listed = f"{len(notes.unread):,} of them ({', '.join(names)})"
        yield f"Files that could not be read and scored, or not to their end: {listed}."
    for omission in notes.omissions:
        yield f"{omission[0].upper()}{omission[1:]}."
