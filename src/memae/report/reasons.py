"""The sections that explain: what flagged rows have in common, and each of the samples with the highest scores."""

from collections.abc import Sequence

import numpy as np

from memae.estimators import Estimator
from memae.evidence import Contribution, Evidence, Item
from memae.kinds import Words
from memae.markup import Html, heading, joined, picture, table, tag
from memae.pictures import drawn
from memae.report.pieces import bar, names, over, tile
from memae.report.survey import Reason
from memae.report.tally import Common
from memae.report.words import cut, figure, how_rare, share, value
from memae.scoring.calibration import Calibration

FIRST, REST = 6, 60
"""Number of columns shown at once, and number of further columns that can be unfolded."""
LISTED = 10
"""Maximum number of columns in the section on what flagged rows have in common."""
STANDS_OUT = 0.1
"""Share of a score from which a column stands out."""
CAPTIONS = {
    "sample": "input",
    "motion": "what moves in it: lighter or darker than grey",
    "reconstruction": "the same, as rebuilt from memory",
    "error_map": "bright where the two differ",
}

PHOTO = {"sample": "as it is", "error_map": "where it is unlike normal ones; boxes: flagged places"}
"""Captions of a photo, of which nothing is restored."""


def in_common(common: Common, words: Words) -> Html:
    """The section on all flagged rows of a table.

    Args:
        common: counts over the flagged rows.
        words: words for samples of this kind.
    """
    lead = (
        f"Which columns make {words.many} unusual: in how many of the {common.rows:,} flagged ones each column is the "
        "main reason, and its share in their scores. Look at the columns at the top first."
    )
    shares, order = common.shares, np.lexsort((-common.shares, -common.main))[:LISTED]
    most = float(shares.max())
    rows = [
        [
            cut(common.names[column]),
            f"{common.main[column]:,}",
            bar(float(shares[column]), most),
            f"row {common.example[column]}",
        ]
        for column in order.tolist()
        if common.main[column]
    ]
    head = ["column", "main reason in", "share of the scores, on average", "the highest of them"]
    return joined([heading(f"What flagged {words.many} have in common", lead), table(head, rows)])


def reasons(found: Sequence[Reason], detector: Estimator, words: Words) -> Html:
    """The section on the samples with the highest scores."""
    lead = words.chosen or (
        f"The {words.many} with the highest scores, the highest first, and what makes each unlike normal ones. "
    )
    lead += "Check whether you see why: what you can explain, you can act on."
    lead += words.numbering
    unseen = [part for name, part in words.unseen.items() if name in detector.scorer_.measured]
    note = f"The pictures show only one part of a score; it also counts {' and '.join(unseen)}."
    notes = [tag("p", note, class_="soft")] * bool(unseen)
    cards = (_card(number, reason, detector.calibration_, words) for number, reason in enumerate(found, 1))
    return joined([heading(f"Most anomalous {words.many}", lead), *notes, *cards])


def _card(number: int, reason: Reason, calibration: Calibration, words: Words) -> Html:
    evidence = reason.evidence
    text = f" score {figure(evidence.score)} (threshold {figure(evidence.threshold)}), p-value {evidence.p_value:.2g}: "
    text += f"{how_rare(evidence.p_value, len(calibration.scores), words)}."
    parts = (
        _of_columns(evidence, words)
        if evidence.contributions
        else [tag("div", _pictures(reason), *_items(evidence, words), class_="pair")]
    )
    title = tag("h3", f"{number}. {reason.name}")
    return tag("article", title, tag("p", _badge(evidence), text, *_more(reason, words)), *parts, class_="card")


def _badge(evidence: Evidence) -> Html:
    return tag("b", "flagged", class_="badge") if evidence.is_anomaly else tag("span", "not flagged", class_="calm")


def _more(reason: Reason, words: Words) -> list[str]:
    """A remark: the alarm of which the sample is the peak, or the number of samples with the same score."""
    if reason.alarm is not None:
        return [" It is the peak of ", tag("a", f"alarm {reason.alarm}", href=f"#alarm-{reason.alarm}"), "."]
    if reason.alike > 1:
        return [
            f" {reason.alike:,} {words.many} have exactly this score, so they are probably equal; this is the first."
        ]
    return []


# --------------------------------------------------------------------------------------------------------------- tables


def _of_columns(evidence: Evidence, words: Words) -> list[Html]:
    """What each column adds to the score, and the memory items that answered."""
    parts = evidence.contributions
    first, more, left = parts[:FIRST], parts[FIRST : FIRST + REST], len(parts) - FIRST - REST
    most = parts[0].share
    lines = [tag("p", _because(parts), class_="because"), _columns(first, most, words)]
    if more:
        note = [tag("p", f"… and {left:,} columns that add less.", class_="soft")] * (left > 0)
        lines.append(tag("details", tag("summary", f"{len(more)} more columns"), _columns(more, most, words), *note))
    if evidence.items:
        title = "What the model remembers that is nearest to it"
        lines.append(tag("details", tag("summary", title), _remembered(evidence.items, first, words)))
    return lines


def _because(parts: Sequence[Contribution]) -> str:
    """The columns that matter most, in a sentence."""
    reasons = [
        f"{cut(part.column)} is {value(part.value)} where {value(part.expected, 4)} was expected ({share(part.share)})"
        for part in parts[:3]
        if part.share >= STANDS_OUT
    ]
    if reasons:
        return f"Mostly because {'; '.join(reasons)}."
    return f"No column stands out. Most is added by {', '.join(cut(part.column) for part in parts[:3])}."


def _columns(parts: Sequence[Contribution], most: float, words: Words) -> Html:
    rows = [[cut(part.column), value(part.value), value(part.expected, 4), bar(part.share, most)] for part in parts]
    return table(["column", f"this {words.one}", "expected", "share of the score"], rows)


def _remembered(items: Sequence[Item], parts: Sequence[Contribution], words: Words) -> Html:
    """The items that answered, in the columns that matter most."""
    kept = all(item.sample for item in items)
    holds = f"normal {words.many} of the training data" if kept else f"typical {words.many}, its items,"
    note = (
        f"The memory holds {holds} and rebuilds each {words.one} from those that resemble it. Below are the "
        f"{words.many if kept else 'items'} used for this {words.one}, their shares of the answer, and their values in "
        "the columns that are off:"
    )
    cells = [{cell.column: cell.value for cell in item.row} for item in items]
    rows = [[cut(part.column), value(part.value), *(value(row.get(part.column), 4) for row in cells)] for part in parts]
    if not kept and any(item.neighbours for item in items):
        rows.append([f"nearest training {words.many}", "", *(names(item.neighbours) for item in items)])
    head = ["column", f"this {words.one}", *(over(item.title, share(item.weight)) for item in items)]
    return joined([tag("p", note, class_="soft"), table(head, rows)])


# ------------------------------------------------------------------------------------------------------------- pictures


def _pictures(reason: Reason) -> Html:
    evidence = reason.evidence
    photo = evidence.is_photo
    captions = PHOTO if photo else CAPTIONS
    shots = (
        tag("figure", picture(pixels, f"{reason.name}: {captions[name]}"), tag("figcaption", captions[name]))
        for name, pixels in evidence.shown
    )
    return tag("div", *shots, class_="shots" + " film" * (evidence.motion is not None) + " photo" * photo)


def _compared(items: Sequence[Item], words: Words) -> list[Html]:
    """The most anomalous places of a photo or a frame, each above the kept one nearest to it."""
    pairs = [
        tag(
            "figure",
            picture(drawn(item.place.picture), f"row {item.place.row}, column {item.place.column}"),
            *(
                picture(drawn(each.thumbnail), each.sample, title=each.sample)
                for each in item.neighbours
                if each.thumbnail is not None
            ),
            tag("figcaption", over(figure(item.place.strength, 2), cut(item.title))),
        )
        for item in items
        if item.place is not None
    ]
    if not pairs:
        return []
    note = (
        "Compared with these, since nothing more like them was seen: above, the most unusual places, the highest "
        f"first; below each, the place in a normal {words.one} that is most like it, of all that the model keeps. The "
        f"number is 1 at the threshold of places, which few normal {words.many} exceed anywhere."
    )
    return [tag("div", tag("p", note, class_="soft"), tag("div", *pairs, class_="places"))]


def _items(evidence: Evidence, words: Words) -> list[Html]:
    """The items that answered: their decoded pictures, and the nearest training samples."""
    if evidence.is_photo:
        return _compared(evidence.items, words)
    shown = [
        tile(
            item.title,
            share(item.weight),
            None if item.decoded is None else picture(evidence.picture(item.decoded), f"{item.title}, decoded"),
            item.neighbours,
        )
        for item in evidence.items
        if item.decoded is not None or item.neighbours
    ]
    if not shown:
        return []
    whole = any(item.decoded is not None for item in evidence.items)
    note = "The memory items used, and their shares of the answer. "
    note += "Small: training samples like that." if whole else "You see training samples with such a place in them."
    return [tag("div", tag("p", note, class_="soft"), tag("div", *shown, class_="items"))]
