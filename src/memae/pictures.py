"""Converts raw samples and heat maps to pictures."""

from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from memae.data.images import heat_colours
from memae.errors import InputError
from memae.regions import Region

Pixels = NDArray[np.uint8]

OPAQUE = 0.5
"""Maximum opacity of a heat map over a picture."""
CLEAR = 0.25
"""Heat, as a share of the hottest, up to which the picture stays unchanged."""
LINE = 250
"""Ratio of the shorter side of a photo to the width of the lines around regions."""
BAND = 256
"""Rows blended at once, since this takes 60 bytes a pixel."""


def drawn(raw: Tensor, low: float = 0.0, high: float = 255.0) -> Pixels:
    """Values `(c, h, w)` as pixels `(h, w)`, or `(h, w, 3)` for three channels.

    Args:
        raw: c is 1 or 3.
        low: this value and lower ones become black.
        high: this value and higher ones become white.

    Example:
        >>> drawn(torch.tensor([[[0.0, 0.5, 2.0]]]), 0.0, 1.0).tolist()
        [[0, 128, 255]]
    """
    share = ((raw.double() - low) / (high - low)).nan_to_num(1.0).clamp(0, 1)
    pixels: Pixels = share.mul(255).round().to(torch.uint8).numpy()
    return pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)


def heated(shares: Tensor | NDArray[np.floating[Any]]) -> Pixels:
    """A heat map `(h, w)` as pixels `(h, w, 3)`: black at 0, pale yellow at 1 and above."""
    return heat_colours(np.nan_to_num(np.asarray(shares, dtype=np.float64), nan=1.0))


def blended(picture: Pixels, shares: NDArray[np.floating[Any]]) -> Pixels:
    """The picture with a heat map over it, whose opacity increases with heat.

    Args:
        picture: `(h, w, 3)` RGB.
        shares: heat as a share of the hottest `(h', w')`, of any size; clipped to 0..1.

    Example:
        >>> blended(np.full((2, 2, 3), 100, dtype=np.uint8), np.zeros((1, 1)))[0, 0].tolist()
        [100, 100, 100]
    """
    height, width = picture.shape[:2]
    share = _smooth(np.clip(np.nan_to_num(shares, nan=1.0), 0, 1).astype(np.float32))
    wide = np.asarray(Image.fromarray(share).resize((width, height), Image.Resampling.BILINEAR))
    mixed = np.empty_like(picture)
    for top in range(0, height, BAND):
        rows = slice(top, top + BAND)
        above = np.clip((wide[rows] - CLEAR) / (1 - CLEAR), 0, 1)
        opacity = OPAQUE * np.clip(2 * above, 0, 1)[..., None]
        colours = heat_colours(0.4 + 0.6 * above)  # the dark end would look like a shadow
        mixed[rows] = (picture[rows] * (1 - opacity) + colours * opacity).round()
    return mixed


def _smooth(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean over 3 x 3 neighbours, which suppresses single pixels."""
    rows = np.pad(values, 1, mode="edge")
    columns = (rows[:-2] + rows[1:-1] + rows[2:]) / 3
    return np.asarray((columns[:, :-2] + columns[:, 1:-1] + columns[:, 2:]) / 3)


def overlaid(photo: Pixels, heat: NDArray[np.floating[Any]], boxes: Sequence[Region] = ()) -> Pixels:
    """A photo under its heat map, with a box around each region: `(h, w, 3)`.

    Boxes are white with black edges, to be seen on any ground, and run around their regions, not over them.

    Args:
        photo: `(h, w)` or `(h, w, 3)`.
        heat: `(h, w)`, or of another size; 0 and below is normal, 1 and above the hottest.
        boxes: in pixels of the photo.

    Raises:
        InputError: the photo is neither grey nor RGB.
    """
    if photo.ndim != 2 and photo.shape[2:] != (3,):
        raise InputError(f"a photo must be (h, w) or (h, w, 3), grey or RGB; got {photo.shape}")
    grey = photo.ndim == 2
    canvas = Image.fromarray(blended(np.repeat(photo[..., None], 3, 2) if grey else photo, heat))
    draw, line = ImageDraw.Draw(canvas), max(round(min(photo.shape[:2]) / LINE), 1)
    for region in boxes:
        for start, colour, width in ((3 * line, "black", 3 * line), (2 * line, "white", line)):
            left, top = max(region.left - start, 0), max(region.top - start, 0)
            right = min(region.right - 1 + start, canvas.width - 1)
            bottom = min(region.bottom - 1 + start, canvas.height - 1)
            draw.rectangle((left, top, right, bottom), outline=colour, width=width)
    return np.asarray(canvas)


def png(pixels: Pixels | NDArray[Any]) -> bytes:
    """Pixels `(h, w)` or `(h, w, 3)` as the bytes of a PNG file."""
    out = BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def data_url(pixels: Pixels) -> str:
    """Pixels as a data URL of a PNG file, for JSON and HTML.

    Example:
        >>> data_url(np.zeros((2, 2), dtype=np.uint8))[:30]
        'data:image/png;base64,iVBORw0K'
    """
    return f"data:image/png;base64,{b64encode(png(pixels)).decode()}"
