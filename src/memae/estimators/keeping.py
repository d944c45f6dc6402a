"""Fits a detector whose memory is kept rows: rows are chosen and measured, nothing is trained."""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from memae.data.cleaning import distinct, keys
from memae.estimators.splitting import Parts
from memae.health import Health, HealthMeter
from memae.kept import TOGETHER, KeptMemory
from memae.nearest import Finder
from memae.scoring import Floats, Scaling, Scorer, chunk_size
from memae.scoring.balance import Balance
from memae.scoring.distances import LocalDistance, NearestDistance
from memae.scoring.fitting import Regression, left_out
from memae.scoring.measures import LEAST_EXPECTED, Error, Measure, NormalizedError, RegressionError
from memae.spec import KeptSpec, Spec, build

CALIBRATING = 5_000
"""Maximum number of rows that are measured to calibrate; each is left out of its own neighbourhood."""
UNUSED = "without n_items nothing is trained, the kept rows are the memory. Give n_items to train a network"
"""Why settings of a learned memory have no effect."""
OUTLYING = 0.05
"""Share of the rows, those farthest from all others, that do not count in the scale of features: they would widen it.
They are kept all the same: among rows given as normal, they are rare, not wrong."""
AMONG = 250
"""Number of rows to which distances are measured to find the rows that are farthest from all others: more cost time."""
FEWEST = 4
"""Neighbours below which such a distance says little; with so few rows, none is left out."""
ROUNDS = 8
"""Rounds in which rows to keep are chosen: the first at random, each other among those that are still far."""
CANDIDATES = 20
"""Maximum number of candidates for each row to keep; bounds the cost of choosing."""
REGRESSING = 20_000
"""Maximum number of rows for the regression."""
REGRESSED = 2_000
"""Maximum number of features for a regression of each on all others, whose cost is cubic."""
RIDGE = 1e-9
"""Added to the variances, for features that are constant."""


class Kept(NamedTuple):
    """A detector that keeps rows."""

    scorer: Scorer  # without a calibration
    spec: Spec
    scores: Tensor  # (n,), float64: anomaly scores of normal rows, each left out of its own neighbourhood
    error: float  # mean absolute error of their restored features
    entropy: float  # mean entropy of their addressing weights, nats
    health: Health
    which: Tensor  # (m,): indices of the kept rows among those given
    measured: Tensor  # (n,): indices of the rows of `scores` among those given


def keep(
    x: Tensor,
    fields: tuple[int, ...],
    scaling: Scaling,
    *,
    most: int,
    random: torch.Generator,
    typical: Tensor | None = None,
    calibrating: int = CALIBRATING,
    parts: Parts | None = None,
) -> Kept:
    """Keeps rows as a memory and fits the measures of the distance to them.

    Args:
        x: normalised rows in random order, with duplicates `(n, d)`, float64; the first ones calibrate.
        fields: number of features of each column.
        scaling: that normalised them.
        most: maximum number of rows to keep.
        random: chooses the rows to keep, if there are more.
        typical: which rows may be kept, and measures are fitted to, bool `(n,)`; None for all. The others calibrate.
        calibrating: maximum number of rows to calibrate with.
        parts: of rows that are windows: those of one part are left out together, since they overlap.
    """
    typical = torch.ones(len(x), dtype=torch.bool, device=x.device) if typical is None else typical
    first = distinct(x.cpu())
    first = first[typical[first].cpu()].to(x.device)
    first = first[covering(x[first], most, random)]
    spec = Spec((x.shape[1],), (), memory=KeptSpec(len(first), fields))
    model = build(spec).to(x)
    memory = model.memory
    assert isinstance(memory, KeptMemory)  # noqa: S101 (see the spec)
    several = parts if parts is not None and len(set(parts.label[first.cpu()].tolist())) > 1 else None
    memory.remember(x[first], None if several is None else several.label[first.cpu()].to(x.device))
    scorer = Scorer(model, scaling, [Error("absolute")], chunk=chunk_size(spec.shape))
    chosen = (torch.arange(len(x)) if parts is None else parts.inside.nonzero().flatten())[:calibrating]
    rows = x[:calibrating] if parts is None else x[chosen.to(x.device)]
    apart = apart_of(rows, memory.items) if several is None else several.label[chosen].to(x.device)
    regression = _regression(x[typical][:REGRESSING], fields)
    measured = _Measured(scorer, rows, apart, typical[chosen.to(x.device)], regression)
    memory.parts = None
    memory.use.copy_(measured.meter.share)
    scorer = scorer.replaced(measures=measured.measures, balance=measured.balance)
    health = measured.meter.health(duplicates=0)
    return Kept(
        scorer, spec, scorer.score(measured.values), measured.error, measured.entropy, health, first.cpu(), chosen
    )


class _Measured:
    """Measures of rows that are left out of their own neighbourhood.

    Args:
        scorer: with the memory.
        rows: normalised `(n, d)`.
        apart: see `apart_of`.
        typical: which of the rows the measures are fitted to, bool `(n,)`.
        regression: fitted to them; None for none.
    """

    def __init__(
        self,
        scorer: Scorer,
        rows: Tensor,
        apart: Tensor,
        typical: Tensor,
        regression: Regression | None,
    ) -> None:
        memory = scorer.model.memory
        assert isinstance(memory, KeptMemory)  # noqa: S101 (the caller's)
        usual = memory.isolation.median()
        distances: list[Measure] = [NearestDistance(), LocalDistance(torch.where(usual > 0, usual, 1.0))]
        errors, residuals, values, entropy = [], [], [], 0.0
        self.meter = HealthMeter(len(memory.items))
        for x, found in left_out(scorer.model, rows, apart, scorer.chunk):
            assert found.recall is not None  # noqa: S101 (there is a memory)
            self.meter.add(found.recall)
            entropy += float(found.recall.entropy.sum())
            errors.append((x - found.x_hat).abs())
            values.append(torch.stack([measure(x, found).value for measure in distances], 1))
            if regression is not None:
                residuals.append(regression.left_out(x).abs())
        expected, restored = _expected(torch.cat(errors), typical)
        columns = [restored, *torch.cat(values).unbind(1)]
        self.measures: list[Measure] = [NormalizedError(expected), *distances]
        if regression is not None:
            expected, unexplained = _expected(torch.cat(residuals), typical)
            columns.append(unexplained)
            self.measures.append(RegressionError(regression.mean, regression.residual, expected))
        self.values = torch.stack(columns, 1).double().cpu()
        # The plain distance is what holds on any data; what the other measures add must not drown it.
        weights = torch.tensor(
            [len(columns) - 1.0 if isinstance(each, NearestDistance) else 1.0 for each in self.measures]
        )
        self.balance = Balance.of_surprise(self.values[typical.cpu()], weights.double() / weights.sum()).to(rows.device)
        self.error = float(torch.cat(errors).mean())
        self.entropy = entropy / len(rows)


def left_out_scores(scorer: Scorer, raw: Tensor) -> Floats:
    """Scores of raw rows `(n, d)`, kept ones left out of their own neighbourhood `(n,)`.

    Args:
        scorer: with kept rows as memory.
        raw: rows.
    """
    memory = scorer.model.memory
    assert isinstance(memory, KeptMemory)  # noqa: S101 (see Args)
    x = scorer.normalise(raw.to(scorer.device))
    values = [
        torch.stack([measure(part, found).value for measure in scorer.measures], 1)
        for part, found in left_out(scorer.model, x, apart_of(x, memory.items), scorer.chunk)
    ]
    return np.asarray(scorer.score(torch.cat(values)).cpu().numpy(), dtype=np.float64)


def covering(x: Tensor, most: int, random: torch.Generator) -> Tensor:
    """Indices of `most` of the rows, which cover all: a part at random, then rows with a probability by their distance.

    Random rows alone would leave out what is rare, which then counts as anomalous. The distance is that to the rows
    chosen in the rounds before (as in the seeding of k-means by Arthur and Vassilvitskii, SODA 2007).

    Args:
        x: distinct normalised rows `(n, d)`.
        most: number of rows to choose; all if there are no more.
        random: chooses.
    """
    if len(x) <= most:
        return torch.arange(len(x), device=x.device)
    pool = torch.randperm(len(x), generator=random)[: CANDIDATES * most].to(x.device)
    each = math.ceil(most / ROUNDS)
    chosen = pool[:each]
    apart = torch.full((len(pool),), torch.inf, device=x.device, dtype=x.dtype)
    new = chosen
    while len(chosen) < most:
        nearest = Finder(x[new])
        parts = torch.split(pool, TOGETHER)
        apart = apart.minimum(torch.cat([nearest(x[part], 1).distance[:, 0] for part in parts]))
        count = min(each, most - len(chosen), int((apart > 0).sum()))
        new = pool[torch.multinomial(apart.cpu(), count, generator=random).to(x.device)]
        chosen = torch.cat([chosen, new])
    return chosen


def central(x: Tensor, share: float) -> Tensor:
    """Which rows remain without the `share` farthest from all others, bool `(n,)`.

    The distance of a row is that to its k-th nearest of `AMONG` rows, where k exceeds 1.5 times their number that is
    left out: a smaller k would miss anomalies that resemble each other, since they are near neighbours.

    Args:
        x: normalised rows in random order `(n, d)`.
        share: fraction to leave out, below 0.5.
    """
    among = x[:AMONG]
    k = min(math.ceil(1.5 * share * len(among)) + 1, len(among))  # + 1, since a row among them finds itself
    if k < FEWEST:
        return torch.ones(len(x), dtype=torch.bool, device=x.device)
    distance = torch.cat([torch.cdist(part, among).kthvalue(k).values for part in torch.split(x, TOGETHER)])
    remain = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    remain[distance.argsort(stable=True)[: math.ceil((1 - share) * len(x))]] = True
    return remain


def rescaled(scaling: Scaling, rows: Tensor) -> Scaling:
    """The scaling with mean and standard deviation of these rows alone, which outliers among all rows would widen.

    Args:
        scaling: to mean 0 and deviation 1 of all rows.
        rows: raw `(n, d)`. A feature that is constant in them keeps its scale.
    """
    spread = rows.std(0, correction=0)
    return Scaling(rows.mean(0), torch.where(spread > 0, spread, scaling.scale), scaling.limit)


def _expected(errors: Tensor, typical: Tensor) -> tuple[Tensor, Tensor]:
    """Expected error of each feature `(d,)`, and the sum of each row's errors over them `(n,)`."""
    expected = errors[typical].mean(0).clamp_min(LEAST_EXPECTED)
    return expected, (errors / expected).sum(1)


def _regression(x: Tensor, fields: tuple[int, ...]) -> Regression | None:
    """The regression of each field on all others, with the covariance of Ledoit and Wolf (2004); None for one field."""
    from sklearn.covariance import ledoit_wolf  # noqa: PLC0415 (a dozen MB that scoring does not need)

    if len(fields) < 2 or x.shape[1] > REGRESSED or len(x) < 2:
        return None
    covariance, shrinkage = ledoit_wolf(x.cpu().numpy())
    shrunk = torch.from_numpy(np.atleast_2d(covariance)).to(x)
    shrunk.diagonal().add_(RIDGE)
    return Regression.fit(x.mean(0), shrunk, fields, share=(1 - shrinkage) / (len(x) - 1))


def apart_of(rows: Tensor, items: Tensor) -> Tensor:
    """Index of the item that each row `(n, d)` is, or −1 for a row that is none or occurs more than once `(n,)`.

    The duplicate of a row is a real neighbour of it; so the row need not be left out. A single item cannot be.
    """
    if len(items) == 1:
        return torch.full((len(rows),), -1, device=rows.device)
    these, known = (keys(each.detach()).numpy() for each in (rows, items))
    order = np.argsort(known)
    at = np.searchsorted(known, these, sorter=order).clip(max=len(known) - 1)
    found = order[at]
    alone = (known[found] == these) & ~pd.Series(these).duplicated(keep=False).to_numpy()
    return torch.from_numpy(np.where(alone, found, -1)).to(rows.device)


def rows_to_read(width: int, most: int) -> int:
    """Maximum number of rows to hold, of which `most` are kept: a sample of 64 MiB, and at least those to keep."""
    return max(2**26 // (8 * width), most)
