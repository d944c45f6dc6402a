"""The `Scorer`: raw samples in, `Scores` out."""

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
from memae.features import Features
from memae.kept import KeptMemory
from memae.memory import Shrunk
from memae.model import Found, MemAE
from memae.scoring.balance import Balance
from memae.scoring.calibration import Calibration
from memae.scoring.distances import Kept
from memae.scoring.measures import Measure, Measured

Floats = NDArray[np.float64]
NEEDED = ("surprise", "codes", "distance", "isolation", "nearest")
"""Fields of `Found` that only some measures need."""
Network = Callable[[Tensor], Found]
"""Normalised samples `(chunk, *shape)` → `Found`, as `MemAE` returns it."""


class Scores(NamedTuple):
    """Scores of b samples."""

    score: Tensor  # (b,), float64, higher = more anomalous
    error_map: Tensor  # (b, *shape), or of positions (b, 1, …, h, w): see `Scorer.map`; without maps (0,)
    x_hat: Tensor  # reconstruction of the samples in the raw unit, or of another target, normalised; without maps (0,)
    fallback: Tensor  # (b,), bool: some query of the sample found no item above λ
    measures: Tensor  # (b, k), or at each position (b, k, h, w): the values that the score sums up


class Scaling(nn.Module):
    """Normalises raw samples: (raw − center) / scale, clamped to ±limit.

    Args:
        center: broadcast over samples.
        scale: broadcast over samples.
        limit: of normalised values; infinite for none.
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
        """Normalised samples in the raw unit; what `forward` clamped stays clamped."""
        return (x.to(self.center) * self.scale).add_(self.center)


class Scorer(nn.Module):
    """Computes scores from raw samples: scaling, model, measures, balance and calibration in one place.

    A score is the weighted sum of a sample's measures. If they have positions, the sum is taken at each position, and
    the score is the highest.

    A scorer is not changed after construction; `replaced` makes another one.

    Args:
        model: trained; put into evaluation mode by `batched`.
        scaling: of raw samples.
        measures: k of them, either all with positions or all without.
        balance: weights of the measures; None takes the first alone.
        calibration: scores of held-out normal samples; None before they are computed.
        chunk: number of samples computed at once. A smaller batch is padded to it, so that the score of a sample does
            not depend on its batch.
        network: replaces `model` by another engine; None for torch.
        features: of photos, which the model then sees in their place; None for samples as they are.
        peaks: the highest value of the map of each held-out normal photo; None where maps have no threshold.
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
        features: Features | None = None,
        peaks: Calibration | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.scaling = scaling
        self.measures = nn.ModuleList(measures)  # type: ignore[assignment]
        self.balance = Balance() if balance is None else balance
        self.calibration = calibration
        self.chunk = chunk
        self.network = network
        self.features = features
        self.peaks = peaks

    def replaced(self, **parts: Any) -> Self:
        """A scorer with the same parts, except those given here by the names of the constructor's arguments."""
        names = ("model", "scaling", "measures", "balance", "calibration", "chunk", "network", "features", "peaks")
        scorer = type(self)(**{name: getattr(self, name) for name in names} | parts)
        return scorer.train(self.training)

    def forward(self, raw: Tensor, *, maps: bool = True) -> Scores:
        """Scores one batch at once; `batched` is for data of any length.

        Args:
            raw: `(b, *shape)`.
            maps: whether to return error maps and reconstructions, which may take a third of the time.
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
        raw_like = target is x and self.features is None
        restored = self.scaling.inverse(found.x_hat) if raw_like else found.x_hat
        return Scores(score, self.map(x, measured, positions), restored, found.fallback, values)

    def normalise(self, raw: Tensor) -> Tensor:
        """Raw samples → normalised samples in the model's precision, the same shape; or photos → feature maps."""
        scaled: Tensor = self.scaling(raw)
        scaled = scaled.to(next(self.model.parameters()).dtype)
        return scaled if self.features is None else self.features(scaled)

    def map(self, x: Tensor, measured: Sequence[Measured], positions: Tensor) -> Tensor:
        """What each element of a sample adds to its score.

        With positions, the map holds their scores, resized to the samples' `(h, w)`: `(b, 1, …, h, w)`. Otherwise it is
        the weighted sum of the parts of all measures `(b, *shape)`; if a measure has no parts or there are no weights,
        the unweighted parts of the first.

        Args:
            x: normalised samples `(b, *shape)`.
            measured: by each measure.
            positions: `positions` of the values: `(b,)` or `(b, h, w)`.
        """
        if positions.ndim > 1:
            size = x.shape[-2:]
            return shown(positions, size).reshape(-1, *[1] * (x.ndim - 3), *size)
        if not self.weighs_parts:
            assert measured[0].parts is not None  # noqa: S101 (the first measure is an error with parts)
            return measured[0].parts
        factors = self.balance.factors(torch.stack([each.value for each in measured], 1)).unbind(1)
        every = zip(self.measures, measured, factors, strict=True)
        added: Iterator[Tensor] = (
            measure.added(each) * factor.reshape(-1, *[1] * (x.ndim - 1)) for measure, each, factor in every
        )
        return functools.reduce(operator.add, added)

    def deviations(self, error_map: Tensor) -> Tensor:
        """`Scores.error_map` as deviations of normalised elements; maps of positions and weighted sums as they are."""
        if self.by_position or self.weighs_parts:
            return error_map
        return self.measures[0].deviation(error_map)

    def positions(self, measures: Tensor) -> Tensor:
        """The weighted sum of `Scores.measures`: `(b, k)` → `(b,)`, or `(b, k, h, w)` → `(b, h, w)`."""
        summed: Tensor = self.balance(measures)
        return summed

    def score(self, measures: Tensor) -> Tensor:
        """The score `(b,)` of `Scores.measures`."""
        return highest(self.positions(measures))

    @property
    def by_position(self) -> bool:
        """Whether a score is the highest over the positions of a map."""
        return any(measure.by_position for measure in self.measures)

    @property
    def weighs_parts(self) -> bool:
        """Whether a map is the weighted sum of the parts of several measures."""
        return self.balance.weights is not None and all(measure.has_parts for measure in self.measures)

    @property
    def measured(self) -> tuple[str, ...]:
        """The names of the measures, in the order of the columns of `Scores.measures`."""
        return tuple(measure.name for measure in self.measures)

    @property
    def needs(self) -> tuple[str, ...]:
        """Fields of `Found` that the scores need; an engine computes no others."""
        wanted = {name for measure in self.measures for name in measure.needs}
        return ("x_hat", "fallback", *(name for name in NEEDED if name in wanted))

    @property
    def kept(self) -> Kept | None:
        """The measure of the distance to kept samples or codes; None if none are kept."""
        return next((measure for measure in self.measures if isinstance(measure, Kept)), None)

    @property
    def kept_samples(self) -> Tensor | None:
        """Whole training samples that the model holds, normalised `(m, *shape)`; None if there are none."""
        memory, kept = self.model.memory, self.kept
        if isinstance(memory, KeptMemory):
            return memory.items.detach()
        return kept.items if kept is not None and kept.of_samples else None

    @property
    def device(self) -> torch.device:
        """The device of the scorer."""
        return self.scaling.center.device

    @torch.no_grad()
    def batched(self, batches: Iterable[Tensor], *, maps: bool = True) -> Iterator[Scores]:
        """Scores raw samples from batches of any size; yields at most a chunk at a time, on the CPU.

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
                missing = self.chunk - len(part)
                filled = torch.cat([part, part[-1:].expand(missing, *part.shape[1:])]) if missing else part
                with memory_guard("score with a smaller model or on a machine with more memory"):
                    scores = self(filled.to(self.device), maps=maps)
                    scores = Scores(*(value[: len(part)].cpu() for value in scores))
                if not scores.score.isfinite().all():
                    raise InputError("a score is not finite: the data lie too far outside what the model was fitted on")
                yield scores

    @torch.no_grad()
    def addressed(self, raw: Tensor) -> Shrunk | None:
        """Addressing weights ŵ `(b, n)`, or `(b, n, *space)` per position, of raw samples; None without a memory."""
        self.eval()
        memory = self.model.memory
        return None if memory is None else memory.weights(self.model.encode(self.normalise(raw.to(self.device))))


def highest(positions: Tensor) -> Tensor:
    """The highest value over all positions: `(b, …)` → `(b,)`; `(b,)` stays unchanged."""
    return positions.flatten(1).amax(1) if positions.ndim > 1 else positions


def shown(positions: Tensor, size: Sequence[int]) -> Tensor:
    """Values of positions `(b, h, w)` resized to `(b, 1, *size)`, float32."""
    return interpolate(positions[:, None].float(), tuple(size), mode="bilinear")


@torch.no_grad()
def decoded_items(scorer: Scorer, numbers: Tensor | None = None) -> Tensor:
    """Decodes each memory item alone: `(n, *shape)` in the raw unit, on the CPU (Figure 3 of the paper).

    Args:
        scorer: with a memory.
        numbers: indices of the items `(n,)`; None for all.

    Raises:
        OptionError: there is no memory, or its items are features of single positions, which cannot be decoded alone.
    """
    memory = scorer.model.memory
    if memory is None or scorer.model.code_shape is None:
        raise OptionError("only a memory whose items are whole codes can be decoded; fit with items, not per position")
    scorer.eval()
    items = memory.items if numbers is None else memory.items[numbers.to(memory.items.device)]
    x_hat = torch.cat([scorer.model.decode(part) for part in torch.split(items, scorer.chunk)])
    return scorer.scaling.inverse(x_hat).cpu()


def chunk_size(shape: tuple[int, ...], views: int = 1) -> int:
    """Number of samples of `shape`, with so many views each, to compute at once: a power of two, at most 1024.

    Example:
        >>> chunk_size((120,)), chunk_size((120,), 8), chunk_size((1, 28, 28)), chunk_size((1, 16, 256, 256))
        (1024, 128, 128, 1)
    """
    return int(2 ** max(math.floor(math.log2(min(131_072 / math.prod(shape), 1024) / views)), 0))
