"""Whether a graph answers as torch does."""

import copy
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from memae.data.samples import batched
from memae.engines.graphs import ANSWERS
from memae.engines.runtimes import TOLERANCE, Run, sizes
from memae.scoring import Scorer, Scores

ENDS = (1, 3, 10)
"""Where a batch is cut: 1, 2, 7 and the other samples are given at once."""


class Differences(NamedTuple):
    """How far the answers of a graph lie from those of torch, at most, and over how many samples."""

    score: float  # over the score; see `sizes`
    p_value: float  # from what it is for scores that differ by `TOLERANCE`
    is_anomaly: float  # infinite where the alarm of a score that is not as near as that to the threshold is another
    error_map: float  # of an element's deviation, over the largest in its map, or over 1, the range of pixels; places
    samples: int

    @property
    def worst(self) -> tuple[str, float]:
        """The answer that differs most, and by how much."""
        return max(zip(ANSWERS, self[:4], strict=True), key=lambda each: each[1])


@torch.no_grad()
def compare(scorer: Scorer, run: Run, batches: Iterable[Tensor]) -> Differences:
    """Holds a graph against the scorer that it is made of, on raw samples, given 1, 2, 7 and more at once."""
    worst, samples = np.zeros(len(ANSWERS)), 0
    for part in batched((batch.to(scorer.scaling.center) for batch in batches), max(scorer.chunk, 2 * ENDS[-1])):
        expected = Scores(*map(torch.cat, zip(*scorer.batched([part]), strict=True)))
        groups = [run(group.numpy()) for group in torch.tensor_split(part, ENDS) if len(group)]
        found = [torch.from_numpy(np.concatenate(each)) for each in zip(*groups, strict=True)]
        worst = np.maximum(worst, list(_differences(scorer, expected, *found)))
        samples += len(part)
    score, p_value, is_anomaly, error_map = map(float, worst)
    return Differences(score, p_value, is_anomaly, error_map, samples)


def _differences(
    scorer: Scorer,
    expected: Scores,
    score: Tensor,
    p_value: Tensor,
    is_anomaly: Tensor,
    error_map: Tensor,
    places: Tensor | None = None,
) -> Iterator[float]:
    calibration = scorer.calibration
    assert calibration is not None  # noqa: S101 (fitted means calibrated)
    exact = expected.score.double()
    size = sizes(scorer, exact)
    yield _most((score - exact).abs() / size)
    margin = TOLERANCE * size
    least, most = calibration.p_value(exact + margin), calibration.p_value(exact - margin)
    yield _most(torch.maximum(least - p_value, p_value - most).clamp_min(0))
    beside = exact - calibration.threshold()
    wrong = (is_anomaly != (beside > 0)) & (beside.abs() > margin)
    yield _most(torch.where(wrong, torch.inf, 0.0))
    # of a small difference few digits are left in its square
    maps = [(scorer.deviations(expected.error_map), scorer.deviations(error_map))]
    if places is not None:
        maps.append((scorer.positions(expected.measures), places))
    yield max(_most(_of_maps(true.flatten(1), found.flatten(1))) for true, found in maps)


def _of_maps(true: Tensor, found: Tensor) -> Tensor:
    return (found - true).abs().amax(1) / true.abs().amax(1).clamp_min(1)


def _most(differences: Tensor) -> float:
    """The largest; not a number is infinitely far."""
    return float(differences.nan_to_num(torch.inf, torch.inf).max())


def undecided(scorer: Scorer) -> Scorer | None:
    """A copy whose addressing weights are all λ = 1/N to the last bit, for every sample; None without a memory.

    The last layer of its encoder gives 0, which no item is more similar to than another. Whether a weight of exactly λ
    survives is where an ε that is lost becomes 0 / 0.
    """
    if scorer.model.memory is None:
        return None
    other = copy.deepcopy(scorer)
    assert other.model.memory is not None  # noqa: S101 (it is a copy)
    other.model.memory.threshold = 1 / len(other.model.memory.items)
    last = [layer for layer in other.model.encoder.modules() if next(layer.parameters(recurse=False), None) is not None]
    for parameter in last[-1].parameters():
        nn.init.zeros_(parameter)
    return other
