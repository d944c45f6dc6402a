"""Blocks of a self-contained HTML page: pictures, tables, timelines. Opens offline, wide and narrow, light and dark."""

import base64
from collections.abc import Sequence
from html import escape
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --soft: #5c6675; --line: #dde2ea; --back: #ffffff; --card: #f6f8fb;
  --normal: #2a7ab8; --alarm: #c8442c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf2; --soft: #9aa5b5; --line: #333c4a; --back: #12161c;
  --card: #1a2029; --normal: #6cb4ea; --alarm: #f0795f; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 2rem 1.2rem 4rem; background: var(--back); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; } h2 { margin: 2.6rem 0 .3rem; font-size: 1.3rem; }
p { max-width: 44rem; } .soft, figcaption { color: var(--soft); font-size: .9rem; }
figure { margin: 1rem 0; padding: 1rem; background: var(--card); border-radius: .6rem; overflow-x: auto; }
figcaption { margin-top: .6rem; max-width: 44rem; }
img { image-rendering: pixelated; display: block; max-width: 100%; height: auto; }
.rows { display: grid; grid-template-columns: max-content 1fr; gap: .35rem .8rem; align-items: center; }
.rows span { font-size: .85rem; color: var(--soft); text-align: right; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
th, td { padding: .25rem .8rem .25rem 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { font-weight: 600; }
svg { width: 100%; height: auto; display: block; } svg text { font: 12px system-ui, sans-serif; fill: var(--soft); }
.curve { fill: none; stroke: var(--normal); stroke-width: 1.6; } .limit { stroke: var(--alarm); stroke-dasharray: 5 4; }
.marked { fill: var(--alarm); opacity: .16; }
"""


def page(title: str, lead: str, blocks: Sequence[str]) -> str:
    """A whole page.

    Args:
        title: of the page, plain text.
        lead: one sentence below it, plain text.
        blocks: HTML, from the functions below.
    """
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>\n'
        f"<body><h1>{escape(title)}</h1><p>{escape(lead)}</p>\n" + "\n".join(blocks) + "\n</body></html>\n"
    )


def heading(text: str, *paragraphs: str) -> str:
    """A section's heading and paragraphs, plain text."""
    return f"<h2>{escape(text)}</h2>" + "".join(f"<p>{escape(paragraph)}</p>" for paragraph in paragraphs)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table, plain text in all cells."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def png(pixels: Pixels) -> bytes:
    """An image `(h, w)` or `(h, w, 3)` as the bytes of a PNG file."""
    out = BytesIO()
    Image.fromarray(pixels).save(out, "PNG", optimize=True)
    return out.getvalue()


def picture(pixels: Pixels, text: str, width: int) -> str:
    """An image shown `width` CSS pixels wide; `text` describes it to those who cannot see it."""
    data = base64.b64encode(png(pixels)).decode()
    return f'<img alt="{escape(text)}" width="{width}" src="data:image/png;base64,{data}">'


def figure(content: str, caption: str) -> str:
    """Any content with a caption, plain text."""
    return f"<figure>{content}<figcaption>{escape(caption)}</figcaption></figure>"


def labelled(rows: Sequence[tuple[str, str]]) -> str:
    """Pictures below each other, each with a word before it."""
    return '<div class="rows">' + "".join(f"<span>{escape(name)}</span>{shown}" for name, shown in rows) + "</div>"


def strip(images: NDArray[np.uint8], columns: int, gap: int = 1, ground: int = 128) -> Pixels:
    """Images `(n, h, w)` or `(n, h, w, 3)` side by side, `columns` a row, `gap` pixels apart."""
    n, h, w, *rest = images.shape
    rows = -(-n // columns)
    sheet = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap, *rest), ground, dtype=np.uint8)
    for place, image in enumerate(images):
        top, left = place // columns * (h + gap), place % columns * (w + gap)
        sheet[top : top + h, left : left + w] = image
    return sheet


def timeline(scores: NDArray[np.float64], marked: NDArray[np.bool_], limit: float) -> str:
    """Scores over time as a curve, the marked stretches shaded, the threshold dashed."""
    width, height = 900.0, 180.0
    top = max(float(scores.max()), limit) * 1.05
    across = np.arange(len(scores)) * width / max(len(scores) - 1, 1)
    points = " ".join(f"{x:.1f},{height - y / top * height:.1f}" for x, y in zip(across, scores, strict=True))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(int)))
    step = width / max(len(scores) - 1, 1)
    shades = "".join(
        f'<rect class="marked" x="{start * step:.1f}" y="0" width="{(end - start) * step:.1f}" height="{height}"/>'
        for start, end in zip(edges[::2], edges[1::2], strict=True)
    )
    line = height - limit / top * height
    return (
        f'<svg viewBox="0 0 {width:.0f} {height + 18:.0f}" role="img" aria-label="anomaly score over time">{shades}'
        f'<line class="limit" x1="0" x2="{width}" y1="{line:.1f}" y2="{line:.1f}"/>'
        f'<polyline class="curve" points="{points}"/><text x="0" y="{height + 14}">frame 0</text>'
        f'<text x="{width}" y="{height + 14}" text-anchor="end">frame {len(scores) - 1}</text></svg>'
    )
