"""The methods that are compared on images: ours, what it is without its parts, and those of others."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reproduction.baselines.padim import PaDiM
from reproduction.baselines.patchcore import PatchCore
from reproduction.baselines.photos import Features, PhotoDetector
from reproduction.baselines.pooled import PooledGaussian, PooledNeighbours
from reproduction.images.detectors import Detector, Ours, OverFeatures, RandomItems

SIZES = (100, 300, 1_000, 3_000, 10_000, 30_000)
"""Items of the memory."""
FEW = (1, 5, 20)
"""Good photos to learn from."""


@dataclass(frozen=True, eq=False)
class Method:
    """One method.

    Args:
        key: names it in records and on the command line.
        title: names it on the page.
        make: an unfitted detector, of a seed.
        photos: number of normal photos that it learns, sampled by seed; None for all.
        folders: whether it runs on sets in the layout of MVTec AD.
        classes: whether it runs on classes of MNIST and CIFAR-10.
        engines: whether its scoring is also timed with other engines.
        sampled: whether anything in it depends on the seed; otherwise it runs once on a set in folders.
    """

    key: str
    title: str
    make: Callable[[int], Detector]
    photos: int | None = None
    folders: bool = True
    classes: bool = False
    engines: bool = False
    sampled: bool = True


def _ours(key: str, title: str, options: dict[str, Any] | None = None, **more: Any) -> Method:
    return Method(key, title, lambda seed: Ours(**(options or {}), random_state=seed), **more)


def _over(key: str, title: str, make: Callable[[Features, int], PhotoDetector], **more: Any) -> Method:
    return Method(key, title, lambda seed: OverFeatures(lambda features: make(features, seed)), **more)


OURS = _ours("ours", "**ours**: `ImageMemAE()`", classes=True, engines=True)
FEATURES = _ours(
    "features",
    '**ours** over features: `ImageMemAE(features="efficientnet-lite0")`',
    {"features": "efficientnet-lite0"},
    folders=False,
    classes=True,
)
"""For images of less than 64 pixels a side, for which the default is to learn from pixels."""
FROM_FEW = tuple(
    _ours(f"ours_{count}", f"`ImageMemAE()`, {count} good photo{'s' * (count > 1)}", photos=count) for count in FEW
)
PIXELS = _ours(
    "pixels",
    'from pixels: `ImageMemAE(features="none", size=(128, 128))`',
    {"features": "none", "size": (128, 128)},
    engines=True,
)
KEPT = _ours("kept", "kept items alone: `ImageMemAE()`")
LEARNED = _ours("learned", "learned items alone: MemAE on features", {"n_items": 500, "kept_samples": 0})
BOTH = _ours("both", "both", {"n_items": 500})
BY_SIZE = tuple(_ours(f"items_{size}", f"{size:,} kept items", {"kept_samples": size}) for size in SIZES)
RANDOM = Method(
    "random", "kept items drawn at random instead of spread out", lambda seed: Ours(RandomItems, random_state=seed)
)
OTHERS = (
    _over("patchcore", "PatchCore, 10 %", lambda features, seed: PatchCore(features, seed=seed)),
    _over("padim", "PaDiM", lambda features, seed: PaDiM(features, seed=seed)),
    _over(
        "mahalanobis",
        "Gaussian of pooled features",
        lambda features, _: PooledGaussian(features),
        classes=True,
        sampled=False,
    ),
    _over(
        "neighbours",
        "5 nearest pooled features",
        lambda features, _: PooledNeighbours(features),
        classes=True,
        sampled=False,
    ),
)
ABLATION = (OURS, PIXELS, KEPT, LEARNED, BOTH, RANDOM, *BY_SIZE)
METHODS = (OURS, FEATURES, *OTHERS, *FROM_FEW, *ABLATION[1:])
BY_KEY = {method.key: method for method in METHODS}
"""What a record or a command line names."""
