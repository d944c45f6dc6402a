"""The section on the distribution of scores: those of normal samples, which set the threshold, and today's."""

import math

import numpy as np
from numpy.typing import NDArray

from memae.charts import Bar, Tick, histogram
from memae.kinds import Words
from memae.markup import Html, figure, heading, joined, table, tag
from memae.report.survey import Survey
from memae.report.tally import REACH, Bins, Tally
from memae.report.words import counted, share
from memae.report.words import figure as number
from memae.scoring.calibration import Calibration

Floats = NDArray[np.float64]

BARS = 48
TICKS = 5
FAR = 8.0
"""If the highest score is further above the threshold than `FAR` times the distance from the lowest score to the
threshold, the scale is asinh instead of linear, which would show all normal scores as one bar."""


class Scale:
    """Positions of scores along the chart.

    Args:
        bins: bins centred at the threshold.
        low: the lowest score shown.
        high: the highest score shown.
    """

    def __init__(self, bins: Bins, low: float, high: float) -> None:
        self._middle, self._unit = bins.middle, bins.unit
        self.pressed = high - bins.middle > FAR * max(bins.middle - low, bins.unit)
        first, limit, last = self._stretched(np.array([min(low, bins.middle), bins.middle, max(high, bins.middle)]))
        self.width = (last - first) / BARS or 1.0
        self.below = max(math.ceil((limit - first) / self.width - 1e-9), 1)  # bars up to the threshold, a bar's edge
        self.bars = self.below + math.ceil((last - limit) / self.width - 1e-9)
        self._first = limit - self.below * self.width

    def place(self, scores: Floats) -> Floats:
        """Positions of scores as shares of the chart's width."""
        positions: Floats = (self._stretched(scores) - self._first) / (self.bars * self.width)
        return positions

    def score(self, positions: Floats) -> Floats:
        """The inverse of `place`."""
        stretched: Floats = self._first + positions * self.bars * self.width
        return self._middle + self._unit * np.sinh(stretched) if self.pressed else stretched

    def _stretched(self, scores: Floats) -> Floats:
        stretched: Floats = np.arcsinh((scores - self._middle) / self._unit) if self.pressed else scores
        return stretched

    @property
    def ticks(self) -> list[Tick]:
        """Round scores along the axis."""
        low, high = self.score(np.array([0.0, 1.0]))
        if self.pressed:
            wanted = self.score((np.arange(TICKS) + 0.5) / TICKS)
            rounded = sorted({float(f"{score:.1g}") for score in wanted})
        else:
            step = _round_step((high - low) / TICKS)
            rounded = (np.arange(math.ceil(low / step), math.floor(high / step) + 1) * step).tolist()
        return [Tick(float(at), number(each)) for each, at in zip(rounded, self.place(np.array(rounded)), strict=True)]


def _round_step(step: float) -> float:
    """The next larger number of 1, 2, 5, 10, 20 and so on."""
    if step <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))


def scores(found: Survey, calibration: Calibration, words: Words) -> Html:
    """The section."""
    known, tally = Tally(calibration), found.tally
    known.add(calibration.scores.numpy())
    scale = Scale(tally.bins, min(known.low, tally.low), max(known.high, tally.high))
    limit = f"above {number(calibration.threshold())}: flagged"
    drawn = [
        *_panel(f"Normal {words.many}, which set the threshold", known, scale, limit, words),
        *_panel(f"The {words.many} of this report", tally, scale, "", words),
    ]
    pressed = " To the right the scale is compressed, so that far scores fit; see the numbers below." * scale.pressed
    caption = (
        f"The higher a bar, the more {words.many} have such a score; point at it to see how many. Those right of the "
        f"dashed line are flagged. Low bars are slightly exaggerated, so that a single {words.one} is visible.{pressed}"
    )
    return joined(
        [
            heading(
                "Scores",
                f"How high normal {words.many} score, and below, those of this report: the more the second chart looks "
                "like the first, the more normal they are.",
            ),
            figure(joined(drawn), caption),
            tag("p", f"Compared with the calibration: {found.drift.sentence}.", class_="soft"),
            tag("details", tag("summary", "The same in numbers"), _numbers(known, tally)),
        ]
    )


def _panel(title: str, tally: Tally, scale: Scale, limit: str, words: Words) -> tuple[Html, Html]:
    """One of the two charts, with its heading."""
    counts = _counts(tally, scale)
    edges = scale.score(np.arange(scale.bars + 1) / scale.bars).tolist()
    most = max(int(counts.max()), 1)
    bars = [
        Bar(
            index / scale.bars,
            (index + 1) / scale.bars,
            count / most,
            index >= scale.below,
            f"{number(low)} to {number(high)}: {counted(count, words)} ({share(count / tally.count)})",
        )
        for index, (low, high, count) in enumerate(zip(edges, edges[1:], counts.tolist(), strict=False))
    ]
    label = f"{title}: {tally.flagged:,} lie above the threshold"
    chart = histogram(bars, Tick(scale.below / scale.bars, limit), scale.ticks, label)
    return tag("h3", f"{title} ({tally.count:,})"), chart


def _counts(tally: Tally, scale: Scale) -> NDArray[np.int64]:
    """The number of scores in each bar, `(bars,)`."""
    filled = np.flatnonzero(tally.bins.counts)
    bars = np.floor(scale.place(tally.bins.centres[filled]) * scale.bars).astype(np.int64)
    above = filled >= REACH
    bars = np.where(above, bars.clip(scale.below, scale.bars - 1), bars.clip(0, scale.below - 1))
    return np.bincount(bars, tally.bins.counts[filled], scale.bars).astype(np.int64)


def _numbers(known: Tally, tally: Tally) -> Html:
    both = (known, tally)
    between = {"median": 0.5, "95 of 100 are below": 0.95, "99 of 100 are below": 0.99}
    rows = [
        ["lowest", *(number(each.low, 5) for each in both)],
        *([name, *(number(float(np.quantile(each.sample, at)), 5) for each in both)] for name, at in between.items()),
        ["highest", *(number(each.high, 5) for each in both)],
        ["flagged", *(f"{each.flagged:,} ({share(each.flagged / each.count)})" for each in both)],
    ]
    return table(["score", "normal", "this report"], rows)
