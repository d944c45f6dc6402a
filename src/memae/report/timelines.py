"""The sections for video: scores over time, and the alarms."""

import math
from pathlib import Path

import numpy as np

from memae.charts import Shade, Tick, curve, stretches
from memae.estimators.examples import within
from memae.markup import Html, figure, heading, joined, picture, table, tag
from memae.report.films import Film, Films, Kept
from memae.report.words import clock
from memae.report.words import figure as number

STEPS = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
"""Possible intervals between ticks of a time axis, in seconds."""
TIMES = 5
NUMBERED = 10
"""Maximum number of alarms of a video whose numbers are shown above its curve."""
HEIGHT = 110


def timelines(films: Films, root: Path) -> Html:
    """The section of the timelines.

    Args:
        films: what was seen.
        root: folder that the names of videos are told from.
    """
    lead = (
        "How unusual each video is from start to end: the higher the curve, the more unusual. The dashed line is the "
        "threshold; alarms are shaded and numbered as in the table below. Each video has its own scale."
    )
    left = films.videos - len(films.films)
    note = [tag("p", f"… and {left:,} videos whose scores stay lower.", class_="soft")] * (left > 0)
    return joined([heading("Timeline", lead), *(_timeline(film, films, root) for film in films.films), *note])


def _timeline(film: Film, films: Films, root: Path) -> Html:
    points, name = len(film.curve.scores), within(root, Path(film.name))
    known = sorted((kept for kept in films.alarms if kept.video == film.name), key=lambda kept: -kept.peak.score)
    chart = curve(
        (np.arange(points) + 0.5) / points,
        np.array(film.curve.scores),
        films.rule.above,
        shades=[Shade(start / points, end / points) for start, end in stretches(film.curve.marked)],
        ticks=_times(film.seconds),
        label=f"Score over time of {name}: {_alarms(film.alarms)}",
        notes=[Tick(_middle(kept, film), str(kept.number)) for kept in known[:NUMBERED]],
        height=HEIGHT,
    )
    peak = f"highest score {number(film.peak.score)} at {clock(film.peak.time)}; threshold {number(films.rule.above)}"
    return figure(joined([tag("h3", name), chart]), f"{_alarms(film.alarms)}; {peak}")


def _alarms(count: int) -> str:
    return f"{count or 'no'} alarm{'s' * (count != 1)}"


def _middle(kept: Kept, film: Film) -> float:
    """Position of an alarm along the axis, 0 to 1."""
    return (kept.start + kept.end) / 2 / (film.seconds or 1.0)


def _times(seconds: float) -> list[Tick]:
    """Round times along an axis."""
    step = next((each for each in STEPS if seconds / each <= TIMES), STEPS[-1])
    return [Tick(each * step / (seconds or 1.0), clock(each * step)) for each in range(math.floor(seconds / step) + 1)]


def alarms(films: Films, root: Path) -> Html:
    """The section of the alarms.

    Args:
        films: what was seen.
        root: folder that the names of videos are told from.
    """
    rule = films.rule
    lead = (
        "Stretches in which the score stayed high, each with the frame at its peak; anomalous areas are coloured. "
        f"An alarm starts when the score stays above {number(rule.above, 6)}, and ends when it has not been above "
        f"{number(rule.below, 6)} for {rule.release:g} s, so that a fluctuating score makes one alarm, not many."
    )
    if not films.alarms:
        return heading("Alarms", lead, "There were none.")
    head = ["alarm", "its peak", "video", "start", "end", "peak at", "score", "p-value"]
    rows = [_row(kept, root) for kept in films.alarms]
    left = films.alarmed - len(films.alarms)
    note = [tag("p", f"… and {left:,} alarms with lower peaks.", class_="soft")] * (left > 0)
    return joined([heading("Alarms", lead), table(head, rows, "wide alarms"), *note])


def _row(kept: Kept, root: Path) -> list[str]:
    shown = "" if kept.peak.picture is None else picture(kept.peak.picture, f"peak of alarm {kept.number}")
    return [
        tag("b", str(kept.number), id=f"alarm-{kept.number}"),
        shown,
        within(root, Path(kept.video)),
        clock(kept.start),
        clock(kept.end),
        clock(kept.peak.time),
        number(kept.peak.score),
        f"{kept.peak.p_value:.2g}",
    ]
