"""What measures and their balance take from normal samples, once a network is trained."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from memae.data.samples import Samples
from memae.memory import unit
from memae.scoring.balance import Balance
from memae.scoring.measures import LEAST_EXPECTED, Error, Measure
from memae.scoring.scorer import Scorer


def expected_error(scorer: Scorer, held_out: Samples) -> Tensor:
    """Mean absolute error of each element over held-out normal samples `(*shape)`; see `NormalizedError`.

    Args:
        scorer: with a trained network.
        held_out: raw.
    """
    absolute = scorer.replaced(measures=[Error("absolute")])
    errors = [part.error_map for part in absolute.batched(held_out.batches(scorer.chunk))]
    return torch.cat(errors).mean(0).clamp_min(LEAST_EXPECTED).to(scorer.scaling.center)


def measure_normal(scorer: Scorer, held_out: Samples) -> Tensor:
    """`Scores.measures` of all held-out normal samples, raw, on the CPU."""
    batches = held_out.batches(scorer.chunk)
    return torch.cat([part.measures for part in scorer.batched(batches, maps=False)])


def balanced(scorer: Scorer, measures: Sequence[Measure], held_out: Samples) -> tuple[Scorer, Tensor]:
    """The scorer with other measures, weighed against each other, and their values for the held-out samples."""
    with_measures = scorer.replaced(measures=measures, balance=Balance())
    normal = measure_normal(with_measures, held_out)
    balance = Balance.fit(measures, normal).to(scorer.device)
    if with_measures.kept is None:  # a rounding that scores of such models have always had
        balance.to(scorer.scaling.center.dtype)
    return with_measures.replaced(balance=balance), normal


@torch.no_grad()
def kept_codes(scorer: Scorer, batches: Iterable[Tensor], count: int) -> Tensor:
    """Codes of the first `count` of these raw samples, in every view and scaled to length 1: `(v, m, c)`.

    For `CodeDistance`.
    """
    scorer.eval()
    found: list[Tensor] = []
    for batch in batches:
        views = scorer.model.pretext.all_views(scorer.normalise(batch.to(scorer.device)))
        codes = unit(scorer.model.encode(views.samples).flatten(1))
        found.append(codes.reshape(-1, len(batch), codes.shape[1]))
        if sum(each.shape[1] for each in found) >= count:
            break
    return torch.cat(found, 1)[:, :count].contiguous()


@torch.no_grad()
def kept_positions(scorer: Scorer, batches: Iterable[Tensor], count: int, each: int, random: torch.Generator) -> Tensor:
    """Codes of positions sampled from the first raw samples: `(count, c)` at most. For `PositionDistance`.

    Args:
        scorer: with a trained network.
        batches: `(b, *shape)` each; of longer training samples what is scored of them counts.
        count: of codes.
        each: positions of a sample, on average.
        random: samples positions.
    """
    scorer.eval()
    found: list[Tensor] = []
    for batch in batches:
        x = scorer.model.pretext.as_scored(scorer.normalise(batch.to(scorer.device)))
        rows = scorer.model.encode(x).movedim(1, -1).flatten(0, 2)
        index = torch.randperm(len(rows), generator=random)[: len(batch) * each].to(rows.device)
        found.append(rows[index])
        if sum(map(len, found)) >= count:
            break
    every = torch.cat(found)
    return every[torch.randperm(len(every), generator=random)[:count].to(every.device)].contiguous()
