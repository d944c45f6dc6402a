"""Charts as inline SVG without a script: shapes stretch with the page, text keeps its size.

Positions along a chart are shares of its width, from 0 to 1.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from memae.markup import Html, joined, tag

WIDTH, HEIGHT = 900, 180
"""Size of the plot area in units; a unit of the height is a pixel."""
LEAST = 2.5
"""Minimum height of a bar in pixels, so that a single sample among a million can be seen."""
LABELS = 18
"""Pixels for the text below the plot area."""

Floats = NDArray[np.float64]


class Tick(NamedTuple):
    """Text at a position along a chart."""

    at: float
    text: str


class Shade(NamedTuple):
    """A shaded stretch of a chart."""

    start: float
    end: float


class Bar(NamedTuple):
    """One bar of a histogram."""

    start: float
    end: float
    share: float  # height relative to the chart, 0 to 1; 0 for no bar
    flagged: bool
    text: str  # tooltip


def histogram(bars: Sequence[Bar], limit: Tick | None, ticks: Sequence[Tick], label: str, height: int = 120) -> Html:
    """Bars over an axis, flagged ones in another colour, with a dashed line at the limit.

    Args:
        bars: from left to right.
        limit: position and text of the dashed line; None for none.
        ticks: along the axis.
        label: describes the chart in a sentence, for screen readers.
        height: of the bars, in pixels.
    """
    top = LABELS if limit is not None and limit.text else 4
    shapes = [_bar(bar, top, height) for bar in bars if bar.share > 0]
    base = tag("line", class_="axis", x1="0", x2="100%", y1=top + height, y2=top + height)
    mark = [] if limit is None else [_limit(limit, top, height)]
    words = [_text(tick, top + height + 14) for tick in ticks]
    return _svg(joined([*shapes, base, *mark, *words]), top + height + LABELS, label)


def _bar(bar: Bar, top: int, height: int) -> Html:
    tall = max(bar.share * height, LEAST)
    return tag(
        "rect",
        tag("title", bar.text),
        class_="flagged" if bar.flagged else "normal",
        x=f"{bar.start:.3%}",
        width=f"{max(bar.end - bar.start - 0.001, 0.001):.3%}",
        y=f"{top + height - tall:.1f}",
        height=f"{tall:.1f}",
    )


def _limit(limit: Tick, top: int, height: int) -> Html:
    line = tag("line", class_="limit", x1=f"{limit.at:.3%}", x2=f"{limit.at:.3%}", y1=top - 14, y2=top + height)
    right = limit.at < 0.5
    more = {"dx": 6 if right else -6, "text_anchor": "start" if right else "end"}
    return joined([line, tag("text", limit.text, x=f"{limit.at:.3%}", y=12, **more)])


def _text(tick: Tick, y: int) -> Html:
    anchor = "start" if tick.at < 0.06 else "end" if tick.at > 0.94 else "middle"
    return tag("text", tick.text, x=f"{min(max(tick.at, 0), 1):.3%}", y=y, text_anchor=anchor)


def _svg(content: str, height: int, label: str) -> Html:
    return tag("svg", content, width="100%", height=height, role="img", aria_label=label)


def timeline(scores: Floats, marked: NDArray[np.bool_], limit: float) -> Html:
    """Scores of frames `(t,)` as a curve over time, with marked stretches shaded and the threshold dashed."""
    step = 1 / max(len(scores) - 1, 1)
    shades = [Shade(start * step, end * step) for start, end in stretches(marked)]
    ticks = [Tick(0.0, "frame 0"), Tick(1.0, f"frame {len(scores) - 1}")]
    label = "anomaly score over time"
    across = np.linspace(0.0, 1.0, len(scores), dtype=np.float64)
    return curve(across, scores, limit, shades=shades, ticks=ticks, label=label)


def stretches(marked: Sequence[bool] | NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Start and end of each marked stretch; the end is the first index after it.

    Example:
        >>> stretches([False, True, True, False, True])
        [(1, 3), (4, 5)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(int))).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def curve(
    across: Floats,
    scores: Floats,
    limit: float,
    *,
    shades: Sequence[Shade],
    ticks: Sequence[Tick],
    label: str,
    notes: Sequence[Tick] = (),
    height: int = HEIGHT,
) -> Html:
    """Scores as a curve; the vertical axis starts at 0, or at the lowest score if that is negative.

    Args:
        across: position of each score along the chart `(t,)`.
        scores: `(t,)`.
        limit: a score to mark by a dashed line.
        shades: stretches to mark.
        ticks: along the axis.
        label: describes the chart in a sentence, for screen readers.
        notes: above the curve.
        height: of the curve, in pixels.
    """
    low = min(float(scores.min()), 0.0)
    span = (max(float(scores.max()), limit) - low) * 1.05 or 1.0
    heights = height - (np.append(scores, limit) - low) / span * height
    marks = (
        f'<rect class="marked" x="{shade.start * WIDTH:.1f}" y="0" width="{(shade.end - shade.start) * WIDTH:.1f}" '
        f'height="{height}"/>'
        for shade in shades
    )
    points = " ".join(f"{x * WIDTH:.1f},{y:.1f}" for x, y in zip(across, heights, strict=False))
    top = LABELS if notes else 0
    area = (
        f'<svg viewBox="0 0 {WIDTH} {height}" preserveAspectRatio="none" y="{top}" height="{height}">{"".join(marks)}'
        f'<line class="limit" x1="0" x2="{WIDTH}" y1="{heights[-1]:.1f}" y2="{heights[-1]:.1f}"/>'
        f'<polyline class="curve" points="{points}"/></svg>'
    )
    words = [*(_text(note, 12) for note in notes), *(_text(tick, top + height + 14) for tick in ticks)]
    return _svg(joined([Html(area), *words]), top + height + LABELS, label)
