"""Compares the outputs of an exported graph with those of torch."""

import copy
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from memae.data.samples import batched
from memae.engines.graphs import ANSWERS
from memae.engines.runtimes import TOLERANCE, Run, sizes
from memae.memory import Memory
from memae.scoring import Scorer, Scores

ENDS = (1, 3, 10)
"""Where a batch is split: the graph gets 1, 2, 7 and all other samples at once."""


class Differences(NamedTuple):
    """The largest differences between the outputs of a graph and those of torch, over all samples."""

    score: float  # relative to the score; see `sizes`
    p_value: float  # distance to the range of p-values of scores that differ by at most `TOLERANCE`
    is_anomaly: float  # infinite if a flag differs though the score is further than `TOLERANCE` from the threshold
    error_map: float  # of an element's deviation, relative to the largest of its map or to 1, the range of pixels
    samples: int  # number of samples

    @property
    def worst(self) -> tuple[str, float]:
        """The output that differs most, and by how much."""
        return max(zip(ANSWERS, self[:4], strict=True), key=lambda each: each[1])


@torch.no_grad()
def compare(scorer: Scorer, run: Run, batches: Iterable[Tensor]) -> Differences:
    """Compares a graph with the scorer it was made from on raw samples, in batches of 1, 2, 7 and more."""
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
    excess = exact - calibration.threshold()
    wrong = (is_anomaly != (excess > 0)) & (excess.abs() > margin)
    yield _most(torch.where(wrong, torch.inf, 0.0))
    # compares deviations, not their squares, which lose digits
    maps = [(scorer.deviations(expected.error_map), scorer.deviations(error_map))]
    if places is not None:
        maps.append((scorer.positions(expected.measures), places))
    yield max(_most(_of_maps(true.flatten(1), found.flatten(1))) for true, found in maps)


def _of_maps(true: Tensor, found: Tensor) -> Tensor:
    return (found - true).abs().amax(1) / true.abs().amax(1).clamp_min(1)


def _most(differences: Tensor) -> float:
    """The largest difference; NaN counts as infinite."""
    return float(differences.nan_to_num(torch.inf, torch.inf).max())


def undecided(scorer: Scorer) -> Scorer | None:
    """A copy whose addressing weights all equal λ = 1/N exactly, for every sample; None without a learned memory.

    The last layer of its encoder is zeroed, so that all items are equally similar. At a weight of exactly λ, an engine
    that drops the ε of the shrinkage computes 0 / 0.
    """
    if not isinstance(scorer.model.memory, Memory):
        return None
    other = copy.deepcopy(scorer)
    assert isinstance(other.model.memory, Memory)  # noqa: S101 (it is a copy)
    other.model.memory.threshold = 1 / len(other.model.memory.items)
    last = [layer for layer in other.model.encoder.modules() if next(layer.parameters(recurse=False), None) is not None]
    for parameter in last[-1].parameters():
        nn.init.zeros_(parameter)
    return other
