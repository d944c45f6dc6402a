"""Photos made by code, and a network for their features whose weights are random: no package is needed."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from memae import ImageMemAE, features, frame_features
from memae.estimators import choosing, networks
from memae.features import STAGES
from memae.networks import efficientnet_lite
from memae.networks.efficientnet_lite import VARIANTS, EfficientNetLite, Variant

SIZE = (64, 64)


def parts(count: int, seed: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Grey photos `(n, h, w)` of a bright disk on a dark, grainy ground."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]]
    centres = random.normal(0, 1, (count, 2, 1, 1)) + np.array(size)[None, :, None, None] / 2
    inside = np.hypot(rows - centres[:, 0], columns - centres[:, 1]) < min(size) / 3
    return (60 + 110 * inside + random.normal(0, 4, (count, *size))).clip(0, 255).astype(np.uint8)


def scratched(count: int, seed: int = 1, size: tuple[int, int] = SIZE) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The same with a bright and a dark scratch across the disk, in rows 26 to 33 and columns 20 to 43 of `SIZE`."""
    photos = parts(count, seed, size)
    middle, left, right = size[0] // 2, size[1] // 3 - 1, size[1] - size[1] // 3 + 1
    photos[:, middle - 6 : middle - 2, left:right] = 255
    photos[:, middle - 2 : middle + 2, left:right] = 0
    return photos


TINY = Variant(
    tuple(
        each._replace(channels=n, repeats=1)
        for each, n in zip(VARIANTS[0].stages, (8, 12, 16, 24, 24, 32, 24), strict=True)
    ),
    224,
    "0" * 64,
)
"""A variant of EfficientNet-Lite with one narrow block in each stage."""


@cache
def network(variant: int = 0, stages: tuple[int, ...] = STAGES) -> EfficientNetLite:
    """A network with random weights whose maps neither vanish nor saturate."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(variant)
        made = EfficientNetLite(variant, stages)
        for layer in made.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
                nn.init.uniform_(layer.bias, -0.1, 0.1)
    return made.eval().requires_grad_(False)


@contextmanager
def tiny_network() -> Iterator[None]:
    """Lets detectors find `network`, as narrow as `TINY`, in place of that of the package."""
    network.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        for module in (efficientnet_lite, features, frame_features):
            patch.setattr(module, "VARIANTS", (TINY, *VARIANTS[1:]))
        patch.setattr(choosing, "installed", lambda variant: True)
        patch.setattr(networks, "read_lite", network)
        yield
    network.cache_clear()


def detector(**more: Any) -> ImageMemAE:
    """A small detector of photos, not fitted."""
    return ImageMemAE(**({"size": SIZE, "kept_samples": 40, "random_state": 0, "false_alarm_rate": 0.1} | more))
