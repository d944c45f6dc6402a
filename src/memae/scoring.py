"""What a score means: higher = more anomalous. From raw samples to scores, error maps and frame scores."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from memae.calibration import Calibration
from memae.errors import InputError, OptionError, memory_guard
from memae.losses import Criterion, criterion_map, criterion_total, error_map
from memae.memory import Shrunk, unit
from memae.model import MemAE
from memae.neighbours import apart
from memae.parameters import Reduction

Floats = NDArray[np.float64]
Network = Callable[[Tensor], tuple[Tensor, ...]]
"""Normalised samples `(chunk, *shape)` → what `Scorer.outputs` gives for them."""
T = TypeVar("T")

LEAST_USUAL = 0.05
"""Normalised error of an element that is usual at least: what was always met exactly may vary a little."""
CERTAIN = 0.01
"""Nats of surprise below which differences hardly count: the model is sure either way."""


class Scores(NamedTuple):
    """What the scorer says of a batch of b samples."""

    score: Tensor  # (b,), higher = more anomalous
    error_map: Tensor  # (b, *shape): error of each element, see `Scorer`; or (0,)
    x_hat: Tensor  # (b, *shape): reconstruction, in the raw unit; or (0,), where only scores were asked for
    fallback: Tensor  # (b,), bool: some query of the sample found no item above λ
    measures: Tensor  # (b, 1 to 3), or at each position (b, 1 to 3, h, w): what the score weighs; see `Scorer`


class Scorer(nn.Module):
    """Raw samples in, scores out: normalisation, model, error formula and calibration in one place.

    A score weighs up to three measures of a sample, each the larger the more anomalous: its error; where the model
    tells turns, ln(1 + surprise / 0.01); where normal samples are known, the distance to the nearest of them, between
    codes or, for rows of tables, between the rows. With the error alone, the score is the error.

    Of clips whose paces are told, each measure is known at each position of the code: there the error is that of the
    motion, and the surprise that of `Pace.odds`. Each counts by how far it lies above what it usually is there. The
    score is the highest sum of any position, and the error map shows them all, at the size of a frame.

    For others, the error map is that of `criterion_map`, with the criterion "usual" over the usual errors. Where rows
    are known, it is what each element adds to the score: its error, weighed, and its part of the distance.

    Args:
        model: trained; put into evaluation mode by `batched`.
        center: subtracted from raw samples, broadcast over them.
        scale: divides them after that.
        limit: what is further from 0 after that counts as so far, so that nothing outshouts the rest.
        reduction: formula of the score; see `reconstruction_error`.
        criterion: what the score makes of the errors of elements; see `criterion_map`.
        chunk: samples that are computed at once. Always so many: a smaller batch is filled up, so that the score of
            a sample does not depend on the batch it came in.
        references: codes of training samples, scaled to length 1, `(turns, m, c)`; see `codes`. For clips those of
            single positions, as they are, `(m, c)`; see `position_codes`.
        rows: training rows, normalised, `(m, d)`.
    """

    center: Tensor
    scale: Tensor
    usual: Tensor | None
    level: Tensor | None
    weights: Tensor | None
    references: Tensor | None
    rows: Tensor | None

    def __init__(
        self,
        model: MemAE,
        center: Tensor,
        scale: Tensor,
        *,
        limit: float = math.inf,
        reduction: Reduction = "sum",
        criterion: Criterion = "error",
        chunk: int = 1,
        references: Tensor | None = None,
        rows: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("center", center)
        self.register_buffer("scale", scale)
        self.limit = limit
        self.reduction: Reduction = reduction
        self.criterion: Criterion = criterion
        self.chunk = chunk
        self.network: Network | None = None  # another engine's; None for torch
        self.calibration: Calibration | None = None
        self.register_buffer("usual", torch.ones_like(center) if criterion == "usual" else None)
        self.remember(references, rows)

    def remember(self, references: Tensor | None = None, rows: Tensor | None = None) -> None:
        """Takes other known samples, see above, or none; `balance` must follow, until then the error alone counts."""
        self.register_buffer("references", references)
        self.register_buffer("rows", rows)
        measures = len(self.measured)
        first = torch.eye(measures, dtype=torch.float64, device=self.center.device)[0]
        self.register_buffer("weights", first if measures > 1 else None)
        pace = self.model.pace
        level = None if pace is None else torch.zeros(measures, *pace.places, device=self.center.device)
        self.register_buffer("level", level)

    @property
    def measured(self) -> tuple[str, ...]:
        """What the columns of `Scores.measures` are."""
        surprise = self.model.compass is not None or (self.model.pace is not None and len(self.model.pace.paces) > 1)
        distance = self.references is not None or self.rows is not None
        return ("error", *["surprise"] * surprise, *["distance"] * distance)

    def normalise(self, raw: Tensor) -> Tensor:
        """Raw samples → what the network sees, in its precision."""
        shifted = raw.to(self.center) - self.center
        x = shifted.div_(self.scale)
        if math.isfinite(self.limit):
            x = x.clamp_(-self.limit, self.limit)
        return x.to(next(self.model.parameters()).dtype)

    def raw(self, x: Tensor) -> Tensor:
        """The inverse of `normalise` within its limit."""
        return (x.to(self.center) * self.scale).add_(self.center)

    def forward(self, raw: Tensor, *, reasons: bool = True) -> Scores:
        """Scores one batch as it is; `batched` is for data of any length.

        Args:
            raw: `(b, *shape)`.
            reasons: whether error maps and reconstructions are wanted; for tables they cost a third of the time.
        """
        x = self.normalise(raw)
        x_hat, fallback, *more = self.outputs(x) if self.network is None else self.network(x)
        if self.model.pace is not None:
            return self._of_clips(x, x_hat, fallback, more, reasons=reasons)
        errors = criterion_map(x, x_hat, self.criterion, self.reduction)
        if self.usual is not None:
            errors = errors / self.usual
        # The sum runs in float64: over a whole clip, float32 would lose what the tolerance of the parity test promises.
        measures = [criterion_total(errors, x, self.criterion, self.reduction, torch.float64)]
        if self.model.compass is not None:
            measures.append((more.pop(0).double() / CERTAIN).log1p())
        if self.references is not None:
            measures.append(self._distance(more.pop(0)).double())
        if self.rows is not None:
            far = apart(x, self.rows)
            measures.append(far.distance.double())
            if reasons and self.weights is not None:
                mean = self.criterion == "error" and self.reduction != "sum"
                errors = errors / (errors.shape[1] if mean else 1) * self.weights[0] + far.shares * self.weights[-1]
        together = torch.stack(measures, 1)
        score = self.weighed(together)
        if not reasons:
            return Scores(score, score[:0], score[:0], fallback, together)
        return Scores(score, errors, self.raw(x_hat), fallback, together)

    def _of_clips(self, x: Tensor, x_hat: Tensor, fallback: Tensor, more: list[Tensor], *, reasons: bool) -> Scores:
        """Scores of normalised clips `(b, c, t, h, w)`, of which each measure is a map over the positions of the code.

        The reconstruction is that of frames and motion as the network sees them.
        """
        assert self.model.pace is not None  # noqa: S101 (asked before)
        frames = x.shape[1] * x.shape[2]  # channels of the target that are frames; the error is that of the others
        errors = error_map(self.model.target(x), x_hat, self.reduction)[:, frames:].mean(1)
        maps = [adaptive_avg_pool2d(errors, self.model.pace.places)]
        if "surprise" in self.measured:
            maps.append(more[0])
        if self.references is not None:
            codes = more[-1].movedim(1, -1)
            maps.append(apart(codes.flatten(0, 2), self.references).distance.reshape(codes.shape[:3]))
        together = torch.stack(maps, 1)
        score = self.weighed(together).double()
        if not reasons:
            return Scores(score, score[:0], score[:0], fallback, together)
        return Scores(score, self.shown(self.everywhere(together), x.shape[3:])[:, None], x_hat, fallback, together)

    @staticmethod
    def shown(everywhere: Tensor, size: Sequence[int]) -> Tensor:
        """Scores of positions `(b, h, w)` at the size of a frame `(b, 1, *size)`."""
        return interpolate(everywhere[:, None].float(), tuple(size), mode="bilinear")

    def outputs(self, x: Tensor) -> tuple[Tensor, ...]:
        """What the score of normalised samples `(b, *shape)` needs of the network.

        Their reconstructions, whether a query of theirs fell back `(b,)`, and where they count the surprise `(b,)` and
        the codes of all turns `(turns · b, c)`; of clips both for each position, `(b, h, w)` and `(b, c, h, w)`.
        """
        found = self.model(x)
        surprise = () if found.surprise is None else (found.surprise,)
        codes = () if self.references is None else (found.query,)
        return (found.x_hat, found.fallback, *surprise, *codes)

    def _distance(self, codes: Tensor) -> Tensor:
        """1 − cosine of each sample's code to the nearest reference `(b,)`, mean over the turns; Eq. 5's similarity."""
        assert self.references is not None  # noqa: S101 (asked before)
        turns = len(self.references)
        cosines = unit(codes).reshape(turns, -1, codes.shape[1]) @ self.references.mT  # (turns, b, m)
        return 1 - cosines.amax(2).mean(0)

    @torch.no_grad()
    def codes(self, batches: Iterable[Tensor], count: int) -> Tensor:
        """Codes of the first `count` of these raw samples, in every turn and scaled to length 1: `(turns, m, c)`."""
        self.eval()
        found: list[Tensor] = []
        for batch in batches:
            x = self.model.views(self.normalise(batch.to(self.center.device)))
            codes = unit(self.model.encode(x).flatten(1))
            found.append(codes.reshape(self.model.turns, len(batch), -1))
            if sum(each.shape[1] for each in found) >= count:
                break
        return torch.cat(found, 1)[:, :count].contiguous()

    @torch.no_grad()
    def position_codes(self, clips: Iterable[Tensor], count: int, each: int, random: torch.Generator) -> Tensor:
        """Codes of positions drawn from the first raw clips, as filmed: `(count, c)` at most.

        Args:
            clips: `(b, c, t, h, w)` each, t a clip's frames or more.
            count: of codes.
            each: positions of a clip, on average.
            random: draws positions.
        """
        self.eval()
        found: list[Tensor] = []
        for batch in clips:
            assert self.model.pace is not None  # noqa: S101 (others have whole codes)
            x = self.model.pace.normal(self.normalise(batch.to(self.center.device)))
            rows = self.model.encode(x).movedim(1, -1).flatten(0, 2)
            places = torch.randperm(len(rows), generator=random)[: len(batch) * each].to(rows.device)
            found.append(rows[places])
            if sum(map(len, found)) >= count:
                break
        every = torch.cat(found)
        return every[torch.randperm(len(every), generator=random)[:count].to(every.device)].contiguous()

    @torch.no_grad()
    def batched(self, batches: Iterable[Tensor], *, reasons: bool = True) -> Iterator[Scores]:
        """Scores of raw samples that come in batches of any size, chunk by chunk, on the CPU.

        Args:
            batches: `(b, *shape)` each.
            reasons: see `forward`.

        Raises:
            InputError: a sample's score is not finite.
            ResourceError: out of memory.
        """
        self.eval()
        for batch in batches:
            for part in torch.split(batch, self.chunk) if len(batch) else ():
                lacking = self.chunk - len(part)
                filled = torch.cat([part, part[-1:].expand(lacking, *part.shape[1:])]) if lacking else part
                with memory_guard("score with a smaller model or on a machine with more memory"):
                    scores = self(filled.to(self.center.device), reasons=reasons)
                    scores = Scores(*(value[: len(part)].cpu() for value in scores))
                if not scores.score.isfinite().all():
                    raise InputError("a score is not finite: the data lie too far outside what the model was fitted on")
                yield scores

    def expect(self, normal: Tensor) -> None:
        """Takes the errors of held-out normal samples as the usual ones, for the criterion "usual".

        Args:
            normal: their `Scores.error_map`, while nothing was expected yet `(n, *shape)`.
        """
        assert self.usual is not None  # noqa: S101 (asked for by the criterion)
        self.usual.copy_(normal.mean(0).clamp_min(LEAST_USUAL))

    def balance(self, normal: Tensor) -> None:
        """Weighs the measures against each other: each in its standard deviation over normal samples.

        Of clips, the mean at each position, less that of all positions, becomes the level above which measures count
        there: where people walk close by, more moves than where they walk far off.

        The surprise counts by the share of the turns of normal samples that the model tells, besides: not at all where
        those look the same in every position.

        Args:
            normal: `Scores.measures` of held-out normal samples, `(n, k)` or of each position `(n, k, h, w)`, where the
                highest counts.
        """
        if self.level is not None:
            level = normal.mean(0)
            self.level.copy_(level - level.mean((1, 2), keepdim=True))
        if self.weights is None:
            return
        highest = normal if normal.ndim == 2 else normal.flatten(2).amax(2)
        deviation = highest.std(0, correction=0)
        self.weights.copy_(1 / torch.where(deviation > 0, deviation, 1.0))
        if self.model.compass is not None:
            surprise = CERTAIN * normal[:, 1].expm1().mean()
            self.weights[1] *= (1 - surprise / math.log(self.model.turns)).clamp_min(0)

    def weighed(self, measures: Tensor) -> Tensor:
        """The score `(b,)` of `Scores.measures`; where each position has its own, the highest of them."""
        score = self.everywhere(measures)
        return score if score.ndim == 1 else score.flatten(1).amax(1)

    def everywhere(self, measures: Tensor) -> Tensor:
        """The weighed sum of measures `(b, k, …)`, at each position if they are: `(b, …)`."""
        if self.level is not None:
            measures = measures - self.level
        if self.weights is None:
            return measures[:, 0]
        weights = self.weights.to(measures).reshape(-1, *[1] * (measures.ndim - 2))
        summed: Tensor = (measures * weights).sum(1)
        return summed

    @torch.no_grad()
    def addressed(self, raw: Tensor) -> Shrunk | None:
        """Addressing weights ŵ `(b, n, *space)` of raw samples, upright and nothing hidden; None without a memory."""
        self.eval()
        memory = self.model.memory
        return None if memory is None else memory.weights(self.model.encode(self.normalise(raw.to(self.center.device))))


@torch.no_grad()
def decoded_items(scorer: Scorer, numbers: Tensor | None = None) -> Tensor:
    """What each memory item decodes to, alone: `(n, *shape)` in the raw unit (Figure 3 of the paper).

    Args:
        scorer: with a memory.
        numbers: of the items `(n,)`; None for all.

    Raises:
        OptionError: there is no memory, or its items are features of single positions, which no decoder can show.
    """
    memory = scorer.model.memory
    if memory is None or scorer.model.code_shape is None:
        raise OptionError("only a memory whose items are whole codes can be decoded; fit with items, not per position")
    scorer.eval()
    items = memory.items if numbers is None else memory.items[numbers.to(memory.items.device)]
    x_hat = torch.cat([scorer.model.decode(part) for part in torch.split(items, scorer.chunk)])
    return scorer.raw(x_hat).cpu()


def chunk_size(shape: tuple[int, ...], views: int = 1) -> int:
    """Samples computed at once for samples of `shape`, each seen in so many views: a power of two.

    Example:
        >>> chunk_size((120,)), chunk_size((120,), 8), chunk_size((1, 28, 28)), chunk_size((1, 16, 256, 256))
        (1024, 128, 128, 1)
    """
    return int(2 ** max(math.floor(math.log2(min(131_072 / math.prod(shape), 1024) / views)), 0))
