"""Fits measures and their balance to normal samples, after training."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor

from memae.data.samples import Samples
from memae.kept import KeptMemory
from memae.memory import unit
from memae.model import Found, MemAE
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


@torch.no_grad()
def left_out(model: MemAE, x: Tensor, apart: Tensor, size: int) -> Iterator[tuple[Tensor, Found]]:
    """Output of a model with kept samples for samples that must not read themselves, `size` at a time.

    Args:
        model: with a memory of kept samples.
        x: normalised samples `(n, *shape)`.
        apart: index of the item that each sample is; −1 for none `(n,)`.
        size: number of samples at once.
    """
    model.eval()
    assert isinstance(model.memory, KeptMemory)  # noqa: S101 (see Args)
    model.memory.train()  # for the statistics of its reading
    for part, itself in zip(torch.split(x, size), torch.split(apart, size), strict=True):
        yield part, model(part, apart=itself)
    model.eval()


class Regression(NamedTuple):
    """Linear regression of each field of normal samples on all others."""

    mean: Tensor  # (d,)
    residual: Tensor  # (d, d), see `residual_matrix`
    precision: Tensor  # (d, d), inverse of the covariance
    owner: Tensor  # (d,), index of the field of each feature
    share: float  # weight of one sample's outer product in the covariance

    @classmethod
    def fit(cls, mean: Tensor, covariance: Tensor, fields: Sequence[int], share: float) -> Self:
        """The regression of a mean and a covariance; see the fields of the class."""
        precision = torch.cholesky_inverse(torch.linalg.cholesky(covariance))
        owner = torch.repeat_interleave(torch.tensor(fields)).to(mean.device)
        return cls(mean, residual_matrix(precision, fields), precision, owner, share)

    def left_out(self, x: Tensor) -> Tensor:
        """Residuals of samples `(b, d)` that were fitted, as if each had been left out of the covariance `(b, d)`.

        The fit follows a sample that is far from the others; its residual is then too small, the more so the fewer
        samples and the more features there are. With u = x − mean, v = P u, the residual r of a field g and the share a
        of one sample, the Sherman–Morrison formula gives r / (1 − a (uᵀ v − v_gᵀ r)).
        """
        u = x - self.mean
        v, r = u @ self.precision, u @ self.residual.T
        own = torch.zeros_like(r).index_add_(1, self.owner, v * r)[:, self.owner]
        leverage = self.share * ((u * v).sum(1, keepdim=True) - own)
        return r / (1 - leverage).clamp_min(LEAST_EXPECTED)


def residual_matrix(precision: Tensor, fields: Sequence[int]) -> Tensor:
    """The matrix that gives what a linear regression of each field on all others leaves `(d, d)`.

    For `RegressionError`. With the precision matrix P, the residual of the features g of a field is P_gg⁻¹ (P x)_g.

    Args:
        precision: inverse of the covariance of normal samples `(d, d)`.
        fields: number of features of each field, in order.

    Example:
        >>> residual_matrix(torch.tensor([[2.0, 1.0], [1.0, 2.0]]), [1, 1])
        tensor([[1.0000, 0.5000],
                [0.5000, 1.0000]])
    """
    if max(fields) == 1:
        return (precision / precision.diagonal()[:, None]).contiguous()  # as a model file stores it
    start, rows = 0, []
    for width in fields:
        field = slice(start, start + width)
        rows.append(torch.linalg.solve(precision[field, field], precision[field]))
        start += width
    return torch.cat(rows)
