"""Does tasks of one checkout, one a line of stdin, and prints the CPU seconds of each: run by `measurements.against`.

Only the public interface of memae is used, so that it runs on old checkouts too.
"""

import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import memae

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(8_000, 20))
IMAGES = RNG.integers(0, 256, (200, 28, 28), dtype=np.uint8)
VIDEO = RNG.integers(0, 256, (80, 64, 64), dtype=np.uint8)
FEW: dict[str, Any] = {"epochs": 2, "warmup": 1}


def tasks() -> dict[str, Callable[[], object]]:
    """Fits and scores of the defaults and of the paper's settings, on noise: what they cost does not depend on it."""
    table = memae.TabularMemAE(**FEW).fit(ROWS[:4000])
    image = memae.ImageMemAE(**FEW).fit(IMAGES)
    video = memae.VideoMemAE(n_items=200, step=2, **FEW).fit(VIDEO)
    paper_table = memae.TabularMemAE.paper(epochs=1).fit(ROWS[:4000])
    paper_image = memae.ImageMemAE.paper(epochs=1).fit(IMAGES)
    return {
        "fit_table": lambda: memae.TabularMemAE(**FEW).fit(ROWS),
        "score_table": lambda: table.anomaly_score(ROWS[:8000]),
        "fit_images": lambda: memae.ImageMemAE(**FEW).fit(IMAGES),
        "score_images": lambda: image.anomaly_score(IMAGES),
        "fit_video": lambda: memae.VideoMemAE(n_items=200, step=2, **FEW).fit(VIDEO),
        "score_video": lambda: video.anomaly_score(VIDEO),
        "fit_table_paper": lambda: memae.TabularMemAE.paper(epochs=2).fit(ROWS),
        "score_table_paper": lambda: paper_table.anomaly_score(ROWS),
        "fit_images_paper": lambda: memae.ImageMemAE.paper(epochs=2).fit(IMAGES),
        "score_images_paper": lambda: paper_image.anomaly_score(IMAGES),
        "explain_table": lambda: list(table.explain(ROWS[:2000])),
    }


def main() -> None:
    """Prints the names of the tasks, and then the seconds of each line "NAME TIMES" of stdin."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    known = tasks()
    sys.stdout.write(" ".join(known) + "\n")
    sys.stdout.flush()
    for line in sys.stdin:
        name, times = line.split()
        began = time.process_time()
        for _ in range(int(times)):
            known[name]()
        sys.stdout.write(f"{time.process_time() - began}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
