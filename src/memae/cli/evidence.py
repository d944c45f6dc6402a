"""Evidence on a terminal, and as pictures."""

import re
from collections.abc import Collection, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from memae.evidence import Evidence, Item
from memae.files import replacing
from memae.pictures import Pixels, drawn

COLUMNS = 8
"""Maximum number of columns shown for a row: those that contribute most to its score."""
ITEMS = ("memory item", "weight", "stands for", "nearest training samples (1 − cosine)")
HEIGHT, GAP, CAPTION = 128, 12, 18
"""Height of a tile, space between tiles, and height of its caption, in pixels."""
TALL = 384
"""Height of a photo, in pixels: small defects are to be seen."""
PHOTO = {"sample": "as it is", "error_map": "where it is unlike normal ones"}
GROUND, TEXT = (255, 255, 255), (40, 46, 56)


def show(evidence: Evidence) -> None:
    """Prints why one sample has its score."""
    console = Console(highlight=False)
    side = "above" if evidence.is_anomaly else "not above"
    console.print(
        f"[bold]{escape(evidence.name)}[/bold]: score {evidence.score:.4g}, {side} the threshold "
        f"{evidence.threshold:.4g}; p-value {evidence.p_value:.3g}",
        soft_wrap=True,
    )
    if evidence.contributions:
        rows = [
            (each.column, said(each.value), said(each.expected), f"{each.share:.0%}")
            for each in evidence.contributions[:COLUMNS]
        ]
        console.print(_table(("column", "value", "expected", "share of the score"), rows))
        rest = evidence.contributions[COLUMNS:]
        if rest:
            console.print(f"  {len(rest)} more columns add {sum(each.share for each in rest):.0%}")
    if evidence.is_photo:
        _show_photo(console, evidence)
    elif evidence.items:
        console.print(_table(*_of_items(evidence.items, {each.column for each in evidence.contributions[:COLUMNS]})))
    console.print()


def _show_photo(console: Console, evidence: Evidence) -> None:
    """Prints where a photo is anomalous, and what these places are compared with."""
    for region in evidence.regions:
        where = f"rows {region.top} – {region.bottom - 1}, columns {region.left} – {region.right - 1}"
        rare = "" if region.p_value is None else f"; p-value {region.p_value:.3g}"
        console.print(f"  anomalous: {where}{rare}", soft_wrap=True)
    rows = [
        (f"{item.place.row}, {item.place.column}", f"{item.place.strength:.2f}", item.title)
        for item in evidence.items
        if item.place is not None
    ]
    if rows:
        console.print(_table(("row, column", "unusual (1: threshold)", "most like it, of all that is kept"), rows))


def _of_items(items: Sequence[Item], columns: Collection[str]) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Header and rows of a table of memory items; columns that are empty for all items are left out.

    Args:
        items: of one sample.
        columns: those of the user's table that are shown.
    """
    kept = all(item.sample for item in items)
    rows = [
        (
            item.sample or str(item.number),
            f"{item.weight:.0%}",
            ", ".join(f"{cell.column} {said(cell.value)}" for cell in item.row if cell.column in columns),
            "" if kept else ", ".join(f"{each.sample} ({each.distance:.2g})" for each in item.neighbours),
        )
        for item in items
    ]
    head = ("restored from training", "weight", "values", "") if kept else ITEMS
    filled = [index for index in range(len(head)) if any(row[index] for row in rows)]
    return [head[index] for index in filled], [[row[index] for index in filled] for row in rows]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, padding=(0, 2))
    for name in head:
        right = name.startswith(("share", "weight"))
        table.add_column(name, justify="right" if right else "left", overflow="fold", no_wrap=name == head[0])
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def said(value: object) -> str:
    """A value of a table as readable text."""
    if value is None:
        return "(missing)"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


# ------------------------------------------------------------------------------------------------------------ pictures

Tile = tuple[str, Pixels]


def draw(evidence: Evidence, folder: Path, number: int) -> None:
    """Writes one sample's picture: its images in the first row, those of each addressed memory item in a row below.

    Args:
        evidence: evidence of an image or frame.
        folder: created if it does not exist.
        number: rank of the sample, with which the file name begins.
    """
    photo = evidence.is_photo
    names = PHOTO if photo else {}
    rows = [[(names.get(name, name.replace("_", " ")), pixels) for name, pixels in evidence.shown]]
    rows += [tiles for item in evidence.items if (tiles := _tiles(evidence, item))]
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^\w.-]+", "-", Path(evidence.name).name.removesuffix(".png"))
    with replacing(folder / f"{number:02d}-{name}.png") as temporary:
        _sheet(rows, TALL if photo else HEIGHT).save(temporary, format="PNG")


def _tiles(evidence: Evidence, item: Item) -> list[Tile]:
    """The decoded item, and the training samples near it; of a photo, a place and the kept patch nearest to it."""
    if item.place is not None:
        at = f"row {item.place.row}, column {item.place.column}: {item.place.strength:.2f} (1: threshold)"
        near = [each.thumbnail for each in item.neighbours if each.thumbnail is not None]
        return [(at, drawn(item.place.picture)), *((f"compared with {item.title}", drawn(each)) for each in near)]
    tiles: list[Tile] = []
    if item.decoded is not None:
        tiles.append((f"{item.title}: {item.weight:.0%}", evidence.picture(item.decoded)))
    for each in item.neighbours:
        if each.thumbnail is not None:
            before = "" if tiles else f"{item.title}: {item.weight:.0%}, "
            tiles.append((f"{before}near {each.sample}", drawn(each.thumbnail)))
    return tiles


def _sheet(rows: Sequence[Sequence[Tile]], first: int) -> Image.Image:
    """A picture of rows of tiles.

    Args:
        rows: from the top.
        first: height of the first row's tiles, in pixels.
    """
    font: Any = ImageFont.load_default(12)
    heights = [first] + [HEIGHT] * (len(rows) - 1)
    scaled = [
        [(words, _scaled(pixels, height)) for words, pixels in row] for row, height in zip(rows, heights, strict=True)
    ]
    widths = [[max(tile.width, int(font.getlength(words))) + GAP for words, tile in row] for row in scaled]
    tops = [GAP, *(GAP + each for each in accumulate(height + CAPTION + GAP for height in heights))]
    sheet = Image.new("RGB", (max(map(sum, widths)) + GAP, tops[-1]), GROUND)
    pen = ImageDraw.Draw(sheet)
    for row, across, top, height in zip(scaled, widths, tops, heights, strict=False):
        left = GAP
        for (words, tile), width in zip(row, across, strict=True):
            sheet.paste(tile, (left, top))
            pen.text((left, top + height + 3), words, fill=TEXT, font=font)
            left += width
    return sheet


def _scaled(pixels: Pixels, height: int) -> Image.Image:
    """Pixels as a tile of a height; enlarged pixels stay sharp."""
    image = Image.fromarray(pixels)
    width = max(round(image.width * height / image.height), 1)
    way = Image.Resampling.NEAREST if image.height <= height else Image.Resampling.BILINEAR
    return image.convert("RGB").resize((width, height), way)
