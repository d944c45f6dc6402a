"""Photos of 12 megapixels: peak of the resident memory and time of fit and score, by the number of photos."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from measurements.speed.streaming import watched
from recording.records import figure

PHOTOS = tuple(int(each) for each in os.environ.get("MEMAE_PHOTOS", "100 1000 10000").split())
SIZE = (4000, 3000)
DISTINCT = 20
"""Photos that differ; the others are further names of theirs, since 10,000 would take 40 GB."""
SCORED = 20


def measure() -> dict[str, Any]:
    """Each command in a process of its own, on one core, with pretrained features and no option."""
    cases: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, scores = folder / "m.memae", folder / "s.csv"
        made = [photo(folder / f"{number}.jpg", number) for number in range(DISTINCT)]
        for photos in PHOTOS:
            source = folder / f"of_{photos}"
            source.mkdir()
            for number in range(photos):
                (source / f"{number:06}.jpg").hardlink_to(made[number % DISTINCT])
            new = folder / f"new_{photos}"
            new.mkdir()
            for number in range(SCORED):
                (new / f"{number}.jpg").hardlink_to(made[number])
            fit = ["fit", "images", str(source), "-o", str(model)]
            for command, words in (("fit", fit), ("score", ["score", str(model), str(new), "-o", str(scores)])):
                seconds, peak = watched([str(Path(sys.executable).with_name("memae")), *words])
                cases.append({"photos": photos, "command": command, "seconds": round(seconds, 1), "peak_gib": peak})
                sys.stderr.write(f"{cases[-1]}\n")
    peaks = [case["peak_gib"] for case in cases if case["photos"] == PHOTOS[-1]]
    key = f"speed/photos_of_12_megapixels/{PHOTOS[-1]}/peak_gib"
    return {"figures": {key: figure(max(peaks))}, "size": SIZE, "scored": SCORED, "cases": cases}


def photo(path: Path, seed: int) -> Path:
    """Writes a colour photo with coarse structure and fine grain."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(80, 176, (30, 40, 3), dtype=np.uint8)).resize(
        SIZE, Image.Resampling.BICUBIC
    )
    pixels = np.asarray(coarse) + random.normal(0, 6, (SIZE[1], SIZE[0], 1))
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return path
