"""A table and pictures that are normal, for what serves or shows scores."""

import io
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image


def table(rows: int, seed: int = 0) -> pd.DataFrame:
    """Numbers of which one depends on the other, some missing, and a category."""
    rng = np.random.default_rng(seed)
    size = rng.normal(10, 2, rows)
    weight = 3 * size + rng.normal(0, 0.3, rows)
    frame = pd.DataFrame({"size": size, "weight": weight, "shop": rng.choice(["a", "b"], rows)})
    frame.loc[::17, "weight"] = np.nan
    return frame


def bars(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Pictures `(count, 16, 16)` of a bar."""
    rng = np.random.default_rng(seed)
    images = rng.normal(60, 5, (count, 16, 16))
    for image, left in zip(images, rng.integers(2, 10, count), strict=True):
        image[3:13, left : left + 4] = 200
    return images.clip(0, 255).astype(np.uint8)


def png(pixels: NDArray[Any]) -> bytes:
    """A picture as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
