"""Where a sample is anomalous: its map, the pixels above a threshold, and their regions."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from memae.evidence import heat_of, map_limit
from memae.regions import Region, above, boxes
from memae.scoring import Scorer

Map = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Located:
    """The map of one sample, of any size.

    Args:
        values: `(h, w)`, higher = more anomalous.
        heat: `(h, w)`, the same for pictures: 1 = brightest.
        limit: pixels with a higher value are anomalous.
    """

    values: Map
    heat: Map
    limit: float

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """`(h, w)`: the anomalous pixels."""
        return above(self.values, self.limit)

    @cached_property
    def regions(self) -> tuple[Region, ...]:
        """The connected parts of the mask, that with the highest value first; none is too small."""
        return boxes(self.values, self.limit)


def located(scorer: Scorer, values: Tensor) -> Located:
    """The map of one sample `(h, w)`, as `evidence.position_map` gives it or resized from that."""
    return Located(values.numpy(), heat_of(scorer, values).numpy(), map_limit(scorer))
