"""Times of several variants, measured alternately.

Absolute times are worth little on a machine that others share. All variants run in turn in every round, so that a
slow minute hits each of them; the minimum over the rounds is what the machine can do.
"""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Timing(NamedTuple):
    """Seconds per call, one value per round."""

    samples: tuple[float, ...]

    @property
    def minimum(self) -> float:
        """The fastest round, which was disturbed least."""
        return min(self.samples)

    def as_json(self) -> dict[str, Any]:
        """Milliseconds: minimum, median and the spread between the quartiles."""
        low, middle, high = statistics.quantiles(self.samples, n=4) if len(self.samples) > 1 else self.samples * 3
        figures = {"minimum_ms": self.minimum, "median_ms": middle, "quartile_range_ms": high - low}
        return {name: round(value * 1e3, 4) for name, value in figures.items()} | {"rounds": len(self.samples)}


def interleaved(
    variants: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, Timing]:
    """Times each variant once a round, after one call of each that does not count.

    Args:
        variants: what to call, by name.
        rounds: how often.
        clock: CPU seconds of the process by default, which other work on the machine does not add to.
    """
    for call in variants.values():
        call()
    samples: dict[str, list[float]] = {name: [] for name in variants}
    gc.collect()
    for _ in range(rounds):
        for name, call in variants.items():
            began = clock()
            call()
            samples[name].append(clock() - began)
    return {name: Timing(tuple(each)) for name, each in samples.items()}


def ratio(above: Timing, below: Timing) -> dict[str, float]:
    """The ratio of two minima as a figure, with the standard deviation of the ratio round by round."""
    each = [a / b for a, b in zip(above.samples, below.samples, strict=True)]
    spread = statistics.stdev(each) if len(each) > 1 else 0.0
    return {"value": above.minimum / below.minimum, "std": spread, "n": len(each)}
