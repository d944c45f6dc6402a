"""Blocks of a self-contained HTML page that works offline, on wide and narrow screens, in light and dark mode.

Any text that is not `Html` is escaped, so that names and values of the user's data cannot become markup.
"""

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from memae.pictures import Pixels, data_url

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
img { image-rendering: pixelated; display: block; max-width: 100%; height: auto; } .photo { image-rendering: auto; }
.rows { display: grid; grid-template-columns: max-content 1fr; gap: .35rem .8rem; align-items: center; }
.rows span { font-size: .85rem; color: var(--soft); text-align: right; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
th, td { padding: .25rem .8rem .25rem 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { font-weight: 600; }
svg { width: 100%; display: block; } svg text { font: 12px system-ui, sans-serif; fill: var(--soft); }
svg line, svg polyline { vector-effect: non-scaling-stroke; }
.curve { fill: none; stroke: var(--normal); stroke-width: 1.6; } .limit { stroke: var(--alarm); stroke-dasharray: 5 4; }
.marked { fill: var(--alarm); opacity: .16; } .axis { stroke: var(--line); }
.normal { fill: var(--normal); } .flagged { fill: var(--alarm); }
"""
PHOTO = 96
"""Minimum length of the shorter side, in pixels, of a picture that is shown as a photograph."""
NOTHING_ELSE = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Content security policy: a page may load only the pictures and the style it contains."""


class Html(str):
    """Text that is already markup."""

    __slots__ = ()


def safe(text: str) -> Html:
    """Escapes text; markup stays unchanged."""
    if isinstance(text, Html):
        return text
    return Html(escape(text.encode(errors="backslashreplace").decode()))  # file names may be invalid Unicode


def tag(name: str, *content: str, **attributes: str | int) -> Html:
    """An element; the attribute `class_` becomes class, `aria_label` becomes aria-label.

    Example:
        >>> tag("p", "a < b", tag("b", "!"), class_="soft")
        '<p class="soft">a &lt; b<b>!</b></p>'
    """
    pairs = "".join(f' {key.rstrip("_").replace("_", "-")}="{safe(str(value))}"' for key, value in attributes.items())
    return Html(f"<{name}{pairs}>{''.join(map(safe, content))}</{name}>")


def joined(parts: Sequence[str]) -> Html:
    """Concatenates parts."""
    return Html("".join(map(safe, parts)))


def page(title: str, lead: str, blocks: Sequence[str], style: str = "") -> Html:
    """A whole page.

    Args:
        title: of the page.
        lead: one sentence below it.
        blocks: from the functions below.
        style: more CSS.
    """
    return Html(
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{safe(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{NOTHING_ELSE}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}{style}</style></head>\n'
        f"<body><h1>{safe(title)}</h1><p>{safe(lead)}</p>\n" + "\n".join(map(safe, blocks)) + "\n</body></html>\n"
    )


def heading(text: str, *paragraphs: str) -> Html:
    """A section's heading and paragraphs."""
    return joined([tag("h2", text), *(tag("p", paragraph) for paragraph in paragraphs)])


def table(head: Sequence[str], rows: Sequence[Sequence[str]], class_: str = "wide") -> Html:
    """A table, which scrolls if it is wider than the page."""
    top = tag("tr", *(tag("th", cell, scope="col") for cell in head))
    body = (tag("tr", *(tag("td", cell) for cell in row)) for row in rows)
    return tag("div", tag("table", tag("thead", top), tag("tbody", *body)), class_=class_)


def picture(pixels: Pixels, text: str, width: int | None = None, title: str | None = None) -> Html:
    """An image, `width` CSS pixels wide, with `text` for screen readers and `title` as a tooltip.

    Small images are pixelated PNGs, large ones JPEGs.
    """
    large = min(pixels.shape[:2]) >= PHOTO
    size = f' width="{width}"' if width else ""
    more = f' title="{safe(title)}"' if title else ""
    address = photo_url(pixels) if large else data_url(pixels)
    kind = ' class="photo"' if large else ""
    return Html(f'<img alt="{safe(text)}"{size} src="{address}"{more}{kind}>')


def photo_url(pixels: Pixels) -> str:
    """Pixels `(h, w)` or `(h, w, 3)` as a data URL of a JPEG file, a tenth as long as that of `data_url`."""
    out = BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{b64encode(out.getvalue()).decode()}"


def figure(content: str, caption: str) -> Html:
    """Any content with a caption."""
    return tag("figure", content, tag("figcaption", caption))


def labelled(rows: Sequence[tuple[str, str]]) -> Html:
    """Pictures below each other, each with a name before it."""
    return tag("div", *(part for name, shown in rows for part in (tag("span", name), shown)), class_="rows")


def strip(images: NDArray[np.uint8], columns: int, gap: int = 1, ground: int = 128) -> Pixels:
    """Images `(n, h, w)` or `(n, h, w, 3)` in a grid with `columns` per row, `gap` pixels apart."""
    n, h, w, *rest = images.shape
    rows = -(-n // columns)
    sheet = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap, *rest), ground, dtype=np.uint8)
    for index, image in enumerate(images):
        top, left = index // columns * (h + gap), index % columns * (w + gap)
        sheet[top : top + h, left : left + w] = image
    return sheet
