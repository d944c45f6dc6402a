"""Explains scores: the memory items that a sample addressed, their nearest training samples, and the error maps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from memae import pictures
from memae.memory import unit
from memae.pictures import Pixels
from memae.regions import Region
from memae.scoring import Scorer, decoded_items
from memae.scoring.calibration import Calibration

MOTION = 4.0
"""Factor by which pictures amplify changes between frames, which are small compared to the frames."""
BRIGHTEST = 0.5
"""Deviation of a pixel, as a share of the full range, at which all heat maps are brightest."""


@dataclass(frozen=True)
class Neighbour:
    """A training sample near a memory item."""

    sample: str  # its name: "row 17", "good/003.png", "Train001 frame 42"
    distance: float  # 1 − cosine similarity of its code and the item; for items of positions, the lowest over positions
    thumbnail: Tensor | None  # (c, h, w) uint8; None if none is kept (tables)


class Cell(NamedTuple):
    """One value of a row, in the user's column."""

    column: str
    value: object


class Place(NamedTuple):
    """A position of a photo that is compared with a kept patch."""

    picture: Tensor  # (c, side, side), uint8: it and what surrounds it
    row: int  # in pixels of the photo
    column: int
    strength: float  # of the map there: 1 is the threshold of pixels


@dataclass(frozen=True)
class Item:
    """A memory item that a sample addressed."""

    number: int
    weight: float  # addressing weight, 0 … 1; for items of positions the mean over positions; for groups, over these
    decoded: Tensor | None  # (*shape), raw unit: the item decoded alone; None for items of positions
    neighbours: tuple[Neighbour, ...]  # nearest first; empty if the model keeps none
    row: tuple[Cell, ...] = ()  # tables: `decoded` in the user's columns
    sample: str | None = None  # name of the training sample that the item is; None if the item formed in training
    place: Place | None = None  # photos: where the item is the nearest one

    @property
    def title(self) -> str:
        """Its name for users: that of the training sample that it is, or else its number."""
        return self.sample or f"item {self.number}"


@dataclass(frozen=True)
class Contribution:
    """What one column of a table adds to a score."""

    column: str
    value: object  # as given; None if missing
    expected: object  # as restored; None for missing
    share: float  # of the sum over all columns; the shares sum to 1, or to 0 if that sum is 0


@dataclass(frozen=True)
class Evidence:
    """Explanation of one sample's score."""

    name: str  # "row 17", the path of an image, "video frame 12"
    score: float  # `anomaly_score`; higher = more anomalous
    p_value: float
    threshold: float
    is_anomaly: bool
    sample: Tensor  # (*shape), raw; of video the frame (c, h, w)
    reconstruction: Tensor | None  # of the sample, raw; of `motion` if there is one; None if features are remembered
    error_map: Tensor  # (c, h, w) for pictures, (columns,) for tables
    items: tuple[Item, ...]  # largest weight first; empty for a plain autoencoder
    contributions: tuple[Contribution, ...] = ()  # largest first; empty for pictures
    motion: Tensor | None = None  # (c, h, w), raw: change to the next frame, if the model restores motion
    heat: Tensor | None = None  # (h, w): the heat map, 1 = brightest; None for tables
    span: tuple[float, float] = (0.0, 255.0)  # raw values of black and white
    regions: tuple[Region, ...] = ()  # of photos, in their pixels: where it is anomalous
    size: tuple[int, int] = (0, 0)  # of photos: height and width; `sample` may be smaller

    def picture(self, raw: Tensor) -> Pixels:
        """A sample, a reconstruction or a decoded item `(c, h, w)` as pixels."""
        return pictures.drawn(raw, *self.span)

    def moved(self, change: Tensor) -> Pixels:
        """`motion` or its reconstruction as pixels: grey for no change, lighter where the frame gets lighter."""
        most = (self.span[1] - self.span[0]) / MOTION
        return pictures.drawn(change, -most, most)

    @property
    def shown(self) -> tuple[tuple[str, Pixels], ...]:
        """Pictures with their names, in the order to show them; empty for tables."""
        if self.heat is None:
            return ()
        heat = ("error_map", pictures.heated(self.heat))
        sample = ("sample", self.picture(self.sample))
        if self.reconstruction is None:
            return sample, ("error_map", pictures.overlaid(sample[1], self.heat.numpy(), self._boxes()))
        if self.motion is None:
            return sample, ("reconstruction", self.picture(self.reconstruction)), heat
        return sample, ("motion", self.moved(self.motion)), ("reconstruction", self.moved(self.reconstruction)), heat

    @property
    def is_photo(self) -> bool:
        """Whether it is a picture of which nothing is restored: it is compared with kept patches."""
        return self.heat is not None and self.reconstruction is None

    def _boxes(self) -> list[Region]:
        """The regions in pixels of the sample."""
        rows, columns = (shown / full for shown, full in zip(self.sample.shape[1:], self.size, strict=True))
        return [region.scaled(rows, columns) for region in self.regions]

    def as_json(self) -> dict[str, Any]:
        """The evidence as JSON-ready data; pictures as data URLs of PNG files, None for tables."""
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
            **({"regions": [region.as_json() for region in self.regions]} if self.is_photo else {}),
        }

    def _item(self, item: Item) -> dict[str, Any]:
        decoded: Any = {cell.column: plain(cell.value) for cell in item.row} or None
        if self.heat is not None and item.decoded is not None:
            decoded = pictures.data_url(self.picture(item.decoded))
        return {
            "number": item.number,
            "sample": item.sample,
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
            **({} if item.place is None else {"place": _place(item.place)}),
        }


def _place(place: Place) -> dict[str, Any]:
    return place._asdict() | {"picture": pictures.data_url(pictures.drawn(place.picture))}


def plain(value: object) -> str | int | float | bool | None:
    """A value of a table as JSON-ready data: missing values become None, other types their text."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | None) else str(value)


@dataclass(frozen=True)
class Examples:
    """The training samples nearest to each memory item, as a model keeps them."""

    index: Tensor  # (n, k), int32: indices into `names`, nearest first
    distance: Tensor  # (n, k), float32
    names: tuple[str, ...]
    thumbnails: Tensor | None = None  # (len(names), c, h, w), uint8

    def of(self, item: int) -> tuple[Neighbour, ...]:
        """The neighbours of an item, by its number."""
        nearest = zip(self.index[item].tolist(), self.distance[item].tolist(), strict=True)
        thumbnails = self.thumbnails
        return tuple(
            Neighbour(self.names[index], distance, None if thumbnails is None else thumbnails[index])
            for index, distance in nearest
        )


def heat(scorer: Scorer, error_map: Tensor) -> Tensor:
    """Error maps `(…, c, h, w)` as heat maps `(…, h, w)`, mean over channels; 1 is brightest.

    1 is a deviation of `BRIGHTEST` or, for maps that have a threshold, twice that.
    """
    return heat_of(scorer, position_map(scorer, error_map))


def position_map(scorer: Scorer, error_map: Tensor) -> Tensor:
    """Error maps `(…, c, h, w)` as `(…, h, w)`: the deviation of each position, mean over channels, or its score."""
    return scorer.deviations(error_map).mean(-3)


def heat_of(scorer: Scorer, values: Tensor) -> Tensor:
    """Values of `position_map`, of any shape, as `heat`."""
    if scorer.peaks is not None:
        return scorer.peaks.strength(values) / 2
    return calibrated(scorer).strength(values) / 2 if scorer.by_position else values / BRIGHTEST


def map_limit(scorer: Scorer) -> float:
    """The value of `position_map` above which a position is anomalous.

    It is one that the maps of most normal photos never reach (`Scorer.peaks`), or else that of heat 1.
    """
    if scorer.peaks is not None:
        return scorer.peaks.threshold()
    if not scorer.by_position:
        return BRIGHTEST
    calibration = calibrated(scorer)
    low, high = float(calibration.scores[0]), calibration.threshold()
    return low + 2 * (high - low)


def calibrated(scorer: Scorer) -> Calibration:
    """The calibration of a calibrated scorer."""
    assert scorer.calibration is not None  # noqa: S101 (a fitted detector has one)
    return scorer.calibration


def kept_sample(scorer: Scorer, examples: Examples | None, item: int) -> str | None:
    """Name of the training sample that a memory item is; None for an item that formed in training, or without names.

    Args:
        scorer: with a memory.
        examples: those of its items.
        item: number of the item.
    """
    if scorer.model.trained or examples is None:
        return None
    return examples.of(item)[0].sample


@torch.no_grad()
def likeness(scorer: Scorer, raw: Tensor) -> Tensor:
    """Cosine similarity of each sample's code and each memory item `(b, n)`, on the CPU.

    For items of positions it is the highest over the sample's positions.

    Args:
        scorer: with a memory.
        raw: `(b, *shape)`; of longer training samples, the part that scoring takes.
    """
    scorer.eval()
    memory = scorer.model.memory
    assert memory is not None  # noqa: S101 (see Args)
    x = scorer.normalise(raw.to(scorer.device))
    codes = scorer.model.encode(scorer.model.pretext.as_scored(x))
    cosines = unit(memory.items) @ unit(codes.reshape(*codes.shape[:2], -1), 1)  # (b, n, positions)
    return cosines.amax(2).cpu()


class Explainer:
    """Makes the evidence of samples.

    Args:
        scorer: trained and calibrated.
        examples: the training samples nearest to its items; None for none.
        items: maximum number of items in each evidence.
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
        reconstruction: Tensor | None,
        error_map: Tensor,
        items: tuple[Item, ...],
        motion: Tensor | None = None,
        regions: tuple[Region, ...] = (),
        size: tuple[int, int] = (0, 0),
    ) -> Evidence:
        """The evidence of one sample, with p-value, flag and heat map; see `Evidence` for the arguments."""
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
            regions=regions,
            size=size,
        )

    def addressed(self, raw: Tensor) -> list[tuple[Item, ...]]:
        """The items with the largest weights of each of the raw samples `(b, *shape)`."""
        shrunk = self.scorer.addressed(raw) if self.items else None
        if shrunk is None:
            return [()] * len(raw)
        each = shrunk.weights.flatten(2).mean(2) if shrunk.weights.ndim > 2 else shrunk.weights
        weights, numbers = (top.cpu() for top in each.topk(min(self.items, each.shape[1])))
        wanted = sorted(set(numbers[weights > 0].tolist()))
        decoded: dict[int, Tensor] = {}
        if self.scorer.model.code_shape is not None and wanted:
            decoded = dict(zip(wanted, decoded_items(self.scorer, torch.tensor(wanted)), strict=True))
        return [
            tuple(
                Item(
                    number,
                    weight,
                    decoded.get(number),
                    () if self.examples is None else self.examples.of(number),
                    sample=kept_sample(self.scorer, self.examples, number),
                )
                for number, weight in zip(*pair, strict=True)
                if weight > 0
            )
            for pair in zip(numbers.tolist(), weights.tolist(), strict=True)
        ]
