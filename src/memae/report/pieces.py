"""Small pieces of HTML that several sections use."""

from collections.abc import Sequence

from memae.evidence import Neighbour
from memae.markup import Html, joined, picture, tag
from memae.pictures import drawn
from memae.report.words import cut, share


def bar(part: float, most: float) -> Html:
    """A share as a number and a bar whose length is relative to the highest share `most`."""
    width = f"--share:{min(max(part / (most or 1.0), 0.0), 1.0):.2f}"
    return tag("span", tag("i", style=width), share(part), class_="bar")


def over(upper: str, lower: str) -> Html:
    """Two texts, one above the other."""
    return joined([upper, Html("<br>"), tag("span", lower, class_="soft")])


def names(neighbours: Sequence[Neighbour]) -> Html:
    """Names of training rows, below each other."""
    return joined([part for each in neighbours for part in (cut(each.sample), Html("<br>"))][:-1])


def tile(name: str, part: str, large: Html | None, neighbours: Sequence[Neighbour]) -> Html:
    """An item: its decoded picture, if any, and the nearest training samples."""
    near = tag("div", *(_small(each) for each in neighbours), class_="near")
    shown = (near,) if large is None else (large, near)
    return tag(
        "figure",
        *shown,
        tag("figcaption", over(name, part) if name else part),
        class_="item" if large else "item alone",
    )


def _small(neighbour: Neighbour) -> Html:
    assert neighbour.thumbnail is not None  # noqa: S101 (models for images and video keep thumbnails)
    return picture(drawn(neighbour.thumbnail), neighbour.sample, title=neighbour.sample)
