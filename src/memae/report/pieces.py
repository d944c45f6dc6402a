"""Small pieces that several sections are made of."""

from collections.abc import Sequence

from memae.evidence import Neighbour
from memae.markup import Html, joined, picture, tag
from memae.pictures import drawn
from memae.report.words import cut, share


def bar(part: float, most: float) -> Html:
    """A share as a bar, as long as it is beside the highest, and a number."""
    width = f"--share:{min(max(part / (most or 1.0), 0.0), 1.0):.2f}"
    return tag("span", tag("i", style=width), share(part), class_="bar")


def over(upper: str, lower: str) -> Html:
    """Two words, one above the other."""
    return joined([upper, Html("<br>"), tag("span", lower, class_="soft")])


def names(neighbours: Sequence[Neighbour]) -> Html:
    """Training rows, below each other."""
    return joined([part for each in neighbours for part in (cut(each.sample), Html("<br>"))][:-1])


def tile(name: str, part: str, large: Html | None, neighbours: Sequence[Neighbour]) -> Html:
    """An item: what it decodes to, if that is known, and the training samples that lie nearest."""
    near = tag("div", *(_small(each) for each in neighbours), class_="near")
    shown = (near,) if large is None else (large, near)
    return tag("figure", *shown, tag("figcaption", over(name, part)), class_="item" if large else "item alone")


def _small(neighbour: Neighbour) -> Html:
    assert neighbour.thumbnail is not None  # noqa: S101 (models of pictures keep them)
    return picture(drawn(neighbour.thumbnail), neighbour.sample, title=neighbour.sample)
