"""The section on the memory: what its items represent, and how much each is used."""

import pandas as pd
import torch
from torch import Tensor

from memae.charts import Bar, Tick, histogram
from memae.estimators import Estimator
from memae.evidence import Examples, kept_sample
from memae.kinds import Words
from memae.markup import Html, figure, heading, joined, picture, table, tag
from memae.pictures import drawn
from memae.report.pieces import names, over, tile
from memae.report.words import cut, share, value
from memae.scoring import Scorer, decoded_items

TILES, MORE = 24, 96
"""Number of items pictured at once, and number of further items that can be unfolded."""
ROWS, COLUMNS = 8, 30
"""Maximum numbers of items and of columns shown for a table model."""
USES = 120
"""Maximum number of items in the chart of uses."""


def atlas(detector: Estimator, words: Words) -> Html:
    """The section, also for a model without a memory."""
    title, memory = "What the model remembers", detector.scorer_.model.memory
    if memory is None:
        return heading(title, "Nothing: this model has no memory. It is a plain autoencoder.")
    use = memory.use.double().cpu()
    order = use.argsort(descending=True, stable=True)
    model = detector.scorer_.model
    whole = model.code_shape is not None
    parts = [
        heading(title, _lead(detector, len(use), words, whole=whole)),
        _uses(use[order].tolist(), words, trained=model.trained),
    ]
    shown = order[:ROWS].tolist()
    rows = detector.kind_.item_rows(detector.scorer_, shown, COLUMNS)
    if rows is not None:
        columns = len(detector.kind_.learned()["columns"])
        parts.append(_rows(rows, columns, detector, use, shown))
    elif whole or detector.examples_ is not None:
        parts.append(_tiles(detector.scorer_, detector.examples_, use, order.tolist(), words, whole=whole))
    else:
        note = "This model keeps no pictures of training samples (keep_examples), so its items cannot be shown."
        parts.append(tag("p", note, class_="soft"))
    return joined(parts)


def _lead(detector: Estimator, items: int, words: Words, *, whole: bool) -> str:
    described = detector.spec_.features
    if described is not None and not detector.scorer_.model.trained:
        return (
            f"The memory holds {items:,} {words.kept} of the normal {words.many} of the training data, spread out so "
            f"that rare ones are among them. A place that is unlike all of them, as "
            f"{described.name} describes it, is unusual. If one of them looks abnormal to you, the training "
            "data held something abnormal."
        )
    if not detector.scorer_.model.trained:
        return (
            f"The memory holds {items:,} normal {words.many} of the training data. One that cannot be put together "
            "from the few that resemble it most is unusual. If one of them looks abnormal to you, the training data "
            "held something abnormal."
        )
    holds = f"typical {words.many}" if whole else f"typical places in {words.many}"
    return (
        f"The memory holds {items:,} items, {holds} that formed in training. A sample that cannot be put together "
        "from the few items that resemble it is unusual. If an item looks abnormal to you, the training data held "
        "something abnormal."
    )


def _uses(use: list[float], words: Words, *, trained: bool) -> Html:
    """A chart of how much each item is used, the most used first."""
    shown = use[:USES]
    bars = [
        Bar(rank / len(shown), (rank + 1) / len(shown), each / (use[0] or 1.0), False, f"{share(each)} of the answers")
        for rank, each in enumerate(shown)
    ]
    ticks = [Tick(0.0, f"busiest: {share(use[0])}"), Tick(1.0, f"{len(shown)} of {len(use)}")]
    chart = histogram(bars, None, ticks, "Part of each item in the answers, the busiest first", height=64)
    what = (
        "item in all answers of the last training epoch"
        if trained
        else f"of them in the answers to training {words.kept}"
    )
    caption = (
        f"The share of each {what}, the most used first. A few bars much higher than the others would mean that most "
        f"{words.many if trained else words.kept} get much the same answer."
    )
    return figure(chart, caption)


def _rows(rows: pd.DataFrame, columns: int, detector: Estimator, use: Tensor, shown: list[int]) -> Html:
    """A table of items in those of the user's columns in which the items differ most."""
    words, examples, trained = detector.kind_.words, detector.examples_, detector.scorer_.model.trained
    titles = (kept_sample(detector.scorer_, examples, item) or f"item {item}" for item in shown)
    cells = [[cut(str(name)), *(value(each, 4) for each in rows[name])] for name in rows.columns]
    head = ["column", *(over(title, share(float(use[item]))) for title, item in zip(titles, shown, strict=True))]
    if examples is not None and trained:
        cells.append([f"nearest training {words.many}", *(names(examples.of(item)) for item in shown)])
    what = "items" if trained else words.many
    note = f"The {len(shown)} most used {what} in your columns; below its number, the share of each in all answers."
    if columns > COLUMNS:
        note += f" Of the {columns} columns, you see the {COLUMNS} in which they differ most."
    return joined([tag("p", note, class_="soft"), table(head, cells, "wide sticky")])


def _patch(examples: Examples, item: int, part: str) -> Html:
    """A kept patch, and its share in all answers."""
    (patch,) = examples.of(item)
    assert patch.thumbnail is not None  # noqa: S101 (models of photos keep thumbnails)
    return tile("", part, picture(drawn(patch.thumbnail), patch.sample, title=patch.sample), ())


def _tiles(
    scorer: Scorer, examples: Examples | None, use: Tensor, order: list[int], words: Words, *, whole: bool
) -> Html:
    """The most used items as pictures."""
    shown = order[: TILES + MORE]
    scaling = scorer.scaling
    span = float(scaling.center), float(scaling.center + scaling.scale)
    pictured = decoded_items(scorer, torch.tensor(shown)) if whole else None
    patches = not scorer.model.trained
    tiles = [
        _patch(examples, item, share(float(use[item])))
        if patches and examples is not None
        else tile(
            f"item {item}",
            share(float(use[item])),
            None if pictured is None else picture(drawn(pictured[rank], *span), f"item {item}, decoded"),
            () if examples is None else examples.of(item),
        )
        for rank, item in enumerate(shown)
    ]
    note = "The most used items, and their share in all answers. " + "Large: what an item alone decodes to. " * whole
    if patches:
        note = f"The {len(shown)} that are most often the nearest, with what surrounds them, and their share in all "
        note += f"answers. Point at one for its {words.where} and its place there (row, column)."
    elif examples is not None:
        note += "Small: the training samples nearest to it." if whole else "Training samples with such a place in them."
        note += " Point at one for its name."
    parts = [tag("p", note, class_="soft"), tag("div", *tiles[:TILES], class_="items")]
    if tiles[TILES:]:
        more = tag("div", *tiles[TILES:], class_="items")
        parts.append(tag("details", tag("summary", f"{len(tiles) - TILES} more"), more))
    if len(order) > len(shown):
        parts.append(tag("p", f"… and {len(order) - len(shown):,} that are used less.", class_="soft"))
    return joined(parts)
