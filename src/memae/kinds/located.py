"""Where a sample is anomalous: its map, the pixels above a threshold, and their regions."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memae.evidence import heat_of, map_limit
from memae.regions import Region, above, boxes
from memae.scoring import Scorer
from memae.scoring.calibration import Calibration

Map = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Located:
    """The map of one sample, of any size.

    Args:
        values: `(h, w)`, higher = more anomalous.
        heat: `(h, w)`, the same for pictures: 1 = brightest.
        limit: pixels with a higher value are anomalous.
        peaks: the highest value of the map of each held-out normal sample; None where they are not known.
    """

    values: Map
    heat: Map
    limit: float
    peaks: Calibration | None = None

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """`(h, w)`: the anomalous pixels."""
        return above(self.values, self.limit)

    @cached_property
    def regions(self) -> tuple[Region, ...]:
        """The connected parts of the mask, that with the highest value first; none is too small."""
        found = boxes(self.values, self.limit)
        if self.peaks is None:
            return found
        p_values = self.peaks.p_value(torch.tensor([region.peak for region in found]))
        return tuple(region._replace(p_value=p) for region, p in zip(found, p_values.tolist(), strict=True))


def located(scorer: Scorer, values: Tensor) -> Located:
    """The map of one sample `(h, w)`, as `evidence.position_map` gives it or resized from that."""
    return Located(values.numpy(), heat_of(scorer, values).numpy(), map_limit(scorer), scorer.peaks)
