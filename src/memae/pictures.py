"""Converts raw samples and heat maps to pictures."""

from base64 import b64encode
from io import BytesIO
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from memae.data.images import heat_colours

Pixels = NDArray[np.uint8]


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


def heated(shares: Tensor) -> Pixels:
    """A heat map `(h, w)` as pixels `(h, w, 3)`: black at 0, pale yellow at 1 and above."""
    return heat_colours(shares.double().nan_to_num(1.0).numpy())


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
