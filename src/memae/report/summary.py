"""The first section: a summary in plain words."""

from memae.kinds import Words
from memae.markup import Html, heading, joined, tag
from memae.report.survey import Survey
from memae.report.words import clock, counted, figure, share
from memae.scoring.calibration import Calibration
from memae.scoring.drift import Verdict

TODAY: dict[Verdict, str] = {
    "like": "As a whole, the scores are like those of the normal {many} that the model was calibrated with.",
    "higher": "As a whole, the scores are higher than those of the normal {many} that the model was calibrated with. "
    "Either many are anomalies, or what is normal has changed: look at the highest, and recalibrate or refit the model "
    "if they are normal.",
    "lower": "As a whole, the scores are lower than those of the normal {many} that the model was calibrated with. The "
    "threshold may be too high and miss anomalies: recalibrate with normal {many} of today, or refit the model.",
    "spread": "As a whole, the scores are spread differently from those of the normal {many} that the model was "
    "calibrated with: look at some, and recalibrate or refit the model if they are normal.",
}
"""The result of the drift check, and what to do."""


def summary(found: Survey, calibration: Calibration, words: Words) -> Html:
    """The section.

    Args:
        found: data of the report.
        calibration: threshold and false-alarm rate.
        words: words for samples of this kind.
    """
    tally, drift = found.tally, found.drift
    expected = drift.promised * tally.count
    tiles = [
        (f"{tally.count:,}", f"{words.many} looked at"),
        (f"{tally.flagged:,}", f"flagged ({share(tally.flagged / tally.count)})"),
        (share(calibration.false_alarm_rate), f"of normal {words.many}, at most, are flagged by mistake: the promise"),
        (
            figure(expected, 2),
            f"flags expected by chance if all were normal{_nearest(calibration, drift.promised)}",
        ),
    ]
    if found.films is not None:
        tiles.insert(
            2,
            (
                f"{found.films.alarmed:,}",
                f"alarm{'s' * (found.films.alarmed != 1)} in {clock(found.films.seconds)} of video",
            ),
        )
    lines = [_verdict(found, words), TODAY[drift.verdict].format(many=words.many), *found.remarks]
    if drift.independent < drift.samples:
        correlated = f"Consecutive {words.many} are alike: {drift.samples:,} of them say as much as "
        lines.insert(1, f"{correlated}{drift.independent:,} independent ones, so that chance has a large effect.")
    if words.caution:
        lines.append(words.caution)
    return joined(
        [
            heading("In short", "What was found, and how sure that is. The sections below show it in detail."),
            tag("div", *(tag("div", tag("b", number), tag("span", text)) for number, text in tiles), class_="tiles"),
            tag("ul", *(tag("li", line) for line in lines)),
            _reading(calibration, words),
        ]
    )


def _nearest(calibration: Calibration, promised: float) -> str:
    """Why the rate is lower than requested: with n scores, rates are multiples of 1 / (n + 1)."""
    if promised > 0.9 * calibration.false_alarm_rate:
        return ""
    return f": {share(promised)}, the nearest rate that {len(calibration.scores):,} scores of normal samples allow"


def _verdict(found: Survey, words: Words) -> str:
    """Whether there are more flags than expected by chance."""
    tally, drift = found.tally, found.drift
    low, high = (round(bound * tally.count) for bound in (drift.low, drift.high))
    text = (
        f"{tally.flagged:,} of {counted(tally.count, words)} are flagged. Were all of them normal, chance would flag "
    )
    text += f"about {figure(drift.promised * tally.count, 2)}: between {low:,} and {high:,}, in 95 of 100 cases. "
    if low <= tally.flagged <= high:
        return text + "So it may be chance: the highest are worth a look, but there is no sign that any is an anomaly."
    if drift.verdict == "like" or tally.flagged < low:
        return text + f"The flags are somewhat {'fewer' if tally.flagged < low else 'more'}."
    return text + "The flags are more, so some are very likely real anomalies, or what is normal has changed."


def _reading(calibration: Calibration, words: Words) -> Html:
    """A glossary of the terms used below."""
    return tag(
        "dl",
        tag("dt", "Score"),
        tag("dd", f"How unlike the normal {words.many} of the training data it is: the higher, the more unlike."),
        tag("dt", "Flagged"),
        tag(
            "dd",
            f"The score is above {figure(calibration.threshold())}, the threshold. It was set with "
            f"{len(calibration.scores):,} normal {words.many}, each scored as if the model had never seen it, such "
            f"that at most {share(calibration.false_alarm_rate)} of normal ones lie above it. Flagged means unusual, "
            "which need be neither wrong nor harmful: that is for you to judge.",
        ),
        tag("dt", "p-value"),
        tag("dd", f"The share of normal {words.many} that score at least as high: a small share means unlike normal."),
    )
