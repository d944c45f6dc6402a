"""Fits measures and their balance to normal samples, after training."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from memae.data.samples import Samples
from memae.memory import unit
from memae.scoring.balance import Balance
from memae.scoring.measures import LEAST_EXPECTED, Error, Measure
from memae.scoring.scorer import Scorer


def expected_error(scorer: Scorer, held_out: Samples) -> Tensor:
    """Mean absolute error of each element over held-out normal samples `(*shape)`; at least `LEAST_EXPECTED`.

    For `NormalizedError`.

    Args:
        scorer: with a trained network.
        held_out: raw samples.
    """
    absolute = scorer.replaced(measures=[Error("absolute")])
    errors = [part.error_map for part in absolute.batched(held_out.batches(scorer.chunk))]
    return torch.cat(errors).mean(0).clamp_min(LEAST_EXPECTED).to(scorer.scaling.center)


def measure_normal(scorer: Scorer, held_out: Samples) -> Tensor:
    """`Scores.measures` of all held-out normal samples `(n, k)` or `(n, k, h, w)`, on the CPU.

    Args:
        scorer: with the measures.
        held_out: raw samples.
    """
    batches = held_out.batches(scorer.chunk)
    return torch.cat([part.measures for part in scorer.batched(batches, maps=False)])


def balanced(scorer: Scorer, measures: Sequence[Measure], held_out: Samples) -> tuple[Scorer, Tensor]:
    """A scorer with these measures and fitted weights, and `measure_normal` of the held-out samples."""
    with_measures = scorer.replaced(measures=measures, balance=Balance())
    normal = measure_normal(with_measures, held_out)
    balance = Balance.fit(measures, normal).to(scorer.device)
    if with_measures.kept is None:  # such weights were always rounded to the scorer's precision: scores stay the same
        balance.to(scorer.scaling.center.dtype)
    return with_measures.replaced(balance=balance), normal


@torch.no_grad()
def kept_codes(scorer: Scorer, batches: Iterable[Tensor], count: int) -> Tensor:
    """Codes of the first `count` raw samples, in every view, scaled to length 1: `(v, m, c)`, m ≤ `count`.

    For `CodeDistance`; c is the size of a whole code.
    """
    scorer.eval()
    parts: list[Tensor] = []
    for batch in batches:
        views = scorer.model.pretext.all_views(scorer.normalise(batch.to(scorer.device)))
        codes = unit(scorer.model.encode(views.samples).flatten(1))
        parts.append(codes.reshape(-1, len(batch), codes.shape[1]))
        if sum(each.shape[1] for each in parts) >= count:
            break
    return torch.cat(parts, 1)[:, :count].contiguous()


@torch.no_grad()
def kept_positions(scorer: Scorer, batches: Iterable[Tensor], count: int, each: int, random: torch.Generator) -> Tensor:
    """Codes at random positions of the first raw samples: `(m, c)`, m ≤ `count`. For `PositionDistance`.

    Args:
        scorer: with a trained network.
        batches: `(b, *shape)` each; of longer training samples, the part that scoring takes (`Pretext.as_scored`).
        count: maximum number of codes.
        each: positions per sample, on average.
        random: samples the positions.
    """
    scorer.eval()
    parts: list[Tensor] = []
    for batch in batches:
        x = scorer.model.pretext.as_scored(scorer.normalise(batch.to(scorer.device)))
        rows = scorer.model.encode(x).movedim(1, -1).flatten(0, 2)
        index = torch.randperm(len(rows), generator=random)[: len(batch) * each].to(rows.device)
        parts.append(rows[index])
        if sum(map(len, parts)) >= count:
            break
    every = torch.cat(parts)
    return every[torch.randperm(len(every), generator=random)[:count].to(every.device)].contiguous()
