"""How the cost grows: with the number of items, with the batch, and with the size of a sample."""

import time
from typing import Any

import torch

from measurements.speed.addressing import forward, ours
from measurements.speed.networks import ROWS, of_side, scorer_of, scoring
from measurements.timing import interleaved
from memae.memory import Memory

ITEMS = (50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
SIDES = (32, 64, 96, 128, 192, 256)
QUERIES, CHANNELS = 256, 64


def measure() -> dict[str, Any]:
    """Points (x, microseconds) of each curve; nothing here has a target."""
    return {"figures": {}, "curves": {"items": items(), "batch": batch(), "side": side()}}


def items() -> list[tuple[int, float]]:
    """Microseconds of addressing per query, for 256 queries of 64 channels."""
    z = torch.randn(QUERIES, CHANNELS, generator=torch.Generator().manual_seed(0))
    calls = {str(n): forward(ours, Memory(n, CHANNELS, temperature=0.1, shrinkage=1.0), z) for n in ITEMS}
    return _points(calls, 15, QUERIES)


def batch() -> list[tuple[int, float]]:
    """Microseconds of scoring per row of a table of 120 columns, for batches as large as the chunk."""
    calls = {str(rows): scoring(scorer_of(ROWS, rows), [torch.rand(rows, *ROWS.shape)]) for rows in BATCHES}
    return [(rows, each / rows) for rows, each in _points(calls, 30, 1)]


def side() -> list[tuple[int, float]]:
    """Microseconds per clip of 16 frames, by the side length of the frame."""
    calls = {}
    for length in SIDES:
        spec = of_side(length)
        calls[str(length)] = scoring(scorer_of(spec), [torch.zeros(1, *spec.shape, dtype=torch.uint8)])
    return _points(calls, 4, 1)


def _points(calls: dict[str, Any], rounds: int, share: int) -> list[tuple[int, float]]:
    times = interleaved(calls, rounds, time.thread_time)
    return [(int(name), round(timing.minimum * 1e6 / share, 3)) for name, timing in times.items()]
