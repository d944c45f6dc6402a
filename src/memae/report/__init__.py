"""Scores and explanations as one HTML page for people who have never heard of an autoencoder.

The page is self-contained and has no scripts, so it opens offline. It is made in constant memory: a first pass over
the source scores all samples, and a second one, which ends at the last sample to explain, explains the highest.
"""

from collections.abc import Sequence
from pathlib import Path

from memae.estimators import Estimator
from memae.estimators.examples import root_of
from memae.files import replacing
from memae.kinds import Words
from memae.markup import Html, page, tag
from memae.report.atlas import atlas
from memae.report.origin import Origin, health, provenance
from memae.report.reasons import in_common, reasons
from memae.report.scores import scores
from memae.report.style import STYLE
from memae.report.summary import summary
from memae.report.survey import Survey, survey
from memae.report.timelines import alarms, timelines

__all__ = ["Origin", "Survey", "drawn", "survey", "write"]


def write(
    detector: Estimator,
    source: str | Path,
    output: str | Path,
    *,
    top: int = 8,
    ignore: Sequence[str] = (),
    strict: bool = False,
    title: str | None = None,
    model: str | Path | None = None,
    command: str | None = None,
) -> Survey:
    """Writes a report on all samples of a source.

    Args:
        detector: a fitted detector.
        source: a file or folder, as for `anomaly_score`.
        output: the page; it is written completely or not at all.
        top: number of samples to explain.
        ignore: columns of a table that the model was not fitted with.
        strict: whether other such columns of a table, and another order of columns, are errors.
        title: title of the page.
        model: file of the detector, shown on the page with its checksum.
        command: command that made the report, shown on the page.

    Returns:
        The data of the report.

    Raises:
        InputError: the source cannot be read or scored.
        OptionError: see `survey`.
        OutputError: the page cannot be written; an existing file is kept.
    """
    source = Path(source)
    found = survey(detector, source, top, ignore, strict=strict)
    origin = Origin(None if model is None else Path(model), source, command)
    html = drawn(detector, found, origin, title or f"What is unusual in {source.name or source.resolve().name}")
    with replacing(output) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return found


def drawn(detector: Estimator, found: Survey, origin: Origin, title: str) -> Html:
    """The page as HTML."""
    words = detector.kind_.words
    sections = _sections(detector, found, origin, words)
    lead = f"What a model that has learned from normal {words.many} alone finds unlike them in {origin.source.name}."
    links = (tag("a", name, href=f"#{name}") for name in sections)
    parts = (tag("section", content, id=name) for name, content in sections.items())
    return page(title, lead, [tag("nav", *links), tag("main", *parts)], STYLE)


def _sections(detector: Estimator, found: Survey, origin: Origin, words: Words) -> dict[str, Html]:
    """The sections by their short names, in the order of the page."""
    calibration, films, root = detector.calibration_, found.films, root_of(origin.source)
    sections = {"summary": summary(found, calibration, words), "scores": scores(found, calibration, words)}
    if films is not None:
        sections |= {"timeline": timelines(films, root), "alarms": alarms(films, root)}
    if found.common is not None and found.common.rows > 1:
        sections["columns"] = in_common(found.common, words)
    return sections | {
        "reasons": reasons(found.reasons, detector, words),
        "memory": atlas(detector, words),
        "health": health(detector, words),
        "origin": provenance(detector, found, origin, words),
    }
