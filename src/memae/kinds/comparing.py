"""What the most anomalous places of a photo are compared with: the kept patches nearest to them."""

import torch
from torch import Tensor

from memae.data.tiles import OF_FRAME, Box, around
from memae.evidence import Explainer, Item, Place, heat_of, kept_sample
from memae.scoring.scorer import shown

APART = 2
"""Positions of a feature map by which places that are shown differ at least, in rows or columns; nearer ones show the
same."""
SIDE = 72
"""Side of the picture of a place, in pixels."""


@torch.no_grad()
def compared(explainer: Explainer, tile: Tensor, values: Tensor, box: Box) -> tuple[Item, ...]:
    """The kept patches nearest to the most anomalous places of a tile, the most anomalous first.

    The weight of an item is the share of its place in the sum over all that are returned.

    Args:
        explainer: makes the evidence; says how many items.
        tile: raw `(c, h, w)`, or a clip of one frame `(c, 1, h, w)`.
        values: its map, `(rows, columns)` as the features have them.
        box: of the tile, in pixels of the photo.
    """
    scorer = explainer.scorer
    shrunk = scorer.addressed(tile[None]) if explainer.items else None
    if shrunk is None:
        return ()
    numbers = shrunk.weights[0].argmax(0).cpu()
    if values.shape != numbers.shape:  # the encoder has strides
        values = shown(values[None], numbers.shape)[0, 0]
    places = _apart(values, explainer.items)
    strengths = 2 * heat_of(scorer, values)
    total = sum(float(values[at]) for at in places) or 1.0
    most = OF_FRAME if tile.ndim > 3 else 1.0
    items = []
    for at in places:
        number, (row, column) = int(numbers[at]), at
        down, right = (row + 0.5) / values.shape[0], (column + 0.5) / values.shape[1]
        where = round(box.top + down * box.size[0]), round(box.left + right * box.size[1])
        place = Place(
            around(scorer.scaling(tile).flatten(0, -3), down, right, SIDE, most=most), *where, float(strengths[at])
        )
        neighbours = () if explainer.examples is None else explainer.examples.of(number)
        sample = kept_sample(scorer, explainer.examples, number)
        items.append(Item(number, float(values[at]) / total, None, neighbours, sample=sample, place=place))
    return tuple(items)


def _apart(values: Tensor, most: int) -> list[tuple[int, int]]:
    """The positions of the highest values, of which none is near another."""
    chosen: list[tuple[int, int]] = []
    for index in values.flatten().argsort(descending=True).tolist():
        row, column = divmod(index, values.shape[1])
        if all(max(abs(row - other), abs(column - beside)) > APART for other, beside in chosen):
            chosen.append((row, column))
        if len(chosen) == most:
            break
    return chosen
