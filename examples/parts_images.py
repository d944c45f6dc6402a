"""Pictures of parts: finds those unlike the good ones, and shows where they differ.

    python examples/parts_images.py                            # generated washers; alarms go to parts-found/
    python examples/parts_images.py parts/good parts/new out   # your own folders; alarms go to out/

Each alarm is saved as a picture: the part, its reconstruction from memory, and the error map.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from memae import ImageMemAE
from memae.data.images import find_images


def washer(rng, scratch=False):
    """A grey picture (32, 32) of a washer at a random offset, lit from one side."""
    v, u = np.mgrid[:32, :32] + rng.normal(0, 0.5, 2)[:, None, None]
    radius, angle = np.hypot(u - 16, v - 16), np.arctan2(v - 16, u - 16)
    picture = np.full((32, 32), 40.0)
    picture[radius < 14] = (150 + 15 * np.sin(radius * 2.1) + 30 * np.cos(angle - 0.6))[radius < 14]
    picture[radius < 5] = 35
    if scratch:
        where, direction = rng.uniform(0, 2 * np.pi, 2)
        x, y = u - 16 - 9.5 * np.cos(where), v - 16 - 9.5 * np.sin(where)
        along = x * np.cos(direction) + y * np.sin(direction)
        across = y * np.cos(direction) - x * np.sin(direction)
        picture[(np.abs(along) < 4) & (np.abs(across) < 1.2)] = 235
    return Image.fromarray((picture + rng.normal(0, 5, (32, 32))).clip(0, 255).astype(np.uint8))


def made(folder):
    """Writes 200 good washers, and 40 new ones, every fourth of which is scratched."""
    rng = np.random.default_rng(0)
    for name in ("good", "new"):
        (folder / name).mkdir()
    for number in range(200):
        washer(rng).save(folder / "good" / f"{number}.png")
    for number in range(40):
        scratched = number % 4 == 0
        washer(rng, scratched).save(folder / "new" / f"{number}{'-scratched' * scratched}.png")
    return folder / "good", folder / "new"


def main(good, new, out):
    """Fits on good parts, scores new ones, and shows where the flagged ones differ."""
    detector = ImageMemAE(epochs=8, held_out=0.2).fit(good)
    paths = find_images(new)
    alarms = [path for path, label in zip(paths, detector.predict(paths), strict=True) if label == -1]
    print(f"{len(alarms)} of {len(paths)} parts are unlike the good ones")
    out.mkdir(parents=True, exist_ok=True)
    for path, evidence in zip(alarms, detector.explain(alarms), strict=True):
        row, column = np.unravel_index(int(evidence.heat.argmax()), evidence.heat.shape)
        print(f"{path.name}: score {evidence.score:.2f}, p-value {evidence.p_value:.3f}, most at x {column}, y {row}")
        seen = [Image.fromarray(pixels).convert("RGB") for _, pixels in evidence.shown]
        Image.fromarray(np.hstack(seen)).save(out / f"{path.stem}.png")
    print(f"{out}/ has a picture of each")


if __name__ == "__main__":
    if len(sys.argv) > 3:
        main(*map(Path, sys.argv[1:4]))
    else:
        with TemporaryDirectory() as folder:
            main(*made(Path(folder)), Path("parts-found"))
