"""The last sections: the state of the memory, and the provenance of the report."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from memae.estimators import Estimator
from memae.health import Health
from memae.kinds import Words
from memae.markup import Html, heading, joined, table, tag
from memae.modelfile.artifact import versions
from memae.report.survey import Survey
from memae.report.words import counted, figure, share


class Origin(NamedTuple):
    """The inputs of a report."""

    model: Path | None  # None if the detector was not loaded from a file
    source: Path
    command: str | None = None


def health(detector: Estimator, words: Words) -> Html:
    """The section on the state of the memory."""
    lead = "Whether the model's memory is in order. If it is, the scores above rest on a working memory."
    return joined(
        [heading("Is the model well?", lead), tag("ul", *(tag("li", line) for line in _health(detector, words)))]
    )


def _health(detector: Estimator, words: Words) -> Iterator[str]:
    best, state, calibration = detector.best_epoch_, detector.health_, detector.calibration_
    trained = detector.scorer_.model.trained
    if state is not None:
        parts, busiest = figure(state.effective, 2), share(state.top_share)
        yield from _of_items(state, detector.collapse_) if trained else _of_kept(state, words)
        what = "items" if trained else f"kept {words.kept}"
        if trained or state.effective > 1:
            yield f"An answer combines {parts} {what} on average; the most used has {busiest} of all answers."
    if trained:
        kept = f"epoch {best.epoch} of {len(detector.history_)}, with a held-out error of {figure(best.held_out_error)}"
        yield f"The best state of the training was kept: {kept}."
    worth = detector.independent_
    alike = f", which are worth {worth:,} independent ones" * detector.correlated
    yield (
        f"The threshold rests on {counted(len(calibration.scores), words)}{alike}. The lowest false-alarm rate that "
        f"this number can promise is {share(1 / (worth + 1))}."
    )


def _of_items(state: Health, collapse: str | None) -> Iterator[str]:
    well = "Well: no item dominates the others, and queries find items that resemble them."
    yield well if collapse is None else f"Not well: {collapse}."
    yield (
        f"{state.in_use:,} of {state.items:,} items are used, and {state.duplicates:,} are nearly equal to another "
        "one. Unused and equal items cost a little time and do no harm."
    )
    rare = share(state.fallback_rate)
    yield f"In {rare} of the training queries no item was similar enough, and the most similar one was taken."


def _of_kept(state: Health, words: Words) -> Iterator[str]:
    yield (
        f"Well: nothing was trained that could have failed. The model has kept {state.items:,} {words.kept} of the "
        f"training data; {state.in_use:,} of them were among the nearest of another one."
    )


def provenance(detector: Estimator, found: Survey, origin: Origin, words: Words) -> Html:
    """The section on where the numbers come from."""
    lead = "What this report was made from, so that it can be reproduced and compared with others."
    rows = [[name, tag("code", fact)] for name, fact in _facts(detector, found, origin, words)]
    return joined([heading("Where this comes from", lead), table(["", ""], rows, "wide facts")])


def _facts(detector: Estimator, found: Survey, origin: Origin, words: Words) -> Iterator[tuple[str, str]]:
    calibration = detector.calibration_
    yield "reported on", f"{origin.source}, {counted(found.tally.count, words)}"
    if origin.model is not None:
        with origin.model.open("rb") as file:
            yield "model file", f"{origin.model}, sha256 {hashlib.file_digest(file, 'sha256').hexdigest()}"
    yield "model", f"{type(detector).__name__}({_chosen(detector)})"
    if detector.spec_.features is not None:
        yield "features", detector.spec_.features.origin
    yield "training data", f"sha256 {detector.checksum_}"
    yield "fitted with", _listed(detector.versions_)
    rate, calibrating = share(calibration.false_alarm_rate), len(calibration.scores)
    yield (
        "threshold",
        f"{calibration.threshold():.6g}, for a false-alarm rate of {rate} on {calibrating:,} normal {words.many}",
    )
    yield "report made", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    yield "with", _listed(versions())
    if origin.command is not None:
        yield "by", origin.command


def _chosen(detector: Estimator) -> str:
    """The parameters that differ from the defaults."""
    defaults = type(detector)().get_params()
    chosen = ((name, each) for name, each in detector.get_params().items() if _bare(each) != _bare(defaults[name]))
    return ", ".join(f"{name}={each!r}" for name, each in chosen)


def _bare(value: object) -> str:
    """A parameter as text, with a list as a tuple, since model files store tuples as lists."""
    return repr(tuple(value) if isinstance(value, list) else value)


def _listed(numbers: dict[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in numbers.items())
