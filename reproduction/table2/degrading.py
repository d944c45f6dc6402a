"""What happens to films between one day and the next: other light, noise, compression, shake and frame rate."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Film = NDArray[np.uint8]
"""Frames `(t, h, w)` in grey levels."""
Change = Callable[[Film, np.random.Generator], Film]

BRIGHTNESS = 0.3
"""Share by which frames get lighter or darker."""
NOISE = 10.0
"""Standard deviation of Gaussian noise, in grey levels."""
QUALITY = 40
"""Of JPEG."""
SHAKE = 2
"""Maximum shift of a frame along each axis, in pixels."""
HALF_RATE = "half the frame rate"


def _light(factor: float) -> Change:
    return lambda film, _: (film * factor).clip(0, 255).astype(np.uint8)


def _noisy(film: Film, random: np.random.Generator) -> Film:
    noise = random.normal(0, NOISE, film.shape)
    return np.asarray((film + noise).clip(0, 255), np.uint8)


def _compressed(film: Film, random: np.random.Generator) -> Film:  # noqa: ARG001 (as the others)
    frames = []
    for frame in film:
        file = BytesIO()
        Image.fromarray(frame).save(file, "JPEG", quality=QUALITY)
        frames.append(np.asarray(Image.open(file)))
    return np.stack(frames)


def _shaken(film: Film, random: np.random.Generator) -> Film:
    padded = np.pad(film, ((0, 0), (SHAKE, SHAKE), (SHAKE, SHAKE)), "edge")
    height, width = film.shape[1:]
    shifts = random.integers(0, 2 * SHAKE + 1, (len(film), 2)).tolist()
    return np.stack(
        [
            frame[down : down + height, right : right + width]
            for frame, (down, right) in zip(padded, shifts, strict=True)
        ]
    )


CHANGES: dict[str, Change] = {
    "as filmed": lambda film, _: film,
    f"{BRIGHTNESS:.0%} lighter": _light(1 + BRIGHTNESS),
    f"{BRIGHTNESS:.0%} darker": _light(1 - BRIGHTNESS),
    f"noise of {NOISE:g} grey levels": _noisy,
    f"JPEG {QUALITY}": _compressed,
    f"shake of {SHAKE} pixels": _shaken,
    HALF_RATE: lambda film, _: film[::2],
}
"""Name → change of a film."""
