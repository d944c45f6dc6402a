"""Chooses the features that describe images, and says why."""

from typing import Any, NamedTuple

from memae.errors import OptionError
from memae.kinds.images import smallest_side
from memae.kinds.pixel_units import checked_size, pixel_unit
from memae.networks.efficientnet_lite import installed

LEAST_SIDE = 64
"""Shorter side of images, in pixels, from which pretrained features are the default."""
FEATURES: dict[str, int | None] = {"none": None} | {f"efficientnet-lite{variant}": variant for variant in range(3)}
"""Names of features, and the variant of EfficientNet-Lite that gives them."""
DEFAULT = "efficientnet-lite0"


class Choice(NamedTuple):
    """Features of images.

    Example:
        >>> str(Choice("none", "images are smaller than 64 pixels a side"))
        'features: none (from pixels), since images are smaller than 64 pixels a side'
    """

    features: str  # one of `FEATURES`
    why: str

    def __str__(self) -> str:
        return f"features: {self.features}{' (from pixels)' * (self.variant is None)}, since {self.why}"

    @property
    def variant(self) -> int | None:
        """Of EfficientNet-Lite; None for pixels."""
        return FEATURES[self.features]


def chosen(features: str, size: Any, X: Any) -> Choice:
    """The features that these parameters of `ImageMemAE` mean for these images.

    Raises:
        OptionError: there are no such features.
    """
    if features != "auto":
        if features not in FEATURES:
            raise OptionError(f"features must be one of auto, {', '.join(FEATURES)}; got {features!r}")
        return Choice(features, "they are chosen")
    side = smallest_side(X) if size is None else min(checked_size(size) or (0,))
    if side < LEAST_SIDE:
        return Choice("none", f"images are smaller than {LEAST_SIDE} pixels a side")
    if pixel_unit(X) != "grey levels":
        return Choice("none", "pixels are floats, which may mean anything; a pretrained network knows grey levels")
    if not installed(FEATURES[DEFAULT] or 0):
        return Choice("none", "memae[features] is not installed: pip install 'memae[features]'")
    return Choice(DEFAULT, f"images have {LEAST_SIDE} pixels a side or more and memae[features] is installed")
