"""The one `Scorer`: raw sample in, `Scores` out."""

import functools
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate

from memae.errors import InputError, OptionError, memory_guard
from memae.memory import Shrunk
from memae.model import Found, MemAE
from memae.scoring.balance import Balance
from memae.scoring.calibration import Calibration
from memae.scoring.measures import Kept, Measure, Measured

Floats = NDArray[np.float64]
Network = Callable[[Tensor], Found]
"""Normalised samples `(chunk, *shape)` → what is found of them, as `MemAE` gives it."""


class Scores(NamedTuple):
    """What the scorer says of a batch of b samples."""

    score: Tensor  # (b,), float64, higher = more anomalous
    error_map: Tensor  # (b, *shape): what each element adds, see `Scorer.map`; or (0,)
    x_hat: Tensor  # reconstruction: of samples in the raw unit, of another target as it is; or (0,)
    fallback: Tensor  # (b,), bool: some query of the sample found no item above λ
    measures: Tensor  # (b, k), or at each position (b, k, h, w): what the score weighs


class Scaling(nn.Module):
    """Raw samples → what the network sees.

    Args:
        center: subtracted from raw samples, broadcast over them.
        scale: divides them after that.
        limit: normalised values are clamped to ± limit.
    """

    center: Tensor
    scale: Tensor

    def __init__(self, center: Tensor, scale: Tensor, limit: float = math.inf) -> None:
        super().__init__()
        self.register_buffer("center", center)
        self.register_buffer("scale", scale)
        self.limit = limit

    def forward(self, raw: Tensor) -> Tensor:
        """Normalised samples, in the precision of `center`."""
        shifted = raw.to(self.center) - self.center
        x = shifted.div_(self.scale)
        return x.clamp_(-self.limit, self.limit) if math.isfinite(self.limit) else x

    def inverse(self, x: Tensor) -> Tensor:
        """The raw samples of normalised ones, within the limit."""
        return (x.to(self.center) * self.scale).add_(self.center)


class Scorer(nn.Module):
    """Raw samples in, scores out: scaling, model, measures, balance and calibration in one place.

    A score is the weighed sum of the measures of a sample, each the larger the more anomalous. Where measures have
    positions, the sum is taken at each, and the score is the highest.

    All is given at construction; `replaced` makes another scorer of the same parts.

    Args:
        model: trained; put into evaluation mode by `batched`.
        scaling: of raw samples.
        measures: the ways to be unlike normal that count, all with positions or none.
        balance: weighs them; None lets the first count alone.
        calibration: scores of held-out normal samples; None before they are known.
        chunk: samples that are computed at once. Always so many: a smaller batch is filled up, so that the score of
            a sample does not depend on the batch it came in.
        network: computes instead of `model`, on another engine; None for torch.
    """

    measures: Sequence[Measure]  # an `nn.ModuleList`, which has no types

    def __init__(
        self,
        model: MemAE,
        scaling: Scaling,
        measures: Sequence[Measure],
        balance: Balance | None = None,
        calibration: Calibration | None = None,
        *,
        chunk: int = 1,
        network: Network | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.scaling = scaling
        self.measures = nn.ModuleList(measures)  # type: ignore[assignment]
        self.balance = Balance() if balance is None else balance
        self.calibration = calibration
        self.chunk = chunk
        self.network = network

    def replaced(self, **parts: Any) -> Self:
        """A scorer of the same parts, but for those that are given by the names of the constructor's arguments."""
        names = ("model", "scaling", "measures", "balance", "calibration", "chunk", "network")
        scorer = type(self)(**{name: getattr(self, name) for name in names} | parts)
        return scorer.train(self.training)

    def forward(self, raw: Tensor, *, maps: bool = True) -> Scores:
        """Scores one batch as it is; `batched` is for data of any length.

        Args:
            raw: `(b, *shape)`.
            maps: whether error maps and reconstructions are wanted; they may cost a third of the time.
        """
        x = self.normalise(raw)
        found: Found = self.model(x) if self.network is None else self.network(x)
        target = self.model.pretext.target(x)
        measured: list[Measured] = [measure(target, found) for measure in self.measures]
        values = torch.stack([each.value for each in measured], 1)
        positions = self.balance(values)
        score = highest(positions).double()
        if not maps:
            return Scores(score, score[:0], score[:0], found.fallback, values)
        restored = self.scaling.inverse(found.x_hat) if target is x else found.x_hat
        return Scores(score, self.map(x, measured, positions), restored, found.fallback, values)

    def normalise(self, raw: Tensor) -> Tensor:
        """Raw samples → what the network sees, in its precision."""
        scaled: Tensor = self.scaling(raw)
        return scaled.to(next(self.model.parameters()).dtype)

    def map(self, x: Tensor, measured: Sequence[Measured], positions: Tensor) -> Tensor:
        """What each element of normalised samples `(b, *shape)` adds to their scores.

        Of positions it is their score, at the size of a sample `(b, 1, …, h, w)`. Else it is the weighed sum of the
        parts of all measures; where one has no parts, those of the first alone, not weighed.
        """
        if positions.ndim > 1:
            size = x.shape[-2:]
            return shown(positions, size).reshape(-1, *[1] * (x.ndim - 3), *size)
        if not self.weighs_parts:
            assert measured[0].parts is not None  # noqa: S101 (an error of elements comes first)
            return measured[0].parts
        assert self.balance.weights is not None  # noqa: S101 (asked before)
        every = zip(self.measures, measured, self.balance.weights, strict=True)
        added: Iterator[Tensor] = (measure.added(each) * weight for measure, each, weight in every)
        return functools.reduce(operator.add, added)

    def deviations(self, error_map: Tensor) -> Tensor:
        """Maps of `Scores` as deviations of normalised elements; where they are parts of the score, as they are."""
        if self.by_position or self.weighs_parts:
            return error_map
        return self.measures[0].deviation(error_map)

    def positions(self, measures: Tensor) -> Tensor:
        """The weighed sum of `Scores.measures`, at each position where they have positions: `(b, …)`."""
        summed: Tensor = self.balance(measures)
        return summed

    def score(self, measures: Tensor) -> Tensor:
        """The score `(b,)` of `Scores.measures`."""
        return highest(self.positions(measures))

    @property
    def by_position(self) -> bool:
        """Whether a score is the highest of a map of positions."""
        return any(measure.by_position for measure in self.measures)

    @property
    def weighs_parts(self) -> bool:
        """Whether a map is the weighed sum of what the elements add to several measures."""
        return self.balance.weights is not None and all(measure.has_parts for measure in self.measures)

    @property
    def measured(self) -> tuple[str, ...]:
        """What the columns of `Scores.measures` are."""
        return tuple(measure.name for measure in self.measures)

    @property
    def needs(self) -> tuple[str, ...]:
        """Fields of `Found` that the scores need: of the network, nothing else has to be computed."""
        wanted = {name for measure in self.measures for name in measure.needs}
        return ("x_hat", "fallback", *(name for name in ("surprise", "codes") if name in wanted))

    @property
    def kept(self) -> Kept | None:
        """The measure of the distance to kept normal samples, or to their codes; None where none are kept."""
        return next((measure for measure in self.measures if isinstance(measure, Kept)), None)

    @property
    def device(self) -> torch.device:
        """Where the scorer computes."""
        return self.scaling.center.device

    @torch.no_grad()
    def batched(self, batches: Iterable[Tensor], *, maps: bool = True) -> Iterator[Scores]:
        """Scores of raw samples that come in batches of any size, chunk by chunk, on the CPU.

        Args:
            batches: `(b, *shape)` each.
            maps: see `forward`.

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
                    scores = self(filled.to(self.device), maps=maps)
                    scores = Scores(*(value[: len(part)].cpu() for value in scores))
                if not scores.score.isfinite().all():
                    raise InputError("a score is not finite: the data lie too far outside what the model was fitted on")
                yield scores

    @torch.no_grad()
    def addressed(self, raw: Tensor) -> Shrunk | None:
        """Addressing weights ŵ `(b, n, *space)` of raw samples as they are; None without a memory."""
        self.eval()
        memory = self.model.memory
        return None if memory is None else memory.weights(self.model.encode(self.normalise(raw.to(self.device))))


def highest(positions: Tensor) -> Tensor:
    """The highest value of any position `(b, …)` → `(b,)`; without positions the value itself."""
    return positions.flatten(1).amax(1) if positions.ndim > 1 else positions


def shown(positions: Tensor, size: Sequence[int]) -> Tensor:
    """Values of positions `(b, h, w)` at a size `(b, 1, *size)`."""
    return interpolate(positions[:, None].float(), tuple(size), mode="bilinear")


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
    return scorer.scaling.inverse(x_hat).cpu()


def chunk_size(shape: tuple[int, ...], views: int = 1) -> int:
    """Samples computed at once for samples of `shape`, each seen in so many views: a power of two.

    Example:
        >>> chunk_size((120,)), chunk_size((120,), 8), chunk_size((1, 28, 28)), chunk_size((1, 16, 256, 256))
        (1024, 128, 128, 1)
    """
    return int(2 ** max(math.floor(math.log2(min(131_072 / math.prod(shape), 1024) / views)), 0))
