"""The section on the memory: what its items stand for, and how much each is used."""

import pandas as pd
import torch
from torch import Tensor

from memae.charts import Bar, Tick, histogram
from memae.estimators import Estimator
from memae.evidence import Examples
from memae.kinds import Words
from memae.markup import Html, figure, heading, joined, picture, table, tag
from memae.pictures import drawn
from memae.report.pieces import names, over, tile
from memae.report.words import cut, share, value
from memae.scoring import Scorer, decoded_items

TILES, MORE = 24, 96
"""Items that are pictured at once, and that are unfolded."""
ROWS, COLUMNS = 8, 30
"""Items of a table, and columns of it, that are shown."""
USES = 120
"""Items in the chart of uses."""


def atlas(detector: Estimator, words: Words) -> Html:
    """The section; says so where there is no memory."""
    title, memory = "What the model remembers", detector.scorer_.model.memory
    if memory is None:
        return heading(title, "Nothing: this model has no memory. It is a plain autoencoder.")
    use = memory.use.double().cpu()
    order = use.argsort(descending=True, stable=True)
    whole = detector.scorer_.model.code_shape is not None
    holds = f"typical {words.many}" if whole else f"typical places in {words.many}"
    lead = (
        f"The memory holds {len(use):,} items, {holds} that formed in training. What cannot be put together from the "
        "few that resemble it is unlike normal. What you see here and would not call normal was in the training data."
    )
    parts = [heading(title, lead), _uses(use[order].tolist(), words)]
    shown = order[:ROWS].tolist()
    rows = detector.kind_.item_rows(detector.scorer_, shown, COLUMNS)
    if rows is not None:
        columns = len(detector.kind_.learned()["columns"])
        parts.append(_rows(rows, columns, detector.examples_, use, shown, words))
    elif whole or detector.examples_ is not None:
        parts.append(_tiles(detector.scorer_, detector.examples_, use, order.tolist(), whole=whole))
    else:
        told = "This model keeps no pictures of the training (keep_examples), so that its items cannot be shown."
        parts.append(tag("p", told, class_="soft"))
    return joined(parts)


def _uses(use: list[float], words: Words) -> Html:
    """How much each item is used, the busiest first."""
    shown = use[:USES]
    bars = [
        Bar(
            place / len(shown), (place + 1) / len(shown), each / (use[0] or 1.0), False, f"{share(each)} of the answers"
        )
        for place, each in enumerate(shown)
    ]
    ticks = [Tick(0.0, f"busiest: {share(use[0])}"), Tick(1.0, f"item {len(shown)} of {len(use)}")]
    chart = histogram(bars, None, ticks, "Part of each item in the answers, the busiest first", height=64)
    caption = (
        "The part that each item has in all answers of the last epoch of training, the busiest first. A few bars much "
        f"higher than the others would mean that most {words.many} are answered alike."
    )
    return figure(chart, caption)


def _rows(
    rows: pd.DataFrame, columns: int, examples: Examples | None, use: Tensor, shown: list[int], words: Words
) -> Html:
    """Items as rows in the user's columns, those in which the items differ most."""
    cells = [[cut(str(name)), *(value(each, 4) for each in rows[name])] for name in rows.columns]
    head = ["column", *(over(f"item {item}", share(float(use[item]))) for item in shown)]
    if examples is not None:
        cells.append([f"nearest training {words.many}", *(names(examples.of(item)) for item in shown)])
    note = f"The {len(shown)} busiest items in your columns, and below their numbers their part in all answers."
    if columns > COLUMNS:
        note += f" Of the {columns} columns, you see the {COLUMNS} in which they differ most."
    return joined([tag("p", note, class_="soft"), table(head, cells, "wide sticky")])


def _tiles(scorer: Scorer, examples: Examples | None, use: Tensor, order: list[int], *, whole: bool) -> Html:
    """The busiest items as pictures."""
    shown = order[: TILES + MORE]
    scaling = scorer.scaling
    span = float(scaling.center), float(scaling.center + scaling.scale)
    pictured = decoded_items(scorer, torch.tensor(shown)) if whole else None
    tiles = [
        tile(
            f"item {item}",
            share(float(use[item])),
            None if pictured is None else picture(drawn(pictured[place], *span), f"item {item}, decoded"),
            () if examples is None else examples.of(item),
        )
        for place, item in enumerate(shown)
    ]
    note = "The busiest items, and their part in all answers. " + "Large: what an item decodes to, alone. " * whole
    if examples is not None:
        note += "Small: the training samples nearest to it." if whole else "Training samples that have such a place."
        note += " Point at one for its name."
    parts = [tag("p", note, class_="soft"), tag("div", *tiles[:TILES], class_="items")]
    if tiles[TILES:]:
        more = tag("div", *tiles[TILES:], class_="items")
        parts.append(tag("details", tag("summary", f"{len(tiles) - TILES} more items"), more))
    if len(order) > len(shown):
        parts.append(tag("p", f"… and {len(order) - len(shown):,} items that are used less.", class_="soft"))
    return joined(parts)
