"""Why a sample has its score: what the memory answered, what its items stand for, and what the score is made of."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from memae import pictures
from memae.memory import unit
from memae.pictures import Pixels
from memae.scoring import Scorer, decoded_items
from memae.scoring.calibration import Calibration

SHARPER = 4.0
"""Changes from one frame to the next are small beside the frames, and shown so many times as strong."""
BRIGHTEST = 0.5
"""Deviation of a pixel, as a share of the full range, that heat maps show brightest: the same in every picture."""


@dataclass(frozen=True)
class Neighbour:
    """A training sample that lies near a memory item."""

    sample: str  # how the user knows it: "row 17", "good/003.png", "Train001 frame 42"
    distance: float  # 1 − cosine of its code and the item, for items of positions the nearest of its positions
    thumbnail: Tensor | None  # (c, h, w) uint8; None where none was kept (tables)


class Cell(NamedTuple):
    """One value of a row, in the user's column."""

    column: str
    value: object


@dataclass(frozen=True)
class Item:
    """A memory item that a sample addressed."""

    number: int
    weight: float  # share of the addressing weight, 0 … 1; mean over positions where items are of positions
    decoded: Tensor | None  # (*shape), raw unit: what it decodes to alone; None where items are of positions
    neighbours: tuple[Neighbour, ...]  # nearest first; empty where the model keeps none
    row: tuple[Cell, ...] = ()  # tables: `decoded` in the user's columns


@dataclass(frozen=True)
class Contribution:
    """What one column of a table adds to a score."""

    column: str
    value: object  # as given; None where it is missing
    expected: object  # as restored; None for missing
    share: float  # of what all columns add; the shares sum to 1, or to 0 where nothing adds


@dataclass(frozen=True)
class Evidence:
    """Why one sample has its score."""

    name: str  # "row 17", the path of an image, "video frame 12"
    score: float  # higher = more anomalous; what `anomaly_score` gives
    p_value: float
    threshold: float
    is_anomaly: bool
    sample: Tensor  # (*shape), raw; of video the frame (c, h, w)
    reconstruction: Tensor  # of the sample, raw; of `motion` where that is restored
    error_map: Tensor  # (c, h, w) for pictures, (columns,) for tables
    items: tuple[Item, ...]  # heaviest first; empty for a plain autoencoder
    contributions: tuple[Contribution, ...] = ()  # largest first; empty for pictures
    motion: Tensor | None = None  # (c, h, w): change to the next frame, raw, where that is what is restored
    heat: Tensor | None = None  # (h, w): the error map as shares of what pictures show brightest; None for tables
    span: tuple[float, float] = (0.0, 255.0)  # raw values of black and white

    def picture(self, raw: Tensor) -> Pixels:
        """A sample, a reconstruction of one or a decoded item `(c, h, w)` as pixels."""
        return pictures.drawn(raw, *self.span)

    def moved(self, change: Tensor) -> Pixels:
        """`motion` or its reconstruction as pixels: grey where nothing changes, lighter where it gets lighter."""
        most = (self.span[1] - self.span[0]) / SHARPER
        return pictures.drawn(change, -most, most)

    @property
    def shown(self) -> tuple[tuple[str, Pixels], ...]:
        """What there is to see, in the order to look at it, each with a word: nothing for tables."""
        if self.heat is None:
            return ()
        heat = ("error_map", pictures.heated(self.heat))
        sample = ("sample", self.picture(self.sample))
        if self.motion is None:
            return sample, ("reconstruction", self.picture(self.reconstruction)), heat
        return sample, ("motion", self.moved(self.motion)), ("reconstruction", self.moved(self.reconstruction)), heat

    def as_json(self) -> dict[str, Any]:
        """All of it as plain data; pictures as addresses of PNG data, None for tables."""
        seen = dict.fromkeys(("sample", "motion", "reconstruction", "error_map"))
        return {
            "name": self.name,
            "score": self.score,
            "p_value": self.p_value,
            "threshold": self.threshold if math.isfinite(self.threshold) else None,
            "is_anomaly": self.is_anomaly,
            "contributions": [
                {"column": each.column, "value": plain(each.value), "expected": plain(each.expected)}
                | {"share": each.share}
                for each in self.contributions
            ],
            "items": [self._item(item) for item in self.items],
            **(seen | {name: pictures.data_url(pixels) for name, pixels in self.shown}),
        }

    def _item(self, item: Item) -> dict[str, Any]:
        decoded: Any = {cell.column: plain(cell.value) for cell in item.row} or None
        if self.heat is not None and item.decoded is not None:
            decoded = pictures.data_url(self.picture(item.decoded))
        return {
            "number": item.number,
            "weight": item.weight,
            "decoded": decoded,
            "neighbours": [
                {
                    "sample": each.sample,
                    "distance": each.distance,
                    "thumbnail": None if each.thumbnail is None else pictures.data_url(pictures.drawn(each.thumbnail)),
                }
                for each in item.neighbours
            ],
        }


def plain(value: object) -> str | int | float | bool | None:
    """A value of a table as JSON has it: what is missing is None, what is neither number nor text is its text."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | None) else str(value)


@dataclass(frozen=True)
class Examples:
    """The training samples that lie nearest to each memory item, as a model keeps them."""

    index: Tensor  # (n, k), int32: positions in `names`, nearest first
    distance: Tensor  # (n, k), float32
    names: tuple[str, ...]
    thumbnails: Tensor | None = None  # (len(names), c, h, w), uint8

    def of(self, item: int) -> tuple[Neighbour, ...]:
        """The neighbours of the item of this number."""
        found = zip(self.index[item].tolist(), self.distance[item].tolist(), strict=True)
        thumbnails = self.thumbnails
        return tuple(
            Neighbour(self.names[place], distance, None if thumbnails is None else thumbnails[place])
            for place, distance in found
        )


def heat(scorer: Scorer, error_map: Tensor) -> Tensor:
    """Error maps `(…, c, h, w)` as shares of what pictures show brightest `(…, h, w)`, mean over colours.

    That is a deviation of `BRIGHTEST`; where a map is the score of each position, twice the threshold.
    """
    if scorer.by_position:
        return calibrated(scorer).strength(error_map.mean(-3)) / 2
    return scorer.deviations(error_map).mean(-3) / BRIGHTEST


def calibrated(scorer: Scorer) -> Calibration:
    """The calibration of a scorer that has one."""
    assert scorer.calibration is not None  # noqa: S101 (a fitted detector has one)
    return scorer.calibration


@torch.no_grad()
def likeness(scorer: Scorer, raw: Tensor) -> Tensor:
    """Cosine of each sample's code and each memory item `(b, n)`; where items are of positions, the highest of any.

    Args:
        scorer: with a memory.
        raw: `(b, *shape)`; of longer training samples, what is scored of them counts.
    """
    scorer.eval()
    memory = scorer.model.memory
    assert memory is not None  # noqa: S101 (asked for)
    x = scorer.normalise(raw.to(scorer.device))
    codes = scorer.model.encode(scorer.model.pretext.as_scored(x))
    cosines = unit(memory.items) @ unit(codes.reshape(*codes.shape[:2], -1), 1)  # (b, n, positions)
    return cosines.amax(2).cpu()


class Explainer:
    """Makes the evidence of samples from what a scorer says of them.

    Args:
        scorer: trained and calibrated.
        examples: the nearest training samples of its items, or None.
        items: how many items to tell of each sample, at most.
    """

    def __init__(self, scorer: Scorer, examples: Examples | None = None, items: int = 5) -> None:
        self.scorer = scorer
        self.examples = examples
        self.items = items

    def batch(self, raw: Tensor, names: Sequence[str]) -> list[Evidence]:
        """The evidence of each of the raw samples `(b, *shape)`, b at most `Scorer.chunk`."""
        (scores,) = self.scorer.batched([raw])
        addressed = self.addressed(raw)
        return [
            self.evidence(name, float(score), sample.clone(), x_hat.clone(), error_map.clone(), items)
            for name, score, sample, x_hat, error_map, items in zip(
                names, scores.score, raw, scores.x_hat, scores.error_map, addressed, strict=True
            )
        ]

    def evidence(
        self,
        name: str,
        score: float,
        sample: Tensor,
        reconstruction: Tensor,
        error_map: Tensor,
        items: tuple[Item, ...],
        motion: Tensor | None = None,
    ) -> Evidence:
        """One sample's evidence, with its p-value and what its map looks like; see `Evidence`."""
        calibration, scaling = calibrated(self.scorer), self.scorer.scaling
        judged = calibration.judge(torch.tensor(score, dtype=torch.float64))
        pictured = error_map.ndim == 3
        return Evidence(
            name,
            score,
            float(judged.p_value),
            calibration.threshold(),
            bool(judged.is_anomaly),
            sample,
            reconstruction,
            error_map,
            items,
            motion=motion,
            heat=heat(self.scorer, error_map) if pictured else None,
            span=(float(scaling.center), float(scaling.center + scaling.scale)) if pictured else (0.0, 255.0),
        )

    def addressed(self, raw: Tensor) -> list[tuple[Item, ...]]:
        """The heaviest items of each of the raw samples `(b, *shape)`."""
        shrunk = self.scorer.addressed(raw) if self.items else None
        if shrunk is None:
            return [()] * len(raw)
        each = shrunk.weights.flatten(2).mean(2) if shrunk.weights.ndim > 2 else shrunk.weights
        weights, numbers = (found.cpu() for found in each.topk(min(self.items, each.shape[1])))
        wanted = sorted(set(numbers[weights > 0].tolist()))
        decoded: dict[int, Tensor] = {}
        if self.scorer.model.code_shape is not None and wanted:
            decoded = dict(zip(wanted, decoded_items(self.scorer, torch.tensor(wanted)), strict=True))
        return [
            tuple(
                Item(number, weight, decoded.get(number), () if self.examples is None else self.examples.of(number))
                for number, weight in zip(*pair, strict=True)
                if weight > 0
            )
            for pair in zip(numbers.tolist(), weights.tolist(), strict=True)
        ]
